//! How a migration fails, and who has the machine then.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::ends::{MachineError, Refusal};
use super::phase::Phase;
use super::session::Session;
use super::wire::WireError;
use crate::os::socket_file::BindError;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody to connect to.
    #[error("cannot connect to {0}; does `vmm receive {0}` run there?")]
    Connect(String, #[source] io::Error),
    /// Cannot listen.
    #[error("cannot listen on {0}")]
    Listen(String, #[source] io::Error),
    /// A Unix socket cannot be had.
    #[error("cannot listen")]
    Bind(#[from] BindError),
    /// TCP without TLS.
    #[error(
        "{0} needs --tls-cert, --tls-key and --tls-ca; without them only a loopback address is allowed, with --insecure"
    )]
    NeedsTls(String),
    /// TLS without TCP.
    #[error(
        "{0} is protected by the socket's mode; --tls-cert, --tls-key and --tls-ca are for tcp:"
    )]
    TlsOverUnix(String),
    /// A PEM file.
    #[error("{}: {what}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// TLS itself.
    #[error("TLS: {0}")]
    Tls(String),
    /// The peer speaks another version.
    #[error(
        "the peer speaks version {peer} of the protocol, this side version {ours}; use the same vmm on both sides"
    )]
    Version {
        /// The peer's.
        peer: u16,
        /// Ours.
        ours: u16,
    },
    /// The connection or what came over it.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The target cannot run the machine.
    #[error("the target refuses the machine: {0}")]
    Refused(#[source] Refusal),
    /// This side cannot run the machine.
    #[error("this machine cannot run here: {0}")]
    Refuses(#[source] Refusal),
    /// The peer says what went wrong on its side.
    #[error("the peer gave up: {0}")]
    Peer(String),
    /// The machine's own trouble.
    #[error("cannot {0}")]
    Machine(&'static str, #[source] MachineError),
    /// Both sides hold something else.
    #[error("{0}")]
    Differs(String),
    /// Too much for this protocol.
    #[error("{what} is {bytes} bytes, at most {most} can be sent")]
    TooLarge {
        /// What.
        what: &'static str,
        /// How much.
        bytes: u64,
        /// How much is possible.
        most: u64,
    },
    /// The user's wish.
    #[error("cancelled")]
    Cancelled,
    /// Nobody came, or the source did not decide.
    #[error("{0}")]
    TimeOver(String),
    /// No randomness.
    #[error("the kernel gives no random numbers for a session")]
    Random(#[source] io::Error),
}

/// How a migration failed at the source, and so who has the machine.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// It runs on here.
    #[error("the machine was not moved to {target} and runs on here; failed in phase {phase}")]
    RunsHere {
        /// Where it should have gone.
        target: String,
        /// When.
        phase: Phase,
        /// Why.
        #[source]
        why: Error,
    },
    /// It was committed, and nobody answered.
    #[error(
        "{target} could not be reached for {seconds} s after the commit of session {session}: the machine does not run here; \
         whether it runs there, its `vmm receive` says (or `vmm status` at its API socket)"
    )]
    Unconfirmed {
        /// Where it has gone.
        target: String,
        /// The session.
        session: Session,
        /// How long it was tried.
        seconds: u64,
        /// The last failure.
        #[source]
        why: Error,
    },
    /// It was committed, and the target has it no more.
    #[error(
        "{target} no longer holds session {session}, whose commit came too late: the machine runs neither there nor here"
    )]
    Lost {
        /// Where it should have gone.
        target: String,
        /// The session.
        session: Session,
        /// What the target says.
        #[source]
        why: Error,
    },
}

impl SendError {
    /// Whether the machine runs on at the source.
    pub fn runs_here(&self) -> bool {
        matches!(self, Self::RunsHere { .. })
    }
}

/// How a migration failed at the target, which never runs the machine then.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// It could not begin.
    #[error(transparent)]
    Listen(Error),
    /// Somebody connected who is no source; nothing had begun, and the socket is open still.
    #[error("somebody who brings no machine connected and was turned away")]
    Stranger {
        /// What was wrong with him.
        #[source]
        why: Error,
    },
    /// Everything that had arrived is dropped.
    #[error("nothing was received and this side holds nothing; failed in phase {phase}")]
    HoldsNothing {
        /// When.
        phase: Phase,
        /// Why.
        #[source]
        why: Error,
    },
    /// It was ready, and no commit came.
    #[error(
        "the machine of session {session} was ready but not committed within {held:?}: it is dropped and this side holds nothing; \
         the source says whether it runs there"
    )]
    NotCommitted {
        /// The session.
        session: Session,
        /// How long it was held.
        held: Duration,
    },
}
