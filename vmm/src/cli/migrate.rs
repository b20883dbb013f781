//! `vmm migrate`.

use std::path::{Path, PathBuf};

use clap::Args;

use super::api::{self, ApiArgs};
use super::peer::PeerArgs;
use super::{Exit, Failure};
use crate::control::status_text;
use crate::control::{MigrateRequest, Verify};

/// Arguments of `vmm migrate`.
#[derive(Debug, Args)]
pub struct MigrateArgs {
    /// Where `vmm receive` listens: unix:PATH or tcp:HOST:PORT
    target: String,

    #[command(flatten)]
    api: ApiArgs,

    /// How long the guest may stand still, in ms
    #[arg(long, value_name = "N", default_value_t = MigrateRequest::DOWNTIME_MS)]
    downtime_ms: u64,

    /// Pause the guest after this many rounds even if the rest does not fit
    #[arg(long, value_name = "N", default_value_t = MigrateRequest::MAX_ROUNDS)]
    max_rounds: u32,

    #[command(flatten)]
    peer: PeerArgs,

    /// Which memory is compared at the switchover: what was sent, or all of it
    #[arg(long, value_enum, default_value = "sent")]
    verify: Verify,

    /// Print the API's answer instead of a sentence
    #[arg(long)]
    json: bool,
}

impl MigrateArgs {
    fn request(&self) -> Result<MigrateRequest, Failure> {
        let file = |path: &Option<PathBuf>| path.as_deref().map(api::absolute).transpose();
        Ok(MigrateRequest {
            target: target(&self.target)?,
            downtime_ms: self.downtime_ms,
            max_rounds: self.max_rounds,
            peer_timeout_seconds: self.peer.peer_timeout.map(|limit| limit.as_secs_f64()),
            insecure: self.peer.insecure,
            tls_cert: file(&self.peer.tls_cert)?,
            tls_key: file(&self.peer.tls_key)?,
            tls_ca: file(&self.peer.tls_ca)?,
            verify: self.verify,
        })
    }
}

/// The target as the vmm can use it, whose folder is another.
fn target(text: &str) -> Result<String, Failure> {
    let Some(path) = text.strip_prefix("unix:") else {
        return Ok(text.to_owned());
    };
    // It was text, and absolute paths of text are text too, unless the current folder's is not.
    let path = api::absolute(Path::new(path))?;
    match path.to_str() {
        Some(path) => Ok(format!("unix:{path}")),
        None => Err(Failure::usage(anyhow::anyhow!(
            "{text}: the current folder's path is no UTF-8; give an absolute path"
        ))),
    }
}

/// Has the machine moved and says what it took.
///
/// # Errors
/// [`Failure`] with exit code 1 or 2.
pub fn run(args: &MigrateArgs) -> Result<Exit, Failure> {
    let request = args.request()?;
    let mut client = args.api.connect()?;
    let done = args.api.follow(|| client.migrate(&request))?;
    api::print(
        args.json,
        &done,
        &status_text::moved(&request.target, &done),
    )?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: MigrateArgs,
    }

    fn request(line: &str) -> MigrateRequest {
        let words = format!("migrate --api s {line}");
        let line = Line::try_parse_from(words.split_whitespace()).unwrap();
        line.args.request().unwrap()
    }

    #[test]
    fn the_defaults_are_the_apis() {
        assert_eq!(request("tcp:h:1"), MigrateRequest::new("tcp:h:1"));
    }

    #[test]
    fn paths_are_made_absolute() {
        let here = std::env::current_dir().unwrap();
        let request = request("unix:to/s --tls-cert c --tls-key /k --tls-ca ca --peer-timeout 0.5");
        assert_eq!(request.target, format!("unix:{}/to/s", here.display()));
        assert_eq!(request.tls_cert, Some(here.join("c")));
        assert_eq!(request.tls_key, Some("/k".into()));
        assert_eq!(request.tls_ca, Some(here.join("ca")));
        assert_eq!(request.peer_timeout_seconds, Some(0.5));
    }

    #[test]
    fn half_of_a_tls_identity_is_refused() {
        for line in [
            "--tls-cert c",
            "--tls-key k --tls-ca a",
            "--insecure --tls-ca a",
        ] {
            let words = format!("migrate --api s tcp:h:1 {line}");
            assert!(
                Line::try_parse_from(words.split_whitespace()).is_err(),
                "{line}"
            );
        }
    }
}
