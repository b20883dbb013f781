//! The calls out of a lock, made to the backend that is in use.

use super::backend::Backend;
use super::cpu::Cpu;
use super::ops::{Patience, Platform, PvLockOps, SlowPath, WaitEarly, Waited};
use super::{kvm, xen};
use crate::lock::LockAddress;
use crate::lock::queue::Seat;
use crate::stats;
use crate::trace::Step;

impl<H: Platform> PvLockOps for Cpu<'_, H> {
    #[inline(always)]
    fn is_paravirtual(&self) -> bool {
        self.backend != Backend::Native
    }

    #[inline(always)]
    fn threshold(&self) -> u32 {
        self.threshold
    }

    #[inline(always)]
    fn spun(&self, lock: LockAddress, want: u32, serving: u32) -> Patience {
        match &self.handshake {
            None => Patience::Left,
            Some(handshake) => handshake.spun(&self.platform, self.me, lock, want, serving),
        }
    }

    #[inline(always)]
    fn queue(&self) -> Seat<'_> {
        self.platform.queue().seat(self.index)
    }

    #[inline(always)]
    fn waits_early(&self) -> bool {
        self.wait_early == WaitEarly::On
    }

    fn lock_spinning<S: SlowPath>(&self, lock: &S, want: u32) -> Waited {
        match self.backend {
            Backend::Native => Waited::LookAgain,
            Backend::Kvm => kvm::lock_spinning(self, lock, want),
            Backend::Xen => xen::lock_spinning(self, lock, want),
        }
    }

    fn unlock_kick(&self, lock: LockAddress, ticket: u32) {
        match self.backend {
            Backend::Native => {}
            Backend::Kvm => kvm::unlock_kick(self, lock, ticket),
            Backend::Xen => xen::unlock_kick(self, lock, ticket),
        }
    }

    #[cold]
    fn taken_slowly(&self, lock: LockAddress, want: u32) {
        self.note(Step::Acquire, lock, want);
    }

    #[cold]
    fn linger(&self) {
        for _ in 0..self.linger {
            core::hint::spin_loop();
        }
    }

    #[cold]
    fn touched_after_release(&self) {
        stats::add(&self.me.touch_after_unlock, 1);
    }
}
