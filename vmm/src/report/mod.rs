//! What a run found, as a table and as JSON.
//!
//! [`run::RunReport`] is the whole of it; its JSON form is the documented schema `vmm.run/1`.
//! Everything here is pure but [`output`] and [`progress`].

pub mod advice;
pub mod cpu_counts;
pub mod crash;
pub mod fairness;
pub mod hang;
pub mod hex;
pub mod live;
pub mod output;
pub mod payload;
pub mod percentile;
pub mod ple;
pub mod progress;
pub mod run;
pub mod screen;
pub mod snapshot_view;
pub mod stats;
pub mod status;
pub mod table;
pub mod units;
pub mod wrap;

#[cfg(test)]
mod sample;
#[cfg(test)]
mod schema_test;
