//! How long a peer may keep us waiting.
//!
//! A budget of waiting time: waiting spends it, bytes earn it back at a minimal rate, and it never
//! holds more than the peer's time limit. So a silent peer ends it after that time, and so does one
//! that trickles. Time in which we do something else costs nothing.

use std::io::{self, IoSlice, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::link::{Channel, Link};

/// The least that a peer has to move in the long run, in bytes a second.
pub(super) const RATE_MIN: u64 = 256 << 10;
/// How long one system call waits.
pub(super) const SLICE: Duration = Duration::from_millis(20);

/// How often a peer that was sent away is listened to, and how many silences that may hold.
const PARTING_READS: u32 = 4096;
const PARTING_SILENCES: u32 = 15;

/// The budget.
#[derive(Clone, Copy, Debug)]
struct Budget {
    limit: Duration,
    left: Duration,
}

impl Budget {
    fn new(limit: Duration) -> Self {
        Self { limit, left: limit }
    }

    /// Whether anything is left after `time`.
    fn spend(&mut self, time: Duration) -> bool {
        self.left = self.left.saturating_sub(time);
        !self.left.is_zero()
    }

    fn earn(&mut self, bytes: u64) {
        let ns = u128::from(bytes) * 1_000_000_000 / u128::from(RATE_MIN);
        let earned = Duration::from_nanos(ns.try_into().unwrap_or(u64::MAX));
        let more = self.left.saturating_add(earned).min(self.limit);
        self.left = self.left.max(more);
    }
}

/// What a read does when nothing comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// Waits as long as the budget lasts.
    Budget,
    /// Returns `WouldBlock` after a slice: the caller looks at something else meanwhile.
    Slice,
}

/// The budget of one connection, shared by those who wait on it.
#[derive(Clone, Debug)]
pub(super) struct Pace(Arc<Mutex<(Budget, Patience)>>);

/// The peer was too slow.
#[derive(Debug, thiserror::Error)]
#[error(
    "the peer was silent, or slower than {} KiB/s, for {limit:?} (--peer-timeout)",
    RATE_MIN >> 10
)]
pub struct TooSlow {
    limit: Duration,
}

impl Pace {
    /// With the peer's time limit.
    pub(super) fn new(limit: Duration) -> Self {
        Self(Arc::new(Mutex::new((Budget::new(limit), Patience::Budget))))
    }

    fn lock(&self) -> MutexGuard<'_, (Budget, Patience)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something was achieved that is not measured in bytes: the budget is full again. Only for
    /// what can happen a bounded number of times.
    pub(super) fn renew(&self) {
        let budget = &mut self.lock().0;
        budget.left = budget.left.max(budget.limit);
    }

    /// The peer has got so many bytes of work done.
    pub(super) fn earn(&self, bytes: u64) {
        self.lock().0.earn(bytes);
    }

    /// The peer needs `more` for what it is doing now.
    pub(super) fn allow(&self, more: Duration) {
        let budget = &mut self.lock().0;
        budget.left = budget.limit.saturating_add(more);
    }

    pub(super) fn set_patience(&self, patience: Patience) {
        self.lock().1 = patience;
    }

    /// Repeats `call` until it does something or the budget is spent.
    fn within<T: Copy + Into<Moved>>(
        &self,
        mut call: impl FnMut() -> io::Result<T>,
    ) -> io::Result<T> {
        loop {
            let start = Instant::now();
            let result = call();
            let time = start.elapsed();
            let (budget, patience) = &mut *self.lock();
            let too_slow = |limit| io::Error::new(io::ErrorKind::TimedOut, TooSlow { limit });
            match result {
                Ok(moved) => {
                    // A trickle of bytes is silence too.
                    if !budget.spend(time) {
                        return Err(too_slow(budget.limit));
                    }
                    budget.earn(moved.into().0);
                    return Ok(moved);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                    ) =>
                {
                    if *patience == Patience::Slice {
                        return Err(io::ErrorKind::WouldBlock.into());
                    }
                    if !budget.spend(time) {
                        return Err(too_slow(budget.limit));
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// Bytes moved by a call.
struct Moved(u64);

impl From<usize> for Moved {
    fn from(bytes: usize) -> Self {
        Self(bytes as u64)
    }
}

impl From<()> for Moved {
    fn from((): ()) -> Self {
        Self(0)
    }
}

/// A channel whose reads and writes wait no longer than its pace allows.
#[derive(Debug)]
pub(super) struct Paced {
    channel: Box<dyn Channel>,
    pace: Pace,
}

impl Paced {
    pub(super) fn new(channel: Box<dyn Channel>, pace: Pace) -> io::Result<Self> {
        channel.set_slice(SLICE)?;
        Ok(Self { channel, pace })
    }
}

impl Link for Paced {
    fn part(&mut self) {
        self.pace.set_patience(Patience::Slice);
        if self.channel.end_writing().is_err() {
            return;
        }
        let mut ignored = [0; 16 << 10];
        let mut silences = 0;
        for _ in 0..PARTING_READS {
            match self.read(&mut ignored) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => silences += 1,
                Err(_) => return,
            }
            if silences == PARTING_SILENCES {
                return;
            }
        }
    }
}

impl Read for Paced {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.pace.within(|| self.channel.read(buf))
    }
}

impl Write for Paced {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.pace.within(|| self.channel.write(buf))
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.pace.within(|| self.channel.write_vectored(bufs))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.pace.within(|| self.channel.flush())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    #[test]
    fn a_silent_peer_spends_the_budget() {
        let mut budget = Budget::new(LIMIT);
        assert!(budget.spend(LIMIT - Duration::from_nanos(1)));
        assert!(!budget.spend(Duration::from_nanos(1)));
    }

    #[test]
    fn a_byte_every_nine_seconds_is_not_enough() {
        let mut budget = Budget::new(LIMIT);
        assert!(budget.spend(Duration::from_secs(9)));
        budget.earn(1);
        assert!(!budget.spend(Duration::from_secs(9)));
    }

    #[test]
    fn work_that_takes_long_is_allowed_for_once() {
        let pace = Pace::new(LIMIT);
        pace.allow(LIMIT);
        pace.earn(1 << 40);
        let budget = &mut pace.lock().0;
        assert!(budget.spend(LIMIT + LIMIT / 2));
        budget.earn(1 << 40);
        assert_eq!(budget.left, LIMIT);
    }

    proptest! {
        /// Whoever keeps the minimal rate is never too slow, whatever the pieces.
        #[test]
        fn the_minimal_rate_is_enough(pieces in prop::collection::vec(1u64..1 << 20, 1..200)) {
            let mut budget = Budget::new(LIMIT);
            for bytes in pieces {
                let time = Duration::from_nanos(bytes * 1_000_000_000 / RATE_MIN);
                prop_assert!(budget.spend(time));
                budget.earn(bytes);
            }
        }

        /// Nobody saves up: after any traffic, silence ends within the limit.
        #[test]
        fn silence_ends_within_the_limit(bytes in any::<u64>()) {
            let mut budget = Budget::new(LIMIT);
            budget.earn(bytes);
            prop_assert!(!budget.spend(LIMIT));
        }
    }
}
