//! The laboratory above the single run: experiments, their results, statistics and reports.
//!
//! Knows machines only as child processes: `vmm run --json`.

pub mod builtin;
pub mod cells;
mod child;
pub mod experiment;
pub mod factor;
mod folder;
pub mod keys;
mod metrics;
pub mod plan;
pub mod provenance;
pub mod record;
pub mod report;
mod resolved;
mod results;
mod run_one;
pub mod shard;
pub mod spec;
mod spec_error;
pub mod stats;
mod summary;
#[cfg(test)]
mod test_spec;

pub use spec_error::SpecError;
