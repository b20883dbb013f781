//! The causal life of each kick: unlock, kick, wake, run, acquire, on host and guest.
//!
//! [`crate::pv::recorder`] records on the host, one ring a vCPU; the payload records in its own
//! memory, which [`guest`] reads. [`join`] puts both together by TSC, [`chrome`] writes what comes
//! out as a file for trace viewers. Nothing here knows the machine: `machine` calls it.

pub mod chrome;
pub mod guest;
pub mod join;
pub mod life;
pub mod recording;
pub mod summary;
mod wait_index;
mod waits;
