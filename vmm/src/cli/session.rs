//! A machine's life in this process, however it came here: the main loop with the API beside it,
//! then the report.

use std::os::fd::{AsRawFd, RawFd};
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, Scope};
use std::time::Duration;

use super::{Exit, Failure};
use crate::control::{Operator, Server};
use crate::host::Identity;
use crate::machine::events::{self, Door, Finished};
use crate::machine::pause::PausedMachine;
use crate::machine::{Machine, summary};
use crate::os::signal;
use crate::os::socket_file::SocketFile;
use crate::report::output::{self, Target};
use crate::report::progress::Progress;
use crate::report::run::{EndedBy, Outcome};
use crate::report::table;
use crate::vcpu::board::Ending;

/// Who ended the run by a signal waits no longer for somebody else to read the report.
const READER_PATIENCE: Duration = Duration::from_secs(2);

/// What a run needs besides its machine. Prepared before anything starts.
#[derive(Debug)]
pub(super) struct Session {
    /// SIGINT and SIGTERM.
    pub(super) signals: std::fs::File,
    /// The end, finished or not.
    pub(super) timeout: Option<Duration>,
    /// How long it will probably take.
    pub(super) expected: Option<Duration>,
    /// The API socket.
    pub(super) api: Option<SocketFile>,
    /// Where the report goes as JSON.
    pub(super) json: Option<Target>,
    /// That is standard output, so nothing else may go there.
    pub(super) json_on_stdout: bool,
    /// Kicks that were given back when the machine came here, though no MP_STATE showed them.
    pub(super) kicks_repaired: u64,
}

/// Binds the API socket.
///
/// # Errors
/// [`Failure`] with exit code 2.
pub(super) fn listen(api: Option<&Path>) -> Result<Option<SocketFile>, Failure> {
    let bound = api.map(SocketFile::bind).transpose();
    bound.map_err(|error| Failure::usage(anyhow::Error::from(error).context("--api")))
}

/// The API's listener as the main loop sees it.
struct ApiDoor<'scope, 'env, 'a> {
    server: Server<'a>,
    scope: &'scope Scope<'scope, 'env>,
}

impl<'a: 'scope, 'scope> Door for ApiDoor<'scope, '_, 'a> {
    fn bell(&self) -> RawFd {
        self.server.as_raw_fd()
    }

    fn open(&mut self) {
        self.server.accept(self.scope);
    }
}

impl Session {
    /// Runs a machine whose threads have been started to its end. `held` keeps it still until
    /// somebody says over the API that it may go on.
    ///
    /// # Errors
    /// [`Failure`] with exit code 3.
    pub(super) fn run(
        &mut self,
        machine: &Machine,
        held: Option<PausedMachine<'_>>,
    ) -> Result<Finished, Failure> {
        let signals = self.signals.try_clone().map_err(Failure::host)?;
        let mut progress = Progress::start(self.expected);
        let operator = Operator::new(machine, held, self.kicks_repaired);
        let api = self.api.take();
        let finished = thread::scope(|scope| {
            let mut door = api.map(|listener| ApiDoor {
                server: Server::new(listener, &operator),
                scope,
            });
            let finished = events::run(
                machine,
                signals,
                self.timeout,
                &mut progress,
                door.as_mut().map(|door| door as &mut dyn Door),
            );
            // Nobody runs the guest while those who are still being served are waited for, and a
            // migration that they wait for does not take it away any more.
            machine.board.end(Ending::Stopped);
            operator.cancel();
            if let Some(door) = &door {
                door.server.close();
            }
            finished
        });
        progress.finish();
        if let Some(error) = operator.gone_astray() {
            return Err(Failure {
                exit: Exit::CheckFailed,
                error: error.into(),
            });
        }
        finished.map_err(Failure::host)
    }

    /// Reports what was found.
    ///
    /// # Errors
    /// [`Failure`] with exit code 3.
    pub(super) fn report(self, machine: Machine, finished: Finished) -> Result<Exit, Failure> {
        let report = summary::report(&machine, &Identity::detect(), finished);
        let exit = report.outcome.into();
        let on_stdout = !self.json_on_stdout;
        let interrupted = report.ended_by == EndedBy::Interrupt;
        let serial = Arc::clone(&machine.board);
        let json = self.json;
        let tell = move || {
            // First, because the file does not depend on who reads the table.
            let written = json.map_or(Ok(()), |json| json.write(&report));
            serial.ports.serial.send_rest();
            let table = table::render(&report);
            if on_stdout {
                output::print(table.as_bytes())?;
            } else {
                output::print_aside(table.as_bytes());
            }
            written
        };
        let told = if interrupted {
            output::within(READER_PATIENCE, tell)
        } else {
            // A reader that stalls may keep this waiting, and then a signal is the way out.
            signal::end_by_signals();
            tell()
        };
        told.map_err(Failure::host)?;
        // The process ends here, and the kernel takes a machine back faster than unmapping and
        // closing it piece by piece, with KVM told of every piece, would.
        std::mem::forget(machine);
        Ok(exit)
    }
}

impl From<Outcome> for Exit {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Completed | Outcome::Stopped | Outcome::Migrated => Self::Done,
            Outcome::Violated | Outcome::Hung | Outcome::Timeout => Self::CheckFailed,
            Outcome::Crashed => Self::GuestCrashed,
        }
    }
}
