//! Percentile bootstrap of a median (Efron, Tibshirani: An Introduction to the Bootstrap, 1993,
//! chapter 13), widened to what the binomial distribution asks for.

use super::interval::Interval;
use super::order::central;
use super::resample::Draws;
use crate::median::of_scratch;

/// Times that the values are drawn anew.
pub const RESAMPLES: usize = 2000;
/// Seed of the draws: the same numbers give the same interval, whoever asks.
pub const SEED: u64 = 0x005e_ed0f_0b00_75a9;
/// Fewer values have no interval.
pub const FEWEST: usize = 3;

/// The interval of the median of `values`; `None` of fewer than [`FEWEST`], of which nothing can be
/// said.
pub fn median_interval(values: &[f64]) -> Option<Interval> {
    if values.len() < FEWEST {
        return None;
    }
    let mut draws = Draws::new(SEED);
    let mut sample = vec![0.0; values.len()];
    let mut medians = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        draws.fill(&mut sample, values);
        medians.push(of_scratch(&mut sample)?);
    }
    let central = central(values)?;
    Some(Interval::of_medians(&mut medians, central.level)?.widened(central))
}

#[cfg(test)]
#[path = "bootstrap_test.rs"]
mod tests;
