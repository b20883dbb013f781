//! A migration, between the words of the API and those of the engine.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::operations::{Refusal, RefusalKind};
use super::types::{MigrateDone, MigrateRequest, Operation, Verify};
use crate::error_chain::in_one_line;
use crate::migrate::convergence::Limits;
use crate::migrate::{
    self, Endpoint, Error, Options, PEER_TIMEOUT, Phase, Progress, Report, Security, SendError,
    TlsFiles,
};

/// Where to, and how.
pub(super) fn asked(
    request: &MigrateRequest,
    cancel: Arc<AtomicBool>,
) -> Result<(Endpoint, Options), Refusal> {
    let invalid = |message: String| Refusal::new(RefusalKind::Invalid, message);
    let target = request
        .target
        .parse()
        .map_err(|error: migrate::EndpointError| invalid(error.to_string()))?;
    let peer_timeout = match request.peer_timeout_seconds {
        None => PEER_TIMEOUT,
        Some(seconds) => Duration::try_from_secs_f64(seconds)
            .ok()
            .filter(|limit| !limit.is_zero())
            .ok_or_else(|| invalid(format!("peer_timeout_seconds: {seconds} is no time limit")))?,
    };
    let tls = (&request.tls_cert, &request.tls_key, &request.tls_ca);
    let security = match tls {
        (Some(cert), Some(key), Some(ca)) => Security::Tls(TlsFiles {
            cert: cert.clone(),
            key: key.clone(),
            ca: ca.clone(),
        }),
        (None, None, None) if request.insecure => Security::Insecure,
        (None, None, None) => Security::Socket,
        _ => {
            let message = "tls_cert, tls_key and tls_ca come together";
            return Err(invalid(message.to_owned()));
        }
    };
    let options = Options {
        security,
        limits: Limits {
            downtime: Duration::from_millis(request.downtime_ms),
            max_rounds: request.max_rounds,
        },
        peer_timeout,
        verify: match request.verify {
            Verify::Sent => migrate::Verify::Sent,
            Verify::Whole => migrate::Verify::Whole,
        },
        cancel,
        ..Options::default()
    };
    Ok((target, options))
}

/// How far it is.
pub(super) fn note(progress: &Progress, operation: &mut Operation) {
    (operation.phase, operation.round) = match progress.phase {
        Phase::PreCopy { round } => ("pre-copy".to_owned(), Some(round)),
        phase => (phase.to_string(), None),
    };
    operation.bytes_done = progress.bytes_done;
    operation.bytes_total = progress.bytes_total;
    operation.rate_bytes_per_second = progress.rate;
    operation.dirty_bytes_per_second = Some(progress.dirty_rate);
    operation.expected_downtime_ns =
        (progress.expected_downtime_ns != 0).then_some(progress.expected_downtime_ns);
}

/// How it went.
pub(super) fn done(report: &Report, hidden_kicks: u64) -> MigrateDone {
    MigrateDone {
        rounds: report.rounds,
        bytes: report.bytes,
        pages: report.pages,
        zero_pages: report.zero_pages,
        seconds: report.seconds,
        downtime_ns: report.downtime_ns,
        hidden_kicks,
    }
}

/// Why it was not done, with what the other host lacks one by one.
pub(super) fn refusal(error: &SendError) -> Refusal {
    let kind = if error.runs_here() {
        RefusalKind::Failed
    } else {
        RefusalKind::Gone
    };
    let details = match error {
        SendError::RunsHere {
            why: Error::Refused(refusal),
            ..
        } => refusal.differences.clone(),
        _ => Vec::new(),
    };
    let message = if details.is_empty() {
        in_one_line(error)
    } else {
        error.to_string()
    };
    Refusal {
        kind,
        message,
        details,
    }
}
