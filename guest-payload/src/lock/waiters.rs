//! The hash of a PV queued spinlock: from a lock to the CPU at the head of its line, which its
//! holder has to kick. The lock's word has no room for that.
//!
//! An entry is made before the lock is marked slow and taken out before the release, so a lock has
//! one entry at most, and a CPU, which waits for one lock at a time, is in one at most. A table with
//! an entry for each CPU is never full.

use crate::lock::address::LockAddress;
use crate::sync::{
    AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

const NO_LOCK: u64 = 0;
/// The number that means no CPU; CPU `i` has the number `i + 1`.
pub(super) const NOBODY: u32 = 0;

/// One lock and its waiter. Zero bytes are an entry of no lock.
#[derive(Debug)]
#[repr(C)]
pub struct Entry {
    lock: AtomicU64,
    number: AtomicU32,
}

impl Entry {
    /// An entry of no lock.
    #[expect(clippy::new_without_default, reason = "a test's way to make entries")]
    pub fn new() -> Self {
        Self {
            lock: AtomicU64::new(NO_LOCK),
            number: AtomicU32::new(NOBODY),
        }
    }
}

/// The table, one for all locks.
#[derive(Clone, Copy, Debug)]
pub struct Waiters<'a> {
    entries: &'a [Entry],
}

impl<'a> Waiters<'a> {
    /// A table of these entries, of which there are at least as many as CPUs.
    pub const fn new(entries: &'a [Entry]) -> Self {
        Self { entries }
    }

    /// Entries for this many CPUs: two each, which keeps the walks short.
    pub const fn entries_for(cpus: usize) -> usize {
        2 * cpus
    }

    /// All entries, starting at the one where `lock` would like to be.
    fn walk(self, lock: LockAddress) -> impl Iterator<Item = &'a Entry> + Clone {
        let (before, from) = self.entries.split_at(home(lock, self.entries.len()));
        from.iter().chain(before)
    }

    /// Notes that the CPU `number` is to be kicked by the release of `lock`.
    ///
    /// Relaxed for the number: what marks the lock slow publishes it.
    pub(super) fn insert(self, lock: LockAddress, number: u32) {
        for entry in self.walk(lock).cycle() {
            // Acquire pairs with the Release in `remove`: the number there has been read.
            let taken = entry
                .lock
                .compare_exchange(NO_LOCK, lock.get(), Acquire, Relaxed);
            if taken.is_ok() {
                entry.number.store(number, Relaxed);
                return;
            }
        }
    }

    /// Takes the entry of `lock` out and returns its CPU's number. Only the lock's holder may,
    /// who has seen it slow.
    pub(super) fn remove(self, lock: LockAddress) -> Option<u32> {
        // Relaxed: whoever made the entry did so before the lock was slow.
        let entry = self
            .walk(lock)
            .find(|entry| entry.lock.load(Relaxed) == lock.get())?;
        let number = entry.number.load(Relaxed);
        entry.lock.store(NO_LOCK, Release);
        Some(number)
    }
}

/// Fibonacci hashing: locks are aligned and lie in a row, so their low bits say little.
fn home(lock: LockAddress, entries: usize) -> usize {
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    let spread = lock.get().wrapping_mul(GOLDEN) >> 32;
    ((spread * entries as u64) >> 32) as usize
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "waiters_test.rs"]
mod tests;
