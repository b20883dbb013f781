//! The host side of paravirtual spinlocks as a userspace KVM hypervisor.
//!
//! The folders are the plan of the house: `cli` parses and prints, `machine` builds and runs,
//! `vcpu` is one thread's loop, `pv` is the heart (APIC IDs, hypercall, kick, halt).

pub mod boot;
pub mod cli;
pub mod conformance;
pub mod control;
pub mod cpu;
pub mod debugger;
pub mod device;
mod error_chain;
pub mod host;
pub mod kvm;
pub mod lab;
pub mod machine;
pub mod memory;
pub mod migrate;
pub mod os;
pub mod ple;
pub mod pv;
mod random;
pub mod report;
pub mod sched;
pub mod snapshot;
pub mod soak;
pub mod spec;
mod sync;
pub mod text;
pub mod trace;
pub mod vcpu;
