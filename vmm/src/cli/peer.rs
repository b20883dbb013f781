//! How the other end of a migration is reached and trusted: the same for both ends.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::here::seconds;
use crate::migrate::{Security, TlsFiles};

/// Time limits and TLS.
#[derive(Clone, Debug, Args)]
pub(super) struct PeerArgs {
    /// A peer that is silent for longer has failed
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(super) peer_timeout: Option<Duration>,

    /// TCP without TLS, over loopback only
    #[arg(long, conflicts_with_all = ["tls_cert", "tls_key", "tls_ca"])]
    pub(super) insecure: bool,

    /// This side's certificate chain, PEM
    #[arg(long, value_name = "FILE", requires_all = ["tls_key", "tls_ca"])]
    pub(super) tls_cert: Option<PathBuf>,

    /// This side's private key, PEM
    #[arg(long, value_name = "FILE", requires_all = ["tls_cert", "tls_ca"])]
    pub(super) tls_key: Option<PathBuf>,

    /// The certificates that the peer's must come from, PEM
    #[arg(long, value_name = "FILE", requires_all = ["tls_cert", "tls_key"])]
    pub(super) tls_ca: Option<PathBuf>,
}

impl PeerArgs {
    /// How the connection is protected.
    pub(super) fn security(&self) -> Security {
        match (&self.tls_cert, &self.tls_key, &self.tls_ca) {
            (Some(cert), Some(key), Some(ca)) => Security::Tls(TlsFiles {
                cert: cert.clone(),
                key: key.clone(),
                ca: ca.clone(),
            }),
            _ if self.insecure => Security::Insecure,
            _ => Security::Socket,
        }
    }
}
