//! What a migration is doing, in the order in which it does it.

use std::fmt;

/// The phases of a migration, from top to bottom. Up to and including [`Phase::Ready`] any fault
/// leaves the machine with the source; from [`Phase::Commit`] it is the target's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Versions, configuration, host: refuse early.
    Hello,
    /// Memory is sent while the guest runs.
    PreCopy {
        /// Which round, from 1.
        round: u32,
    },
    /// The vCPUs are brought to a stand.
    Pause,
    /// What the guest wrote since the last round.
    LastPages,
    /// vCPUs, interrupt controllers, clocks, devices.
    State,
    /// Both sides compare what they hold.
    Digest,
    /// The target holds a machine that it could run.
    Ready,
    /// The source has given the machine away and says so.
    Commit,
    /// The target runs it.
    Done,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hello => f.write_str("hello"),
            Self::PreCopy { round } => write!(f, "pre-copy round {round}"),
            Self::Pause => f.write_str("pause"),
            Self::LastPages => f.write_str("last pages"),
            Self::State => f.write_str("state"),
            Self::Digest => f.write_str("digest"),
            Self::Ready => f.write_str("ready"),
            Self::Commit => f.write_str("commit"),
            Self::Done => f.write_str("done"),
        }
    }
}
