//! What a run found, as a table and as JSON.
//!
//! [`run::RunReport`] is the whole of it; its JSON form is the documented schema `vmm.run/1`.
//! Everything here is pure but [`output`] and [`progress`].

#[doc(hidden)]
pub mod advice;
pub mod cpu_counts;
pub mod crash;
pub mod fairness;
pub mod hang;
pub mod hex;
#[doc(hidden)]
pub mod live;
#[doc(hidden)]
pub mod output;
pub mod payload;
pub mod percentile;
pub mod ple;
#[doc(hidden)]
pub mod progress;
pub mod resources;
#[doc(hidden)]
pub mod row;
pub mod run;
#[doc(hidden)]
pub mod screen;
pub mod table;
#[doc(hidden)]
pub mod units;
pub mod violations;
#[doc(hidden)]
pub mod wrap;

#[cfg(test)]
mod sample;
#[cfg(test)]
mod schema_test;
