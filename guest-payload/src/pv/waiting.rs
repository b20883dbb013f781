//! Who waits for which lock and ticket: written by the waiter, read by the CPU that releases.

use crate::lock::LockAddress;
use crate::sync::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

/// One CPU's numbers, `waiting_lock` and `waiting_ticket` among them.
#[cfg(not(loom))]
pub type PerCpu = crate::abi::CpuResults;

/// One CPU's numbers, with those that CPUs hand to each other as atomics that the model sees.
#[cfg(loom)]
#[derive(Debug)]
pub struct PerCpu {
    pub(super) waiting_lock: AtomicU64,
    pub(super) waiting_ticket: crate::sync::AtomicU32,
    results: &'static crate::abi::CpuResults,
}

#[cfg(loom)]
impl PerCpu {
    /// A CPU that waits for nothing and counts in `results`.
    pub fn new(results: &'static crate::abi::CpuResults) -> Self {
        Self {
            waiting_lock: AtomicU64::new(0),
            waiting_ticket: crate::sync::AtomicU32::new(0),
            results,
        }
    }
}

#[cfg(loom)]
impl core::ops::Deref for PerCpu {
    type Target = crate::abi::CpuResults;

    fn deref(&self) -> &Self::Target {
        self.results
    }
}

/// Publishes that `cpu` waits for `want` of `lock`, in the order of `kvm_lock_spinning`.
///
/// The last store's Release pairs with the Acquire in [`waits_for`]: who sees the lock sees its
/// ticket, not the one of the wait before. Clearing the lock first keeps the new ticket from being
/// read together with the lock of the wait before; that would be a kick too many, not one too few.
pub(super) fn announce(cpu: &PerCpu, lock: LockAddress, want: u32) {
    cpu.waiting_lock.store(0, Relaxed);
    cpu.waiting_ticket.store(want, Release);
    cpu.waiting_lock.store(lock.get(), Release);
}

/// Takes the announcement back.
pub(super) fn withdraw(cpu: &PerCpu) {
    // Relaxed: who still sees the wait kicks once too often, which the next halt uses up.
    cpu.waiting_lock.store(0, Relaxed);
}

/// Whether `cpu` waits for `ticket` of `lock`.
pub(super) fn waits_for(cpu: &PerCpu, lock: LockAddress, ticket: u32) -> bool {
    // Acquire pairs with the last store of `announce`.
    cpu.waiting_lock.load(Acquire) == lock.get() && cpu.waiting_ticket.load(Relaxed) == ticket
}

#[cfg(not(loom))]
const WORDS: usize = crate::abi::MAX_CPUS / 64;
#[cfg(loom)]
const WORDS: usize = 1;

/// The CPUs in a slow path, one bit each: what the releasing CPU has to look through.
///
/// A bit is set before [`SlowPath::enter_slowpath`](super::SlowPath::enter_slowpath), and its
/// barrier publishes it, so the accesses here are Relaxed.
#[derive(Debug)]
pub struct WaitingCpus {
    words: [AtomicU64; WORDS],
}

impl WaitingCpus {
    /// Nobody waits.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self {
            words: [const { AtomicU64::new(0) }; WORDS],
        }
    }

    /// Nobody waits.
    #[cfg(loom)]
    pub fn new() -> Self {
        Self {
            words: core::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    pub(super) fn set(&self, index: usize) {
        if let Some(word) = self.words.get(index / 64) {
            word.fetch_or(1 << (index % 64), Relaxed);
        }
    }

    pub(super) fn clear(&self, index: usize) {
        if let Some(word) = self.words.get(index / 64) {
            word.fetch_and(!(1 << (index % 64)), Relaxed);
        }
    }

    /// The first of `cpus` whose bit is set and that `is_wanted` accepts.
    pub(super) fn find<'a>(
        &self,
        cpus: &'a [PerCpu],
        is_wanted: impl Fn(&PerCpu) -> bool,
    ) -> Option<&'a PerCpu> {
        for (word, group) in self.words.iter().zip(cpus.chunks(64)) {
            let mut bits = word.load(Relaxed);
            while bits != 0 {
                if let Some(cpu) = group.get(bits.trailing_zeros() as usize)
                    && is_wanted(cpu)
                {
                    return Some(cpu);
                }
                bits &= bits - 1;
            }
        }
        None
    }
}

impl Default for WaitingCpus {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "waiting_test.rs"]
mod tests;
