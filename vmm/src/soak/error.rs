//! Why a soak cannot begin, or cannot go on.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::control::client;
use crate::os::unix_socket;

/// Why a soak cannot begin, or cannot go on. A machine that hangs is a finding and no error.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder for files and sockets.
    #[error("--dir {}: no folder can be made there", path.display())]
    Folder {
        /// What `--dir` names.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Sockets would not fit.
    #[error(
        "--dir {}: too long, a Unix socket's path has at most {} bytes; name a shorter one",
        .0.display(),
        unix_socket::PATH_MAX
    )]
    FolderTooLong(PathBuf),
    /// This program cannot be started once more.
    #[error("`vmm {command}` cannot be started")]
    Start {
        /// Its first word.
        command: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A machine came to its end where it should have run.
    #[error("`vmm {command}` ended with exit code {code}: {message}")]
    Ended {
        /// Its first word.
        command: &'static str,
        /// Its exit code; -1 where a signal ended it.
        code: i32,
        /// What it said.
        message: String,
    },
    /// A machine does not do what it is asked for.
    #[error("`vmm {command}`: {what} failed")]
    Api {
        /// The process's first word.
        command: &'static str,
        /// The request.
        what: &'static str,
        /// Why.
        #[source]
        source: client::Error,
    },
    /// A machine does not come to an end, or not to answer. It was killed.
    #[error("`vmm {command}`: {what}: not done within {} s", limit.as_secs())]
    TooLate {
        /// The process's first word.
        command: &'static str,
        /// What was waited for.
        what: &'static str,
        /// How long.
        limit: Duration,
    },
    /// A machine that had every kick given back hangs: none of the causes that a soak knows.
    #[error("the machine hangs again, with its kicks given back")]
    HangsRepaired,
    /// The guest says nothing that a soak could check.
    #[error("the guest is not the bundled payload")]
    NoPayload,
}

impl Error {
    /// The exit code of a process that could not do what it was started for.
    pub fn exit_code(&self) -> Option<i32> {
        match self {
            Self::Ended { code, .. } => Some(*code),
            _ => None,
        }
    }
}
