//! Promises that a lock, or the machine below it, broke.

use serde::{Deserialize, Serialize};

use crate::device::counter::IoCounts;

/// Times that a lock or the machine below it broke a promise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violations {
    /// Two vCPUs were inside one lock.
    pub mutual_exclusion: u64,
    /// A ticket was served out of turn.
    pub fifo: u64,
    /// A lock was read or written after its release.
    pub touch_after_unlock: u64,
    /// An access to the counting device was done more than once: reads as the guest saw it, writes
    /// as the device did.
    pub io_duplicated: u64,
    /// An access to the counting device was not done, or its effect was lost; as above.
    pub io_lost: u64,
    /// The TSC went back, on one vCPU or from one to the next.
    pub tsc_backwards: u64,
    /// kvmclock went back, on one vCPU or from one to the next.
    pub kvmclock_backwards: u64,
}

impl Violations {
    /// All of them.
    pub fn total(&self) -> u64 {
        let Self {
            mutual_exclusion,
            fifo,
            touch_after_unlock,
            io_duplicated,
            io_lost,
            tsc_backwards,
            kvmclock_backwards,
        } = *self;
        [
            mutual_exclusion,
            fifo,
            touch_after_unlock,
            io_duplicated,
            io_lost,
            tsc_backwards,
            kvmclock_backwards,
        ]
        .into_iter()
        .fold(0, u64::saturating_add)
    }

    /// Adds another vCPU's. Sums saturate: the numbers are the guest's.
    pub fn add(&mut self, other: &Self) {
        let Self {
            mutual_exclusion,
            fifo,
            touch_after_unlock,
            io_duplicated,
            io_lost,
            tsc_backwards,
            kvmclock_backwards,
        } = other;
        grow(&mut self.mutual_exclusion, *mutual_exclusion);
        grow(&mut self.fifo, *fifo);
        grow(&mut self.touch_after_unlock, *touch_after_unlock);
        grow(&mut self.io_duplicated, *io_duplicated);
        grow(&mut self.io_lost, *io_lost);
        grow(&mut self.tsc_backwards, *tsc_backwards);
        grow(&mut self.kvmclock_backwards, *kvmclock_backwards);
    }

    /// Adds what the counting device saw. Its half and the guest's never count the same access: the
    /// device judges writes, the guest reads.
    pub fn add_device(&mut self, counts: &IoCounts) {
        grow(&mut self.io_duplicated, counts.duplicated);
        grow(&mut self.io_lost, counts.lost);
    }
}

fn grow(sum: &mut u64, by: u64) {
    *sum = sum.saturating_add(by);
}
