//! What the API asks of a machine.

use super::types::{MigrateDone, MigrateRequest, SnapshotDone, SnapshotRequest, Stats, Status};

/// What a running machine does for those who reach its socket.
///
/// Called from the threads of connections, several at once: `status` while another operation runs,
/// and two operations at the same time, of which one has to be refused as
/// [`RefusalKind::Conflict`]. An operation returns when it is done; [`Server::close`] does not
/// interrupt it.
///
/// [`Server::close`]: super::Server::close
pub trait Operations: Sync {
    /// How the machine is. Waits for nothing.
    fn status(&self) -> Status;

    /// What it does and has done, vCPU by vCPU. Waits for nothing.
    fn stats(&self) -> Stats;

    /// Pauses all vCPUs. No fault where they are paused already.
    ///
    /// # Errors
    /// [`Refusal`].
    fn pause(&self) -> Result<(), Refusal>;

    /// Lets paused vCPUs go on. No fault where they run already.
    ///
    /// # Errors
    /// [`Refusal`].
    fn resume(&self) -> Result<(), Refusal>;

    /// Ends the machine, as Ctrl-C does.
    ///
    /// # Errors
    /// [`Refusal`].
    fn stop(&self) -> Result<(), Refusal>;

    /// Saves the machine to a file.
    ///
    /// # Errors
    /// [`Refusal`]; then the file is what it was before.
    fn snapshot(&self, request: &SnapshotRequest) -> Result<SnapshotDone, Refusal>;

    /// Moves the machine to another process.
    ///
    /// # Errors
    /// [`Refusal`]; then the machine runs here as before.
    fn migrate(&self, request: &MigrateRequest) -> Result<MigrateDone, Refusal>;
}

/// Why an operation was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// What kind of reason.
    pub kind: RefusalKind,
    /// The reason in one sentence: the thing and the cure.
    pub message: String,
    /// More, one fact an entry: for example the differences between two hosts.
    pub details: Vec<String>,
}

/// Kinds of [`Refusal`], by who can do something about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// Not in this state of the machine: later, or after another operation (409).
    Conflict,
    /// Not with these values (400).
    Invalid,
    /// It was tried and failed; the machine goes on as before (500).
    Failed,
    /// The machine is no longer here (410).
    Gone,
}

impl Refusal {
    /// A refusal without details.
    pub fn new(kind: RefusalKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            details: Vec::new(),
        }
    }
}
