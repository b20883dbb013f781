//! One machine in a `vmm` process of its own, and its API.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child as Process, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::Error;
use super::folder::Folder;
use super::limit::Limit;
use crate::control::client::{self, Client};
use crate::control::{PayloadStatus, Status};
use crate::os::child_process::fresh_and_mortal;
use crate::report::resources::Sample;
use crate::report::run::{Outcome, RunReport};

/// For a process to come up, to answer and to end, on a host that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(60);
/// For a snapshot or a migration.
const OPERATION_PATIENCE: Duration = Duration::from_secs(120);
/// First and longest time between two looks.
const LOOK: (Duration, Duration) = (Duration::from_micros(200), Duration::from_millis(10));

/// Times between looks that grow: what comes soon is seen soon, what takes long costs little.
pub(super) fn looks() -> impl Iterator<Item = Duration> {
    std::iter::successors(Some(LOOK.0), |look| Some((*look * 3 / 2).min(LOOK.1)))
}

/// A process that has a machine, is to get one, or had one.
#[derive(Debug)]
pub(super) struct Child {
    /// The first word of its command line.
    command: &'static str,
    process: Arc<Mutex<Process>>,
    api: PathBuf,
    report: PathBuf,
    said: PathBuf,
    client: Option<Client>,
}

impl Child {
    /// Starts this program once more. `words` follow `command`; `number` tells its files from others'.
    pub(super) fn start(
        folder: &Folder,
        number: u64,
        command: &'static str,
        words: &[OsString],
        guest: Option<&str>,
    ) -> Result<Self, Error> {
        let failed = |source| Error::Start { command, source };
        let api = folder.path(&format!("{number}.api"));
        let report = folder.path(&format!("{number}.json"));
        let said = folder.path(&format!("{number}.said"));
        let program = std::env::current_exe().map_err(failed)?;
        let mut line = Command::new(program);
        line.arg(command).args(words).args(["--serial", "null"]);
        line.args([OsStr::new("--api"), api.as_os_str()]);
        line.args([OsStr::new("--json"), report.as_os_str()]);
        if let Some(guest) = guest {
            line.args(["--", guest]);
        }
        line.stdin(Stdio::null()).stdout(Stdio::null());
        line.stderr(File::create(&said).map_err(failed)?);
        // A Ctrl-C is the soak's: it ends its machines itself.
        line.process_group(0);
        fresh_and_mortal(&mut line);
        let process = line.spawn().map_err(failed)?;
        Ok(Self {
            command,
            process: Arc::new(Mutex::new(process)),
            api,
            report,
            said,
            client: None,
        })
    }

    fn process(&self) -> MutexGuard<'_, Process> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What its process takes of the host, after `done` cycles.
    pub(super) fn resources(&self, done: u64) -> Option<Sample> {
        Sample::of_process(self.process().id(), done)
    }

    /// Its exit code, if it has ended; -1 where a signal ended it.
    fn exit_code(&self) -> Result<Option<i32>, Error> {
        let status = self.process().try_wait().map_err(|source| Error::Start {
            command: self.command,
            source,
        })?;
        Ok(status.map(|status| status.code().unwrap_or(-1)))
    }

    /// Waits until `has_come` says something.
    fn await_what<T>(
        &self,
        what: &'static str,
        mut has_come: impl FnMut() -> Result<Option<T>, Error>,
    ) -> Result<T, Error> {
        let start = Instant::now();
        for look in looks() {
            if let Some(come) = has_come()? {
                return Ok(come);
            }
            if start.elapsed() > PATIENCE {
                break;
            }
            thread::sleep(look);
        }
        self.kill();
        Err(Error::TooLate {
            command: self.command,
            what,
            limit: PATIENCE,
        })
    }

    /// Waits until it has said something on standard error: a receiver that listens does.
    pub(super) fn await_word(&self) -> Result<(), Error> {
        self.await_what("its first word", || {
            if let Some(code) = self.exit_code()? {
                return Err(self.has_ended(code));
            }
            let spoken = fs::metadata(&self.said).is_ok_and(|said| said.len() > 0);
            Ok(spoken.then_some(()))
        })
    }

    /// Connects as soon as it listens.
    fn connect(&self) -> Result<Client, Error> {
        self.await_what("its API", || match Client::connect(&self.api) {
            Ok(client) => Ok(Some(client)),
            Err(client::Error::NoSocket(_) | client::Error::NobodyListens(_)) => {
                match self.exit_code()? {
                    Some(code) => Err(self.has_ended(code)),
                    None => Ok(None),
                }
            }
            Err(source) => Err(self.refuses("connecting", source)),
        })
    }

    /// Asks for `what`, which must not take for ever.
    pub(super) fn ask<T>(
        &self,
        what: &'static str,
        request: impl FnOnce(&mut Client) -> Result<T, client::Error>,
    ) -> Result<T, Error> {
        let mut client = self.connect()?;
        let limit = Limit::start(&self.process, OPERATION_PATIENCE);
        let answer = request(&mut client);
        if limit.has_expired() {
            return Err(Error::TooLate {
                command: self.command,
                what,
                limit: OPERATION_PATIENCE,
            });
        }
        answer.map_err(|source| self.explain(what, source))
    }

    /// How its machine is.
    pub(super) fn status(&mut self) -> Result<(Status, PayloadStatus), Error> {
        let mut client = match self.client.take() {
            Some(client) => client,
            None => self.connect()?,
        };
        let status = client.status();
        let status = status.map_err(|source| self.explain("status", source))?;
        self.client = Some(client);
        let payload = status.payload.clone().ok_or(Error::NoPayload)?;
        Ok((status, payload))
    }

    fn refuses(&self, what: &'static str, source: client::Error) -> Error {
        Error::Api {
            command: self.command,
            what,
            source,
        }
    }

    /// A vmm that has ended says why in its exit code.
    fn explain(&self, what: &'static str, source: client::Error) -> Error {
        let gone = matches!(source, client::Error::Ended(_))
            || matches!(source, client::Error::Refused { code: 410, .. });
        if gone && let Ok(code) = self.wait() {
            return self.has_ended(code);
        }
        self.refuses(what, source)
    }

    fn has_ended(&self, code: i32) -> Error {
        let said = fs::read_to_string(&self.said).unwrap_or_default();
        let words = said.trim().trim_start_matches("vmm: ");
        let message = match self.report() {
            Some(report) => format!("outcome {:?}", report.outcome).to_lowercase(),
            None if words.is_empty() => "it said nothing".to_owned(),
            None => words.to_owned(),
        };
        Error::Ended {
            command: self.command,
            code,
            message,
        }
    }

    /// Waits for its end.
    pub(super) fn wait(&self) -> Result<i32, Error> {
        self.await_what("its end", || self.exit_code())
    }

    /// Waits for its end, which has to be a good one, and removes its files.
    pub(super) fn finish(self) -> Result<(), Error> {
        let code = self.wait()?;
        // A guest that found a broken promise goes on with that knowledge elsewhere.
        let has_violated = || {
            let report = self.report();
            report.is_some_and(|report| report.outcome == Outcome::Violated)
        };
        if code == 0 || has_violated() {
            for file in [&self.api, &self.report, &self.said] {
                let _ = fs::remove_file(file);
            }
            return Ok(());
        }
        Err(self.has_ended(code))
    }

    /// What it reported at its end.
    pub(super) fn report(&self) -> Option<RunReport> {
        serde_json::from_slice(&fs::read(&self.report).ok()?).ok()
    }

    fn kill(&self) {
        // One that has ended by itself is not there to be killed.
        let _ = self.process().kill();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
        // SIGKILL is on its way: this does not take long.
        let _ = self.process().wait();
    }
}
