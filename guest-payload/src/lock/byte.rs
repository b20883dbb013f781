//! The PV spinlock that the ticket locks replaced (Linux `arch/x86/xen/spinlock.c` before 3.12).
//!
//! A byte and a count of the CPUs in the slow path. Whoever comes first takes it; its release
//! kicks any one of the waiters. Like V8 it looks at itself after its release.
//!
//! | operation | ordering | pairs with | loom model |
//! |---|---|---|---|
//! | `try_lock`, xchg | Acquire | `release`, `release_locked` | H `byte::…` |
//! | `release_locked`, xchg | SeqCst, barrier `Release` | `enter_slowpath` | H `byte::by_kicks::…`; without it fails `the_release_needs_its_barrier` |
//! | `enter_slowpath`, counts itself | SeqCst add, barrier `Announce` | `release_locked` | H `byte::by_kicks::…`; without it fails `the_announcement_needs_its_barrier` |
//! | `leave_slowpath` | Relaxed | nothing: a stale count is a kick too many | H `byte::…` |

use crate::abi::POISON_BYTE;
use crate::key::{self, Unlock};
use crate::lock::address::LockAddress;
use crate::lock::{AfterRelease, Facts, LockWordView, RawLock};
use crate::pv::{Patience, PvLockOps, SlowPath, Waited};
use crate::sync::{
    AtomicU8, AtomicU16, Barrier,
    Ordering::{Acquire, Relaxed, Release, SeqCst},
    bounded_spin_hint, full_barrier,
};

const FREE: u8 = 0;
const HELD: u8 = 1;
/// All waiters want the same, so that a kick may go to any of them.
const NO_TICKET: u32 = 0;
const POISON_SPINNERS: u16 = u16::from_le_bytes([POISON_BYTE; 2]);

/// Byte lock with a count of spinners.
#[derive(Debug)]
#[repr(C)]
pub struct ByteLock {
    lock: AtomicU8,
    spinners: AtomicU16,
    #[cfg(loom)]
    life: crate::sync::model::Life,
}

impl RawLock for ByteLock {
    const FACTS: Facts = Facts {
        what: "the PV spinlock before ticket locks: a byte and a count of waiters",
        bytes: "`u8` held, a byte of padding, `u16` CPUs in the slow path",
        // Spinners are counted in 16 bits.
        max_cpus: u16::MAX as u32,
        after_release: AfterRelease::LooksBack,
        ..Facts::PLAIN
    };

    #[cfg(not(loom))]
    const INIT: Self = Self {
        lock: AtomicU8::new(FREE),
        spinners: AtomicU16::new(0),
    };

    #[cfg(loom)]
    fn unlocked() -> Self {
        Self {
            lock: AtomicU8::new(FREE),
            spinners: AtomicU16::new(0),
            life: crate::sync::model::Life::default(),
        }
    }

    #[cfg(loom)]
    fn free(&self) {
        self.life.end();
        self.lock.store(POISON_BYTE, Relaxed);
        self.spinners.store(POISON_SPINNERS, Relaxed);
    }

    #[cfg(loom)]
    fn life(&self) -> &crate::sync::model::Life {
        &self.life
    }

    fn view(bytes: &[u8]) -> Option<LockWordView> {
        let [lock, _, low, high] = bytes else {
            return None;
        };
        Some(LockWordView::Byte {
            locked: *lock != FREE,
            spinners: u16::from_le_bytes([*low, *high]).into(),
        })
    }

    #[inline(always)]
    fn lock<P: PvLockOps>(&self, pv: &P) -> u32 {
        if !self.try_lock() {
            self.lock_contended(pv);
        }
        NO_TICKET
    }

    #[inline(always)]
    fn unlock<P: PvLockOps>(&self, pv: &P) {
        match key::unlock(pv) {
            Unlock::Native => self.release(),
            Unlock::Pv => self.unlock_pv(pv, || ()),
            Unlock::Lingering => self.unlock_pv(pv, || pv.linger()),
        }
    }
}

impl ByteLock {
    #[inline(always)]
    fn unlock_pv<P: PvLockOps>(&self, pv: &P, linger: impl FnOnce()) {
        self.release_locked();
        linger();
        self.touch();
        if self.spinners.load(SeqCst) != 0 {
            self.unlock_slowpath(pv);
        }
    }

    /// Acquire pairs with the store or xchg of the release before.
    #[inline(always)]
    fn try_lock(&self) -> bool {
        self.touch();
        self.lock.swap(HELD, Acquire) == FREE
    }

    /// Release pairs with the Acquire of `try_lock`.
    #[inline(always)]
    fn release(&self) {
        self.touch();
        self.lock.store(FREE, Release);
    }

    /// Releases by xchg, which is the full barrier before the look for waiters.
    #[inline(always)]
    fn release_locked(&self) {
        #[cfg(loom)]
        if !crate::sync::model::is_kept(Barrier::Release) {
            return self.release();
        }
        self.touch();
        self.lock.swap(FREE, SeqCst);
        full_barrier(Barrier::Release);
    }

    #[cold]
    #[inline(never)]
    fn lock_contended<P: PvLockOps>(&self, pv: &P) {
        if self.spin(pv) {
            return;
        }
        while pv.lock_spinning(self, NO_TICKET) == Waited::LookAgain && !self.spin(pv) {}
        pv.taken_slowly(LockAddress::of(self), NO_TICKET);
    }

    /// Tries to take the lock until the threshold is reached; whether it has.
    #[inline(always)]
    fn spin<P: PvLockOps>(&self, pv: &P) -> bool {
        for _ in 0..pv.threshold() {
            bounded_spin_hint();
            self.touch();
            if self.lock.load(Relaxed) == FREE && self.try_lock() {
                return true;
            }
            if pv.spun(LockAddress::of(self), NO_TICKET, NO_TICKET) == Patience::Gone {
                return false;
            }
        }
        false
    }

    /// The lock is released and somebody was in the slow path.
    #[cold]
    #[inline(never)]
    fn unlock_slowpath<P: PvLockOps>(&self, pv: &P) {
        if self.is_poison() {
            pv.touched_after_release();
            return;
        }
        pv.unlock_kick(LockAddress::of(self), NO_TICKET);
    }

    fn is_poison(&self) -> bool {
        self.touch();
        self.lock.load(Relaxed) == POISON_BYTE && self.spinners.load(Relaxed) == POISON_SPINNERS
    }

    /// Notes that the lock is accessed.
    #[inline(always)]
    fn touch(&self) {
        #[cfg(loom)]
        self.life.touch();
    }
}

impl SlowPath for ByteLock {
    fn enter_slowpath(&self) {
        self.touch();
        self.spinners.fetch_add(1, SeqCst);
        full_barrier(Barrier::Announce);
    }

    fn pickup(&self, _want: u32) -> bool {
        self.try_lock()
    }

    fn leave_slowpath(&self) {
        // Relaxed: a release that still counts this CPU kicks it, or finds nobody.
        self.touch();
        self.spinners.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "byte_test.rs"]
mod tests;
