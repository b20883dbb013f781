//! The queue lock of Mellor-Crummey and Scott (1991): a waiter spins on its own node, and the
//! release writes to that of the next in line.
//!
//! It serves in the order of arrival. That order is in the nodes and no ticket shows it, so the
//! payload's FIFO check has nothing to look at.
//!
//! | operation | ordering | pairs with | loom model |
//! |---|---|---|---|
//! | xchg of the tail | AcqRel | the cmpxchg that emptied the line; the node as it was reset | H `mcs::…` |
//! | cmpxchg of the tail | Release | the xchg | H `mcs::…` |

use crate::lock::address::LockAddress;
use crate::lock::waiters::NOBODY;
use crate::lock::{Facts, LockWordView, Nodes, RawLock};
use crate::pv::PvLockOps;
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
    const FACTS: Facts = Facts {
        what: "Mellor-Crummey and Scott (1991): each waiter spins on a node of its own; no slow path",
        bytes: "`u32` index + 1 of the last CPU in line, the holder if it is alone; 0: free",
        nodes: Nodes::OnePerCpu,
        ..Facts::PLAIN
    };

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

    fn view(bytes: &[u8]) -> Option<LockWordView> {
        let tail = u32::from_le_bytes(bytes.try_into().ok()?);
        Some(LockWordView::Queue {
            locked: Some(tail != NOBODY),
            pending: false,
            slow_path: false,
            last_in_line: tail.checked_sub(1),
        })
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
            next = own.await_next(|| {
                // There is no slow path here: whoever is told to halt spins on.
                pv.spun(address, 0, 0);
            });
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
