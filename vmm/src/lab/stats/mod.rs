//! Statistics of few, noisy runs: medians, bootstrap intervals, ratios, verdicts.
//!
//! Pure functions; the only randomness is resampling, and that has a fixed seed.
//!
//! ```
//! use vmm::lab::stats::{Verdict, paired};
//!
//! // Throughput of one lock and of another, repetition by repetition.
//! let pairs = [(21.0, 2.0), (19.0, 2.1), (20.0, 1.9), (22.0, 2.0), (20.5, 2.0), (19.5, 2.0)];
//! let ratio = paired(&pairs).ok_or("no pair has a ratio")?;
//! assert!((9.0..11.0).contains(&ratio.median));
//! assert_eq!(ratio.verdict(), Verdict::Higher);
//! # Ok::<(), &str>(())
//! ```

mod bootstrap;
mod interval;
mod order;
mod ratio;
mod resample;
mod verdict;

pub use crate::median::median;
pub use bootstrap::{FEWEST, RESAMPLES, SEED, median_interval};
pub use interval::{Interval, LEVEL};
pub use order::tail;
pub use ratio::{Ratio, paired, unpaired};
pub use verdict::{SURE_FROM, Verdict};
