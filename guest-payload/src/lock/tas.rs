//! Test and test-and-set: the smallest lock, unfair and without a slow path.
//!
//! | operation | ordering | pairs with | loom model |
//! |---|---|---|---|
//! | cmpxchg, store | Acquire, Release | each other | H `tas::…` |

use crate::lock::address::LockAddress;
use crate::lock::{Facts, LockWordView, RawLock};
use crate::pv::PvLockOps;
use crate::sync::{
    AtomicU8,
    Ordering::{Acquire, Relaxed, Release},
    spin_hint,
};

const FREE: u8 = 0;
const HELD: u8 = 1;

/// Test and test-and-set lock.
#[derive(Debug)]
#[repr(C)]
pub struct TasLock {
    lock: AtomicU8,
    #[cfg(loom)]
    life: crate::sync::model::Life,
}

impl RawLock for TasLock {
    const FACTS: Facts = Facts {
        what: "test and test-and-set, no slow path",
        bytes: "`u8` held",
        ..Facts::PLAIN
    };

    #[cfg(not(loom))]
    const INIT: Self = Self {
        lock: AtomicU8::new(FREE),
    };

    #[cfg(loom)]
    fn unlocked() -> Self {
        Self {
            lock: AtomicU8::new(FREE),
            life: crate::sync::model::Life::default(),
        }
    }

    #[cfg(loom)]
    fn free(&self) {
        self.life.end();
        self.lock.store(crate::abi::POISON_BYTE, Relaxed);
    }

    #[cfg(loom)]
    fn life(&self) -> &crate::sync::model::Life {
        &self.life
    }

    fn view(bytes: &[u8]) -> Option<LockWordView> {
        let [lock] = bytes else {
            return None;
        };
        Some(LockWordView::Byte {
            locked: *lock != FREE,
            spinners: 0,
        })
    }

    #[inline(always)]
    fn lock<P: PvLockOps>(&self, pv: &P) -> u32 {
        if !self.try_lock() {
            self.spin(pv);
        }
        0
    }

    #[inline(always)]
    fn unlock<P: PvLockOps>(&self, _pv: &P) {
        self.touch();
        // Pairs with the Acquire of `try_lock`.
        self.lock.store(FREE, Release);
    }
}

impl TasLock {
    /// By cmpxchg, so that a failure writes nothing: loom does not order the write of a failed xchg
    /// before the release that it raced with.
    #[inline(always)]
    fn try_lock(&self) -> bool {
        self.touch();
        self.lock
            .compare_exchange(FREE, HELD, Acquire, Relaxed)
            .is_ok()
    }

    /// Notes that the lock is accessed.
    #[inline(always)]
    fn touch(&self) {
        #[cfg(loom)]
        self.life.touch();
    }

    #[cold]
    #[inline(never)]
    fn spin<P: PvLockOps>(&self, pv: &P) {
        loop {
            spin_hint();
            pv.spun(LockAddress::of(self), 0, 0);
            self.touch();
            if self.lock.load(Relaxed) == FREE && self.try_lock() {
                return;
            }
        }
    }
}
