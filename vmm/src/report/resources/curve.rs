//! Samples over a run, and what they say.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Sample;
use crate::median::of_scratch;
use crate::report::units;

/// A curve of so many points shows all that there is to see.
const POINTS: u64 = 100;
/// Fewer samples in the second half decide nothing.
const DECIDED_BY: usize = 8;
/// Memory that grows by less is flat: a hundredth of it.
const SHARE: f64 = 0.01;
/// So it is below this, where a hundredth is less.
const ALLOWANCE_BYTES: f64 = 128.0 * 1024.0;
/// Descriptors and threads are whole ones.
const ALLOWANCE_COUNT: f64 = 0.5;

/// What a process takes, over all of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// A sample was taken whenever so many cycles or runs were done.
    pub every: u64,
    /// In the order of time.
    pub samples: Vec<Sample>,
    /// How much it grew over the second half of them; null where these are too few to tell.
    pub growth: Option<Growth>,
}

/// How much something grew from the first sample of the second half to the last, less than 0 where it
/// shrank.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Growth {
    /// Cycles or runs between the two.
    pub over: u64,
    /// Of [`Sample::rss_bytes`].
    pub rss_bytes: f64,
    /// Of [`Sample::anonymous_bytes`].
    pub anonymous_bytes: f64,
    /// Of [`Sample::descriptors`].
    pub descriptors: f64,
    /// Of [`Sample::threads`].
    pub threads: f64,
    /// None of them grew by more than is allowed.
    pub verdict: Verdict,
}

/// Whether it goes on growing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It does not.
    Flat,
    /// It does.
    Grows,
}

impl Curve {
    /// For a run of `total` cycles.
    pub fn over(total: u64) -> Self {
        Self {
            every: total.div_ceil(POINTS).max(1),
            ..Self::default()
        }
    }

    /// Whether a sample is due after `done`.
    pub fn is_due(&self, done: u64) -> bool {
        done.is_multiple_of(self.every.max(1))
    }

    /// Adds what was seen, if anything was.
    pub fn add(&mut self, sample: Option<Sample>) {
        self.samples.extend(sample);
        self.growth = self.look();
    }

    fn look(&self) -> Option<Growth> {
        let half = self.samples.get(self.samples.len() / 2..)?;
        if half.len() < DECIDED_BY {
            return None;
        }
        let over = half.last()?.done.saturating_sub(half.first()?.done);
        let of = |quantity: fn(&Sample) -> u64| growth(half, over, quantity);
        let (rss, rss_allowed) = (of(|s| s.rss_bytes), allowed(half, |s| s.rss_bytes));
        let (anonymous, anonymous_allowed) = (
            of(|s| s.anonymous_bytes),
            allowed(half, |s| s.anonymous_bytes),
        );
        let (descriptors, threads) = (of(|s| s.descriptors), of(|s| s.threads));
        let is_flat = rss <= rss_allowed
            && anonymous <= anonymous_allowed
            && descriptors <= ALLOWANCE_COUNT
            && threads <= ALLOWANCE_COUNT;
        Some(Growth {
            over,
            rss_bytes: rss,
            anonymous_bytes: anonymous,
            descriptors,
            threads,
            verdict: if is_flat {
                Verdict::Flat
            } else {
                Verdict::Grows
            },
        })
    }
}

/// By how much memory may grow.
fn allowed(half: &[Sample], quantity: fn(&Sample) -> u64) -> f64 {
    let mut values: Vec<_> = half.iter().map(|sample| quantity(sample) as f64).collect();
    of_scratch(&mut values).map_or(ALLOWANCE_BYTES, |middle| {
        (middle * SHARE).max(ALLOWANCE_BYTES)
    })
}

/// The median of the slopes between all pairs, times `over`.
fn growth(half: &[Sample], over: u64, quantity: fn(&Sample) -> u64) -> f64 {
    let mut slopes = Vec::new();
    for (place, first) in half.iter().enumerate() {
        for second in half.iter().skip(place + 1) {
            let distance = second.done.saturating_sub(first.done);
            if distance > 0 {
                let rise = quantity(second) as f64 - quantity(first) as f64;
                slopes.push(rise / distance as f64);
            }
        }
    }
    of_scratch(&mut slopes).unwrap_or(0.0) * over as f64
}

impl fmt::Display for Curve {
    /// In a line: the verdict, and what it rests on.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(growth) = self.growth else {
            return write!(
                f,
                "memory and descriptors: {} samples are too few to tell whether they grow",
                self.samples.len()
            );
        };
        let verdict = match growth.verdict {
            Verdict::Flat => "memory and descriptors flat",
            Verdict::Grows => "MEMORY OR DESCRIPTORS GROW",
        };
        let now = self.samples.last().map_or(0, |sample| sample.rss_bytes);
        write!(
            f,
            "{verdict}: over the last {} RSS {} of {}, anonymous {}, descriptors {:+.0}, threads {:+.0}",
            units::count(growth.over),
            signed_bytes(growth.rss_bytes),
            units::bytes(now),
            signed_bytes(growth.anonymous_bytes),
            growth.descriptors,
            growth.threads,
        )
    }
}

/// With its sign, in KiB.
fn signed_bytes(bytes: f64) -> String {
    format!("{:+.0} KiB", bytes / 1024.0)
}

#[cfg(test)]
#[path = "curve_test.rs"]
mod tests;
