//! What a process takes of its host over a long run: memory, descriptors and threads, sampled now and
//! then, and whether they grow.
//!
//! The rule looks at the second half of the samples, when what a process takes to get going has been
//! taken. The growth of each quantity there is the median of the slopes between all pairs of samples
//! (Theil and Sen: single peaks do not move it) times the distance from the first of them to the last.

mod curve;
mod sample;

pub use curve::{Curve, Growth, Verdict};
pub use sample::Sample;
