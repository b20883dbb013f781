//! How many times as much: one cell against another.

use super::bootstrap::{FEWEST, RESAMPLES, SEED, median_interval};
use super::interval::Interval;
use super::order::central;
use super::resample::Draws;
use super::verdict::Verdict;
use crate::median::{median, of_scratch};

/// How many times as much.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    /// The ratio.
    pub median: f64,
    /// Its interval, where there are enough runs for one.
    pub interval: Option<Interval>,
    /// Pairs that it rests on; unpaired, runs of the smaller side.
    pub runs: usize,
}

impl Ratio {
    /// What the interval allows to say.
    pub fn verdict(&self) -> Verdict {
        Verdict::of(self.interval)
    }
}

/// `value / base`: as much as can be where only the base is 0. Nothing where both are, or the base
/// is below 0.
fn quotient(value: f64, base: f64) -> Option<f64> {
    Some(value / base).filter(|ratio| base >= 0.0 && !ratio.is_nan())
}

/// The median of `value / base` over pairs `(value, base)` of runs that share a seed and stood next
/// to each other: what changes slowly on the host falls out. A base of 0 makes the ratio infinite;
/// `None` where no pair has a ratio.
pub fn paired(pairs: &[(f64, f64)]) -> Option<Ratio> {
    let ratios: Vec<_> = pairs
        .iter()
        .filter_map(|(value, base)| quotient(*value, *base))
        .collect();
    Some(Ratio {
        median: median(&ratios)?,
        interval: median_interval(&ratios),
        runs: ratios.len(),
    })
}

/// The ratio of the medians of runs that are no pairs, as of two builds or hosts; both sides are
/// drawn anew for the interval. `None` where a side has no runs, or the medians no ratio.
pub fn unpaired(values: &[f64], base: &[f64]) -> Option<Ratio> {
    let (above, below) = (median(values)?, median(base)?);
    let ratio = quotient(above, below)?;
    let runs = values.len().min(base.len());
    let interval = (runs >= FEWEST)
        .then(|| {
            let (values_in, base_in) = (central(values)?, central(base)?);
            let drawn = drawn_anew(values, base, values_in.level.min(base_in.level))?;
            let at_least = combined(ratio, (above, values_in), (below, base_in));
            Some(drawn.widened(Interval {
                level: drawn.level,
                ..at_least
            }))
        })
        .flatten();
    Some(Ratio {
        median: ratio,
        interval,
        runs,
    })
}

/// The interval of a quotient from those of both medians, as far as either moves it in logarithms
/// (Zou, Donner: Construction of confidence limits about effect measures, 2008). An end that has no
/// logarithm is none.
fn combined(ratio: f64, above: (f64, Interval), below: (f64, Interval)) -> Interval {
    let ((value, of_value), (base, of_base)) = (above, below);
    let down = (value / of_value.low)
        .ln()
        .hypot((of_base.high / base).ln());
    let up = (of_value.high / value)
        .ln()
        .hypot((base / of_base.low).ln());
    Interval {
        low: ratio * (-down).exp(),
        high: ratio * up.exp(),
        level: of_value.level.min(of_base.level),
    }
}

fn drawn_anew(values: &[f64], base: &[f64], level: f64) -> Option<Interval> {
    let mut draws = Draws::new(SEED);
    let mut above = vec![0.0; values.len()];
    let mut below = vec![0.0; base.len()];
    let mut ratios = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        draws.fill(&mut above, values);
        draws.fill(&mut below, base);
        ratios.extend(quotient(of_scratch(&mut above)?, of_scratch(&mut below)?));
    }
    Interval::of_medians(&mut ratios, level)
}

#[cfg(test)]
#[path = "ratio_test.rs"]
mod tests;
