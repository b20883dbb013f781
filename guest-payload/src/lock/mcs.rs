//! The queue lock of Mellor-Crummey and Scott (1991): a waiter spins on its own node, and the
//! release writes to that of the next in line.
//!
//! It serves in the order of arrival. That order is in the nodes and no ticket shows it, so the
//! payload's FIFO check has nothing to look at.

use crate::lock::RawLock;
use crate::lock::queue::NOBODY;
use crate::pv::{LockAddress, PvLockOps};
use crate::sync::{
    AtomicU32,
    Ordering::{AcqRel, Relaxed, Release},
    spin_hint,
};

/// MCS lock.
#[derive(Debug)]
#[repr(C)]
pub struct McsLock {
    /// Number of the last CPU in line, who holds the lock if it is alone.
    tail: AtomicU32,
    #[cfg(loom)]
    life: crate::sync::model::Life,
}

impl RawLock for McsLock {
    #[cfg(not(loom))]
    const INIT: Self = Self {
        tail: AtomicU32::new(NOBODY),
    };

    #[cfg(loom)]
    fn unlocked() -> Self {
        Self {
            tail: AtomicU32::new(NOBODY),
            life: crate::sync::model::Life::default(),
        }
    }

    #[cfg(loom)]
    fn free(&self) {
        self.life.end();
        let poison = u32::from_le_bytes([crate::abi::POISON_BYTE; 4]);
        self.tail.store(poison, Relaxed);
    }

    #[cfg(loom)]
    fn life(&self) -> &crate::sync::model::Life {
        &self.life
    }

    #[inline(always)]
    fn lock<P: PvLockOps>(&self, pv: &P) -> u32 {
        let seat = pv.queue();
        seat.own().reset();
        self.touch();
        // Acquire pairs with the Release of the cmpxchg that emptied the line. Release publishes
        // the node as it was reset to the CPU that comes next.
        let before = self.tail.swap(seat.number(), AcqRel);
        if before != NOBODY {
            self.wait(pv, before);
        }
        0
    }

    #[inline(always)]
    fn unlock<P: PvLockOps>(&self, pv: &P) {
        let seat = pv.queue();
        let own = seat.own();
        let mut next = own.next();
        if next == NOBODY {
            let address = LockAddress::of(self);
            self.touch();
            // Release pairs with the Acquire of the xchg in `lock`.
            let emptied = self
                .tail
                .compare_exchange(seat.number(), NOBODY, Release, Relaxed);
            if emptied.is_ok() {
                return;
            }
            next = own.await_next(pv, address);
        }
        seat.node(next).pass_on();
    }
}

impl McsLock {
    /// Waits behind the CPU with the number `before`.
    #[cold]
    #[inline(never)]
    fn wait<P: PvLockOps>(&self, pv: &P, before: u32) {
        let seat = pv.queue();
        seat.node(before).line_up(seat.number());
        while !seat.own().is_at_head() {
            spin_hint();
            pv.spun(LockAddress::of(self), 0, 0);
        }
    }

    /// Notes that the word is accessed.
    #[inline(always)]
    fn touch(&self) {
        #[cfg(loom)]
        self.life.touch();
    }
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "mcs_test.rs"]
mod tests;
