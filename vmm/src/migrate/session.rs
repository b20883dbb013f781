//! Who may run the machine: the decision of each side, without a connection in it.
//!
//! The source may run it while it is [`SourceSide::Owns`] or [`SourceSide::Kept`], the target while
//! it is [`TargetSide::Runs`]. The target gets there only by a COMMIT, and the source sends one only
//! after it has left for good: so never do both. A test walks through every order of messages,
//! losses and time limits.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};

/// Names one attempt to move one machine, so that a COMMIT that comes over a second connection
/// reaches the machine that it is meant for and nobody can guess it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Session([u8; 16]);

impl Session {
    /// A new one, at random.
    ///
    /// # Errors
    /// The kernel gives no random numbers.
    pub fn random() -> io::Result<Self> {
        let mut bytes = [0; 16];
        File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        Ok(Self(bytes))
    }

    pub(super) fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub(super) fn bytes(self) -> [u8; 16] {
        self.0
    }
}

impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Enough to tell sessions apart in a message, not enough to commit one.
        self.0[..4]
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({self})")
    }
}

/// Where the source stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SourceSide {
    /// The machine is its own; the target is being filled.
    Owns,
    /// The migration has failed; the machine stays for good.
    Kept,
    /// It has left for good and is telling the target so.
    Committed,
    /// The target has said that it runs.
    Moved,
    /// Nobody answered the COMMIT in time. The target may run or not.
    Unconfirmed,
    /// The target answered the COMMIT with: I have nothing.
    Lost,
}

/// What the source learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SourceEvent {
    /// READY arrived.
    Ready,
    /// Anything went wrong: the connection, the peer, the machine, the user.
    Fault,
    /// RUNNING arrived.
    Running,
    /// GONE arrived.
    Gone,
    /// The time for delivering a COMMIT is over.
    TimeOver,
}

/// What the source has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SourceStep {
    /// Nothing.
    Nothing,
    /// Let the machine go on here.
    GoOn,
    /// Leave for good, then send COMMIT.
    LeaveAndCommit,
    /// Connect anew and send COMMIT again.
    CommitAgain,
    /// Say how it ended.
    Finish,
}

impl SourceSide {
    /// Whether the machine may run at the source.
    pub fn may_run(self) -> bool {
        matches!(self, Self::Owns | Self::Kept)
    }

    /// The answer to `event`.
    #[must_use]
    pub fn on(self, event: SourceEvent) -> (Self, SourceStep) {
        use {SourceEvent as E, SourceStep as S};
        match (self, event) {
            (Self::Owns, E::Ready) => (Self::Committed, S::LeaveAndCommit),
            // A target that claims to run or to be gone before it was told anything is at fault.
            (Self::Owns, _) => (Self::Kept, S::GoOn),
            (Self::Committed, E::Running) => (Self::Moved, S::Finish),
            (Self::Committed, E::Gone) => (Self::Lost, S::Finish),
            (Self::Committed, E::TimeOver) => (Self::Unconfirmed, S::Finish),
            (Self::Committed, E::Fault | E::Ready) => (Self::Committed, S::CommitAgain),
            (Self::Kept | Self::Moved | Self::Unconfirmed | Self::Lost, _) => (self, S::Nothing),
        }
    }
}

/// Where the target stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TargetSide {
    /// It is being filled.
    Receives,
    /// It has said READY and keeps the machine paused.
    Holds,
    /// The machine runs here.
    Runs,
    /// It holds nothing.
    Empty,
}

/// What the target learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TargetEvent {
    /// State loaded, digest equal.
    Loaded,
    /// COMMIT of this session arrived, over whatever connection.
    Commit,
    /// The source gave up.
    Abort,
    /// The connection broke, or the peer said nonsense.
    Fault,
    /// The time for holding the machine is over.
    TimeOver,
}

/// What the target has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TargetStep {
    /// Nothing.
    Nothing,
    /// Send READY.
    SayReady,
    /// Run the machine, then answer RUNNING.
    RunAndAnswer,
    /// Answer RUNNING again: the first answer may be lost.
    AnswerRunning,
    /// Answer GONE.
    AnswerGone,
    /// Wait for the source to connect anew.
    Listen,
    /// Drop the machine.
    Discard,
}

impl TargetSide {
    /// Whether the machine may run at the target.
    pub fn may_run(self) -> bool {
        self == Self::Runs
    }

    /// The answer to `event`.
    #[must_use]
    pub fn on(self, event: TargetEvent) -> (Self, TargetStep) {
        use {TargetEvent as E, TargetStep as S};
        match (self, event) {
            (Self::Receives, E::Loaded) => (Self::Holds, S::SayReady),
            // A COMMIT before READY can only come from a peer that does not keep to the protocol.
            (Self::Receives, _) => (Self::Empty, S::Discard),
            (Self::Holds, E::Commit) => (Self::Runs, S::RunAndAnswer),
            (Self::Holds, E::Abort | E::TimeOver) => (Self::Empty, S::Discard),
            (Self::Holds, E::Fault) => (Self::Holds, S::Listen),
            (Self::Holds, E::Loaded) => (Self::Holds, S::Nothing),
            (Self::Runs, E::Commit) => (Self::Runs, S::AnswerRunning),
            (Self::Empty, E::Commit) => (Self::Empty, S::AnswerGone),
            (Self::Runs | Self::Empty, _) => (self, S::Nothing),
        }
    }
}

#[cfg(test)]
#[path = "session_test.rs"]
mod tests;
