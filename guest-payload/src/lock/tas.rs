//! Test and test-and-set: the smallest lock, unfair and without a slow path.

use crate::lock::RawLock;
use crate::pv::{LockAddress, PvLockOps};
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

    #[inline(always)]
    fn lock<P: PvLockOps>(&self, pv: &P) -> u32 {
        if !self.try_lock() {
            self.spin(pv);
        }
        0
    }

    #[inline(always)]
    fn unlock<P: PvLockOps>(&self, _pv: &P) {
        // Pairs with the Acquire of `try_lock`.
        self.lock.store(FREE, Release);
    }
}

impl TasLock {
    #[inline(always)]
    fn try_lock(&self) -> bool {
        self.lock.swap(HELD, Acquire) == FREE
    }

    #[cold]
    #[inline(never)]
    fn spin<P: PvLockOps>(&self, pv: &P) {
        loop {
            spin_hint();
            pv.spun(LockAddress::of(self), 0, 0);
            if self.lock.load(Relaxed) == FREE && self.try_lock() {
                return;
            }
        }
    }
}
