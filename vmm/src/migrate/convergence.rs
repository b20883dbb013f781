//! Whether another round of pre-copy helps.

use std::time::Duration;

/// A round that leaves more than this share of what the one before left was of no use.
const USELESS_PERCENT: u64 = 90;
/// So many useless rounds on end, and the guest is writing faster than we send.
const USELESS_ROUNDS: u32 = 3;

/// What the user asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long the guest may stand still.
    pub downtime: Duration,
    /// After so many rounds the machine moves, whatever the downtime.
    pub max_rounds: u32,
}

/// What a finished round has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observed {
    /// Its number, from 1.
    pub round: u32,
    /// Bytes of memory that the guest has written since they were sent.
    pub bytes_left: u64,
    /// Bytes of memory sent in a second.
    pub rate: u64,
    /// Time a question and its answer take on the way.
    pub round_trip: Duration,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Send what is left while the guest runs.
    Round,
    /// Pause the guest and send the rest.
    SwitchOver(Why),
}

/// Why the guest is paused now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The rest fits the downtime limit.
    Fits,
    /// It does not, but the rounds are used up.
    MaxRounds,
}

/// Whether the rounds get anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outlook {
    /// Less is left after each.
    Converging,
    /// The guest writes as fast as we send: only [`Why::MaxRounds`] will end it.
    NotConverging,
}

/// Follows the rounds of one migration.
#[derive(Clone, Copy, Debug)]
pub struct Convergence {
    limits: Limits,
    least_left: u64,
    useless: u32,
}

impl Convergence {
    /// Before the first round.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            least_left: u64::MAX,
            useless: 0,
        }
    }

    /// Judges a finished round.
    pub fn after(&mut self, seen: Observed) -> Next {
        // Of a little that is left, a little more or less says nothing.
        let useful = u128::from(seen.bytes_left) * 100
            <= u128::from(self.least_left) * u128::from(USELESS_PERCENT);
        self.useless = if useful { 0 } else { self.useless + 1 };
        self.least_left = self.least_left.min(seen.bytes_left);
        if expected_downtime(seen.bytes_left, seen.rate, seen.round_trip) <= self.limits.downtime {
            Next::SwitchOver(Why::Fits)
        } else if seen.round >= self.limits.max_rounds {
            Next::SwitchOver(Why::MaxRounds)
        } else {
            Next::Round
        }
    }

    /// Whether the rounds so far got anywhere.
    pub fn outlook(&self) -> Outlook {
        if self.useless >= USELESS_ROUNDS {
            Outlook::NotConverging
        } else {
            Outlook::Converging
        }
    }
}

/// How long the guest would stand still if it were paused now: the rest at `rate`, then READY and
/// RUNNING, an answer each. Saving and loading the state come on top.
pub fn expected_downtime(bytes_left: u64, rate: u64, round_trip: Duration) -> Duration {
    let answers = round_trip.saturating_mul(2);
    if bytes_left == 0 {
        return answers;
    }
    let ns = u128::from(bytes_left) * 1_000_000_000 / u128::from(rate.max(1));
    answers.saturating_add(Duration::from_nanos(ns.try_into().unwrap_or(u64::MAX)))
}

/// `bytes` in `time` as bytes a second.
pub fn rate(bytes: u64, time: Duration) -> u64 {
    let per_second = u128::from(bytes) * 1_000_000_000 / time.as_nanos().max(1);
    per_second.try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "convergence_test.rs"]
mod tests;
