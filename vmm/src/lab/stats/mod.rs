//! Statistics of few, noisy runs: medians, bootstrap intervals, ratios, verdicts.
//!
//! Pure functions; the only randomness is resampling, and that has a fixed seed.

mod bootstrap;
mod median;
mod order;
mod ratio;
mod resample;
mod verdict;

pub use bootstrap::{FEWEST, Interval, LEVEL, RESAMPLES, SEED, median_interval};
pub use median::median;
pub use order::tail;
pub use ratio::{Ratio, paired, unpaired};
pub use verdict::{SURE_FROM, Verdict};
