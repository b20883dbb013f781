//! What this host's KVM can do, each found by trying.
//!
//! `tiny_vm` is the laboratory: a VM of a few pages that runs a few instructions and always ends.
//! Upon it stand the one question that every run asks ([`vmcall_completes`]) and the table of
//! [`checks`].

pub mod check;
pub mod checks;
pub mod code;
pub mod debugging;
mod error;
mod identity;
mod open;
pub mod ple;
pub mod tiny_vm;
pub mod tracepoints;
mod vmcall;

pub use error::HostError;
pub use identity::{Identity, Kind};
pub use open::open_kvm;
pub use vmcall::{Sureness, VmcallAnswer, vmcall_completes};
