//! Counting what the machines of a soak say.

use crate::control::PayloadStatus;

/// Promises that the guest or the counting device found broken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Checks {
    pub(super) violations: u64,
    pub(super) tsc_backwards: u64,
    pub(super) kvmclock_backwards: u64,
    pub(super) io_duplicated: u64,
    pub(super) io_lost: u64,
}

impl Checks {
    fn each(self, other: Self, join: fn(u64, u64) -> u64) -> Self {
        Self {
            violations: join(self.violations, other.violations),
            tsc_backwards: join(self.tsc_backwards, other.tsc_backwards),
            kvmclock_backwards: join(self.kvmclock_backwards, other.kvmclock_backwards),
            io_duplicated: join(self.io_duplicated, other.io_duplicated),
            io_lost: join(self.io_lost, other.io_lost),
        }
    }
}

impl From<&PayloadStatus> for Checks {
    fn from(status: &PayloadStatus) -> Self {
        Self {
            violations: status.violations,
            tsc_backwards: status.tsc_backwards,
            kvmclock_backwards: status.kvmclock_backwards,
            io_duplicated: status.io_duplicated,
            io_lost: status.io_lost,
        }
    }
}

/// Everything counted so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) cycles: u64,
    pub(super) hidden_kicks: u64,
    pub(super) kicks_repaired: u64,
    pub(super) lost_kicks: u64,
    pub(super) hangs: u64,
    pub(super) sources_went_on: u64,
    pub(super) downtimes_ns: Vec<u64>,
    /// Of guests that are no more.
    before: Checks,
    /// Of the one that runs. It carries its counts from process to process, so the most that any
    /// of them said is what there was, also where one went back to an older file.
    now: Checks,
}

impl Tally {
    /// What a machine says of itself.
    pub(super) fn note(&mut self, status: &PayloadStatus) {
        self.now = self.now.each(status.into(), u64::max);
    }

    /// A new guest begins to count at 0.
    pub(super) fn new_guest(&mut self) {
        self.before = self.checks();
        self.now = Checks::default();
    }

    /// The promises broken so far.
    pub(super) fn checks(&self) -> Checks {
        self.before.each(self.now, u64::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::PayloadState;

    fn status(violations: u64, io_lost: u64) -> PayloadStatus {
        PayloadStatus {
            state: PayloadState::Running,
            acquisitions: 1,
            halts: 0,
            kicks_sent: 0,
            violations,
            tsc_backwards: 0,
            kvmclock_backwards: 0,
            io_duplicated: 0,
            io_lost,
        }
    }

    #[test]
    fn a_guest_that_moves_is_counted_once_and_the_next_guest_too() {
        let mut tally = Tally::default();
        tally.note(&status(1, 0));
        tally.note(&status(2, 1));
        // Back to an older file.
        tally.note(&status(1, 0));
        assert_eq!((tally.checks().violations, tally.checks().io_lost), (2, 1));
        tally.new_guest();
        tally.note(&status(3, 0));
        assert_eq!((tally.checks().violations, tally.checks().io_lost), (5, 1));
    }
}
