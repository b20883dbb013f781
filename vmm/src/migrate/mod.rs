//! A machine that moves to another process while it runs.
//!
//! Memory goes first, in rounds, while the guest runs on ([`phase`], [`convergence`]); then the
//! guest stands still for the last pages and its state; then one side commits ([`session`]).
//! **Exactly one side runs, always.** The engine knows neither KVM nor `machine`: it moves what is
//! behind [`Origin`] into what is behind [`Destination`].
//!
//! Bytes: `frame`, `message`, `batch`, read and written by `wire` within `pace`.

mod arrival;
mod batch;
pub mod convergence;
mod delivery;
mod departure;
pub mod digest;
pub mod endpoint;
mod ends;
mod error;
mod fields;
mod frame;
mod hold;
mod incoming;
mod layout;
mod link;
mod message;
pub mod options;
mod outgoing;
mod pace;
mod page_set;
pub mod phase;
pub mod progress;
pub mod session;
mod source;
mod target;
mod tls;
mod transport;
mod visit;
mod wire;

#[cfg(fuzzing)]
pub mod fuzzing;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod fake_network;
#[cfg(test)]
mod fault_test;
#[cfg(test)]
mod hostile_test;
#[cfg(test)]
mod move_test;
#[cfg(test)]
mod tls_test;

pub use digest::Verify;
pub use endpoint::{Endpoint, EndpointError, Listen, Target};
pub use ends::{Destination, MachineError, Origin, Refusal};
pub use error::{Error, ReceiveError, SendError};
pub use options::{Options, PEER_TIMEOUT, ReceiveOptions, Security, TlsFiles};
pub use phase::Phase;
pub use progress::{Progress, Received, Report};
pub use session::Session;
pub use source::send;
pub use target::{Answering, Receiver};

/// Bytes of a page, the unit of the dirty log and of everything sent.
pub const PAGE_BYTES: usize = 4096;
