//! The PV ticket lock of Linux 4.0 (`d6abfdb20223`): flag in the LSB of `head`.
//!
//! One `lock xadd` releases the lock and reads the flag, so nothing looks at the lock after its
//! release. In return the flag is cleared by the CPU that takes the lock.

use crate::key::{self, Unlock};
use crate::lock::address::LockAddress;
use crate::lock::tickets::{PV_INCREMENT, SLOW_PATH_FLAG, Tickets};
use crate::lock::word::{TicketPair, Width};
use crate::lock::{Facts, LockWordView, RawLock, tickets};
use crate::pv::{Patience, PvLockOps, SlowPath};
use crate::sync::bounded_spin_hint;

/// PV ticket lock of Linux 4.0 with tickets of width `W`.
#[derive(Debug)]
#[repr(transparent)]
pub struct PvTicketHead<W: Width> {
    word: W::HeadFlagPair,
}

impl<W: Width> RawLock for PvTicketHead<W> {
    const FACTS: Facts = Facts {
        what: "Linux 4.0: slow-path flag in head, unlock is one `lock xadd`",
        bytes: "head, tail; tickets are even, bit 0 of head is the slow-path flag",
        ticket_increment: PV_INCREMENT,
        max_cpus: (1 << W::BITS.bits()) / PV_INCREMENT,
        ..Facts::PLAIN
    };

    #[cfg(not(loom))]
    const INIT: Self = Self {
        word: W::HeadFlagPair::INIT,
    };

    #[cfg(loom)]
    fn unlocked() -> Self {
        Self {
            word: W::HeadFlagPair::new(),
        }
    }

    #[cfg(loom)]
    fn free(&self) {
        self.word.life().end();
        self.word.fill(Tickets::poison(W::BITS));
    }

    #[cfg(loom)]
    fn life(&self) -> &crate::sync::model::Life {
        self.word.life()
    }

    fn view(bytes: &[u8]) -> Option<LockWordView> {
        tickets::view(W::BITS, PV_INCREMENT, bytes)
    }

    #[inline(always)]
    fn lock<P: PvLockOps>(&self, pv: &P) -> u32 {
        let taken = self.word.take_ticket(PV_INCREMENT);
        // With the flag in the head they differ, and the slow part clears it.
        if taken.head == taken.tail {
            return taken.tail;
        }
        self.lock_contended(pv, taken.tail)
    }

    #[inline(always)]
    fn unlock<P: PvLockOps>(&self, pv: &P) {
        match key::unlock(pv) {
            Unlock::Native => self.word.release(PV_INCREMENT),
            Unlock::Pv => self.unlock_pv(pv, || ()),
            Unlock::Lingering => self.unlock_pv(pv, || pv.linger()),
        }
    }
}

impl<W: Width> PvTicketHead<W> {
    #[inline(always)]
    fn unlock_pv<P: PvLockOps>(&self, pv: &P, linger: impl FnOnce()) {
        let address = LockAddress::of(self);
        let head = self.word.release_and_read(PV_INCREMENT);
        // From here on the lock may be gone.
        linger();
        if head & SLOW_PATH_FLAG != 0 {
            unlock_slowpath::<W, P>(pv, address, head);
        }
    }

    /// Waits for ticket `want` and returns it.
    #[cold]
    #[inline(never)]
    fn lock_contended<P: PvLockOps>(&self, pv: &P, want: u32) -> u32 {
        if self.spin(pv, want) {
            return want;
        }
        loop {
            pv.lock_spinning(self, want);
            if self.spin(pv, want) {
                pv.taken_slowly(LockAddress::of(self), want);
                return want;
            }
        }
    }

    /// Looks at the lock until it is `want`'s or the threshold is reached; whether it is.
    #[inline(always)]
    fn spin<P: PvLockOps>(&self, pv: &P, want: u32) -> bool {
        for _ in 0..pv.threshold() {
            let head = self.word.head();
            if head & !SLOW_PATH_FLAG == want {
                self.check_and_clear_slowpath(head);
                return true;
            }
            bounded_spin_hint();
            if pv.spun(LockAddress::of(self), want, head & !SLOW_PATH_FLAG) == Patience::Gone {
                return false;
            }
        }
        false
    }

    /// Clears the flag if the holder, who calls this, is alone.
    fn check_and_clear_slowpath(&self, head: u32) {
        if head & SLOW_PATH_FLAG == 0 {
            return;
        }
        let served = head & !SLOW_PATH_FLAG;
        let tail = W::BITS.advance(served, PV_INCREMENT);
        // If it fails there are others, and the flag is theirs now.
        self.word
            .replace(Tickets { head, tail }, Tickets { head: served, tail });
    }
}

/// Kicks the CPU that comes after `head`, which has been released with the flag set.
#[cold]
#[inline(never)]
fn unlock_slowpath<W: Width, P: PvLockOps>(pv: &P, lock: LockAddress, head: u32) {
    let next = W::BITS.advance(head & !SLOW_PATH_FLAG, PV_INCREMENT);
    pv.unlock_kick(lock, next);
}

impl<W: Width> SlowPath for PvTicketHead<W> {
    fn enter_slowpath(&self) {
        self.word.flag_head();
    }

    fn pickup(&self, want: u32) -> bool {
        self.word.head() & !SLOW_PATH_FLAG == want
    }
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "pv_ticket_head_test.rs"]
mod tests;
