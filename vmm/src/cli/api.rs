//! What the commands that drive a running `vmm` share: the socket, the exit codes, the progress.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::{Exit, Failure};
use crate::control::client::{Client, Error};
use crate::control::status_text;
use crate::report::output;
use crate::report::progress::Progress;

/// How often the progress line asks.
const POLL: Duration = Duration::from_millis(200);
/// The API's status code for a request that cannot be.
const INVALID: u16 = 400;

/// Which machine.
#[derive(Clone, Debug, Args)]
pub struct ApiArgs {
    /// The socket of a running vmm, as `vmm run --api` named it
    #[arg(long = "api", value_name = "SOCKET")]
    socket: PathBuf,
}

impl ApiArgs {
    /// Connects.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn connect(&self) -> Result<Client, Failure> {
        Ok(Client::connect(&self.socket)?)
    }

    /// Does `work`, a long operation, while a line on the terminal shows how far it is.
    pub fn follow<R>(&self, work: impl FnOnce() -> R) -> R {
        let progress = Progress::start(None);
        if !progress.is_shown() {
            return work();
        }
        thread::scope(|scope| {
            let (working, is_working) = mpsc::channel();
            scope.spawn(move || self.show(progress, &is_working));
            let result = work();
            drop(working);
            result
        })
    }

    /// Until the other end of `is_working` is dropped.
    fn show(&self, mut progress: Progress, is_working: &mpsc::Receiver<()>) {
        let mut client = None;
        while is_working.recv_timeout(POLL) == Err(RecvTimeoutError::Timeout) {
            // What is wrong with the connection the operation itself finds out.
            let connected = client.take().or_else(|| Client::connect(&self.socket).ok());
            client = connected.and_then(|mut client| {
                let operation = client.status().ok()?.operation;
                progress
                    .show(operation.map_or_else(String::new, |now| status_text::operation(&now)));
                Some(client)
            });
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let exit = match &error {
            Error::Refused { code: INVALID, .. }
            | Error::Request(_)
            | Error::NoSocket(_)
            | Error::NotASocket(_)
            | Error::NobodyListens(_)
            | Error::BadPath(_)
            | Error::NotAVmm { .. }
            | Error::System { .. } => Exit::Usage,
            Error::Refused { .. } | Error::Ended(_) | Error::Unanswered(_) | Error::Silent(_) => {
                Exit::CheckFailed
            }
        };
        Self {
            exit,
            error: error.into(),
        }
    }
}

/// `path` as another process can use it.
///
/// # Errors
/// [`Failure`] for an empty path.
pub fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path)
        .map_err(|error| Failure::usage(anyhow::anyhow!("`{}`: no path: {error}", path.display())))
}

/// Prints `value` as `--json` asks, or `text`.
///
/// # Errors
/// [`Failure`] where standard output cannot be written.
pub fn print(json: bool, value: &impl Serialize, text: &str) -> Result<(), Failure> {
    if json {
        return output::Target::Stdout.write(value).map_err(Failure::host);
    }
    output::print(text.as_bytes()).map_err(Failure::host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit(error: Error) -> Exit {
        Failure::from(error).exit
    }

    fn refused(code: u16) -> Error {
        Error::Refused {
            code,
            message: String::new(),
            details: Vec::new(),
        }
    }

    #[test]
    fn a_wrong_request_is_the_users_and_a_failed_one_is_not() {
        assert_eq!(exit(refused(400)), Exit::Usage);
        for code in [409, 410, 500, 503] {
            assert_eq!(exit(refused(code)), Exit::CheckFailed);
        }
        assert_eq!(exit(Error::NobodyListens("s".into())), Exit::Usage);
        for lost in [Error::Ended, Error::Unanswered] {
            assert_eq!(exit(lost("s".into())), Exit::CheckFailed);
        }
    }
}
