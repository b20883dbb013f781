//! Locks, PV backends and the guest/host ABI of the bundled guest payload.
//!
//! The library is `no_std` and knows nothing of the VMM. It compiles for three worlds: the guest
//! (`cfg(guest)`, at boot patched in place), the host (unit and property tests, and the VMM's
//! own definitions of ports and pages) and loom (`cfg(loom)`).
#![cfg_attr(not(any(test, loom)), no_std)]

pub mod abi;
pub mod args;
pub mod clocks;
pub mod conformance;
pub mod content;
pub mod havoc;
pub mod key;
pub mod lock;
pub mod pv;
pub mod rsdp;
pub mod sequence;
pub mod stats;
pub mod sync;
pub mod trace;

/// The bootable payload: a 64-bit PVH ELF.
#[cfg(feature = "image")]
pub static IMAGE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/guest-payload.elf"));
