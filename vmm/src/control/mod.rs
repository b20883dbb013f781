//! The API socket: HTTP/1.1 and JSON over a Unix socket.
//!
//! [`SocketFile`](crate::os::socket_file::SocketFile) owns the socket file, [`Server`] the connections, [`Operations`] is what a machine
//! has to offer, and [`client`] is the other side. The document that describes all of it is
//! [`OPENAPI`].

pub mod client;
mod connection;
mod connections;
mod doorman;
mod errands;
mod exchange;
mod json;
mod limits;
mod migration;
mod operations;
mod operator;
mod request;
mod response;
mod route;
mod server;
pub mod stats_table;
pub mod status_text;
mod types;

#[cfg(fuzzing)]
pub mod fuzzing;

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod hostile_test;
#[cfg(test)]
mod openapi_test;

pub use route::OPENAPI;
pub use types::{
    MigrateDone, MigrateRequest, Operation, OperationKind, PayloadState, PayloadStatus,
    SnapshotDone, SnapshotRequest, State, Stats, Status, Then, VcpuState, VcpuStats, Verify,
};

// The server's side, for this repository's own binary, tests and fuzz targets.
#[doc(hidden)]
pub use doorman::Doorman;
#[doc(hidden)]
pub use errands::Errands;
#[doc(hidden)]
pub use limits::Limits;
#[doc(hidden)]
pub use operations::{Operations, Refusal, RefusalKind};
#[doc(hidden)]
pub use operator::Operator;
#[doc(hidden)]
pub use server::Server;
