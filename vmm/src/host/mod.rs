//! What this host's KVM can do, each found by trying.
//!
//! `tiny_vm` is the laboratory: a VM of a few pages that runs a few instructions and always ends.
//! Upon it stand the one question that every run asks ([`vmcall_completes`]) and the table of
//! [`checks`].
//!
//! ```
//! let host = vmm::host::Identity::detect();
//! println!("{} on Linux {}", host.kind, host.kernel);
//! match vmm::host::open_kvm() {
//!     Ok(kvm) => println!("vmcall completes: {}", vmm::host::vmcall_completes(&kvm)?),
//!     Err(error) => println!("no KVM here: {error}"),
//! }
//! # Ok::<(), vmm::host::HostError>(())
//! ```

pub mod check;
pub mod checks;
#[doc(hidden)]
pub mod code;
#[doc(hidden)]
pub mod debugging;
mod error;
mod identity;
mod open;
pub mod ple;
#[doc(hidden)]
#[expect(unsafe_code, reason = "the memory of a VM that is tried")]
pub mod tiny_vm;
pub mod tracepoints;
mod vmcall;

pub use error::HostError;
pub use identity::{Identity, Kind};
pub use open::open_kvm;
pub use vmcall::{Sureness, VmcallAnswer, vmcall_completes};
