//! The API socket: HTTP/1.1 and JSON over a Unix socket.
//!
//! [`SocketFile`](crate::os::socket_file::SocketFile) owns the socket file, [`Server`] the connections, [`Operations`] is what a machine
//! has to offer, and [`client`] is the other side. The document that describes all of it is
//! [`OPENAPI`].

pub mod client;
mod connection;
mod connections;
mod json;
mod migration;
mod operations;
mod operator;
mod request;
mod response;
mod route;
mod server;
mod types;

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod hostile_test;
#[cfg(test)]
mod openapi_test;

pub use operations::{Operations, Refusal, RefusalKind};
pub use operator::Operator;
pub use route::OPENAPI;
pub use server::{Limits, Server};
pub use types::{
    MigrateDone, MigrateRequest, Operation, OperationKind, PayloadState, PayloadStatus,
    SnapshotDone, SnapshotRequest, State, Stats, Status, Then, VcpuState, VcpuStats, Verify,
};
