//! Thousands of snapshots or migrations of a machine that checks itself.
//!
//! Every machine is a `vmm` process of its own, driven over its API as anybody else would drive it.
//! [`run`] takes a [`Plan`] and gives a [`Report`].

mod campaign;
mod child;
mod error;
mod folder;
mod interrupts;
mod limit;
mod migration;
mod plan;
mod report;
mod snapshot;
mod stay;
mod table;
mod tally;

pub use campaign::run;
pub use error::Error;
pub use plan::{Mode, Plan, Until, WordsError, guest_words};
pub use report::{Downtime, EndedBy, Report, Resources, SCHEMA};
