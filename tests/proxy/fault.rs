//! What goes wrong with a connection, and where.

use std::fmt;

/// A direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the source to the target.
    ToTarget,
    /// From the target to the source.
    ToSource,
}

/// Kinds of frames, by their numbers on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Frame {
    /// Source: what comes.
    Machine = 3,
    /// Target: it can run here.
    Accepted = 4,
    /// Source: a round begins.
    Round = 6,
    /// Source: memory.
    Pages = 7,
    /// Target: a round has arrived.
    RoundDone = 9,
    /// Source: vCPUs and devices.
    State = 10,
    /// Source: checksum of all that was sent.
    Digest = 11,
    /// Target: it could run.
    Ready = 12,
    /// Source: it shall.
    Commit = 13,
    /// Target: it does.
    Running = 14,
}

/// A place in the bytes of one direction of the first connection.
#[derive(Clone, Copy, Debug)]
pub enum At {
    /// After so many bytes.
    Byte(u64),
    /// Inside the first frame of this kind: before its first byte, behind its last or anywhere
    /// between, chosen by the number.
    Into(Frame, u64),
}

/// What happens there.
pub enum Act {
    /// The connection breaks.
    Cut,
    /// Nothing more is passed on in either direction, though the connection stays.
    Stall,
    /// This is called; then everything goes on.
    Call(Box<dyn FnOnce() + Send>),
}

impl fmt::Debug for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cut => "Cut",
            Self::Stall => "Stall",
            Self::Call(_) => "Call",
        })
    }
}

/// What goes wrong, where.
#[derive(Debug)]
pub struct Fault {
    /// In which direction.
    pub way: Way,
    /// Where.
    pub at: At,
    /// What.
    pub act: Act,
}
