//! Into a lock, out of it, and what is checked in between.

use core::sync::atomic::Ordering::Relaxed;

use guest_payload::abi::{CpuResults, LockObject};
use guest_payload::lock::{LockKind, RawLock, TicketBits};
use guest_payload::pv::Cpu;
use guest_payload::stats;

use crate::platform::Machine;

/// What is checked inside a lock.
#[derive(Debug)]
pub(crate) struct Checks {
    me: u32,
    results: &'static CpuResults,
    /// Where the tickets order their holders.
    ticket_mask: Option<u32>,
    increment: u32,
}

impl Checks {
    /// Those of the CPU with this index, whose numbers are `results`.
    pub(crate) fn new(
        index: u32,
        results: &'static CpuResults,
        kind: LockKind,
        bits: TicketBits,
    ) -> Self {
        Self {
            me: index + 1,
            results,
            ticket_mask: kind.is_fifo().then(|| bits.mask()),
            increment: kind.ticket_increment(),
        }
    }

    /// Just inside the lock, having been served `ticket`.
    #[inline(always)]
    pub(crate) fn enter(&self, object: &LockObject, ticket: u32) {
        if object.owner.load(Relaxed) != 0 {
            stats::add(&self.results.mutual_exclusion, 1);
        }
        object.owner.store(self.me, Relaxed);
        if let Some(mask) = self.ticket_mask {
            let expected = object
                .last_ticket
                .load(Relaxed)
                .wrapping_add(self.increment)
                & mask;
            if object.has_last_ticket.load(Relaxed) != 0 && ticket != expected {
                stats::add(&self.results.fifo, 1);
            }
            object.last_ticket.store(ticket, Relaxed);
            object.has_last_ticket.store(1, Relaxed);
        }
    }

    /// Just before the release.
    #[inline(always)]
    pub(crate) fn leave(&self, object: &LockObject) {
        stats::add(&object.acquisitions, 1);
        if object.owner.load(Relaxed) != self.me {
            stats::add(&self.results.mutual_exclusion, 1);
        }
        object.owner.store(0, Relaxed);
    }
}

/// The lock inside `object`.
pub(crate) fn lock_of<L: RawLock>(object: &LockObject) -> &L {
    const { assert!(size_of::<L>() <= guest_payload::abi::LOCK_BYTES) };
    // SAFETY: the first LOCK_BYTES of every object belong to its lock, which is all atomics; the
    // kind is the same for the whole run, and zero is its unlocked state.
    unsafe { &*object.lock.get().cast::<L>() }
}

/// Takes the lock. A function of its own, so that its code can be looked at.
#[inline(never)]
pub(crate) fn acquire<L: RawLock>(lock: &L, cpu: &Cpu<'static, Machine>) -> u32 {
    lock.lock(cpu)
}

/// Releases the lock. A function of its own, so that its code can be looked at.
#[inline(never)]
pub(crate) fn release<L: RawLock>(lock: &L, cpu: &Cpu<'static, Machine>) {
    lock.unlock(cpu);
}
