//! What the user may choose.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::convergence::Limits;
use super::digest::Verify;

/// How long the guest may stand still, unless told otherwise.
pub const DOWNTIME: Duration = Duration::from_millis(50);
/// The most rounds of pre-copy, unless told otherwise.
pub const MAX_ROUNDS: u32 = 30;
/// The most rounds that a target takes.
pub(super) const MAX_ROUNDS_ACCEPTED: u32 = 10_000;
/// How long a peer may be silent, unless told otherwise.
pub const PEER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a COMMIT is delivered again, and how long a target waits for one, unless told otherwise.
pub const COMMIT_TIMEOUT: Duration = Duration::from_secs(30);

/// How a connection is protected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Security {
    /// Not by us: by the mode of a Unix socket. Refused for TCP.
    #[default]
    Socket,
    /// Not at all. Only to a loopback address.
    Insecure,
    /// By TLS 1.3; each side shows a certificate.
    Tls(TlsFiles),
}

/// PEM files of mutual TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Our certificate, and what is between it and the CA.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The certificates that may have signed the peer's.
    pub ca: PathBuf,
}

/// Options of the source.
#[derive(Clone, Debug)]
pub struct Options {
    /// How the connection is protected.
    pub security: Security,
    /// When to pause the guest.
    pub limits: Limits,
    /// How long the target may be silent.
    pub peer_timeout: Duration,
    /// How long to deliver the COMMIT again after the connection broke.
    pub commit_timeout: Duration,
    /// What is compared at the switchover.
    pub verify: Verify,
    /// Ends the migration once it is true. Too late once the machine was committed.
    pub cancel: Arc<AtomicBool>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            security: Security::default(),
            limits: Limits {
                downtime: DOWNTIME,
                max_rounds: MAX_ROUNDS,
            },
            peer_timeout: PEER_TIMEOUT,
            commit_timeout: COMMIT_TIMEOUT,
            verify: Verify::default(),
            cancel: Arc::default(),
        }
    }
}

/// Options of the target.
#[derive(Clone, Debug)]
pub struct ReceiveOptions {
    /// How connections are protected.
    pub security: Security,
    /// How long the source may be silent.
    pub peer_timeout: Duration,
    /// How long a machine that is ready is held for a COMMIT.
    pub commit_timeout: Duration,
    /// Ends the wait for a source, and a migration before READY, once it is true.
    pub cancel: Arc<AtomicBool>,
}

impl Default for ReceiveOptions {
    fn default() -> Self {
        Self {
            security: Security::default(),
            peer_timeout: PEER_TIMEOUT,
            commit_timeout: COMMIT_TIMEOUT,
            cancel: Arc::default(),
        }
    }
}
