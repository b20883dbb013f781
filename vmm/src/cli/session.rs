//! A machine's life in this process, however it came here: the main loop with the API beside it,
//! then the report.

use std::panic::resume_unwind;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, Builder};
use std::time::Duration;

use super::debugger::Gdb;
use super::{Exit, Failure};
use crate::control::{Doorman, Errands, Operator, Server};
use crate::debugger::address::Start;
use crate::host::Identity;
use crate::machine::console::Console;
use crate::machine::events::{self, Finished};
use crate::machine::pause::PausedMachine;
use crate::machine::{Machine, summary};
use crate::os::signal;
use crate::os::socket_file::SocketFile;
use crate::report::output::{self, FileTarget, OutputError, Target};
use crate::report::progress::Progress;
use crate::report::run::{EndedBy, Outcome};
use crate::report::table;
use crate::sandbox::Role;
use crate::trace::chrome;
use crate::trace::join::join;
use crate::trace::recording::Recording;
use crate::trace::summary::Summary;
use crate::vcpu::ending::Ending;

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
    /// Where the life of each kick goes.
    pub(super) trace: Option<FileTarget>,
    /// The debugger's socket.
    pub(super) gdb: Option<Gdb>,
    /// Where the report goes as JSON.
    pub(super) json: Option<Target>,
    /// That is standard output, so nothing else may go there.
    pub(super) json_on_stdout: bool,
    /// The serial port is standard output's, so standard input is the serial port's.
    pub(super) serial_on_stdio: bool,
    /// Kicks that were given back when the machine came here, though no MP_STATE showed them.
    pub(super) kicks_repaired: u64,
}

/// Who keeps a machine from its first instruction here.
#[derive(Debug, Default)]
pub(super) struct Holds<'m> {
    /// Until somebody says over the API that it may go on.
    pub(super) api: Option<PausedMachine<'m>>,
    /// Until a debugger lets it go.
    pub(super) debugger: Option<PausedMachine<'m>>,
}

/// Binds the API socket.
///
/// # Errors
/// [`Failure`] with exit code 2.
pub(super) fn listen(api: Option<&Path>) -> Result<Option<SocketFile>, Failure> {
    let bound = api.map(SocketFile::bind).transpose();
    bound.map_err(|error| Failure::usage(anyhow::Error::from(error).context("--api")))
}

impl Session {
    /// Whether the guest waits for a debugger.
    pub(super) fn waits_for_debugger(&self) -> bool {
        let start = self.gdb.as_ref().map(Gdb::start);
        start == Some(Start::Held)
    }

    /// Keeps a machine that stands still so until a debugger has come, if it is to wait for one.
    pub(super) fn hold_for_debugger<'m>(&self, machine: &'m Machine) -> Option<PausedMachine<'m>> {
        self.waits_for_debugger()
            .then(|| PausedMachine::pause(machine))
    }

    /// Runs a machine whose threads have been started to its end.
    ///
    /// # Errors
    /// [`Failure`] with exit code 3.
    pub(super) fn run(&mut self, machine: &Machine, holds: Holds<'_>) -> Result<Finished, Failure> {
        let signals = self.signals.try_clone().map_err(Failure::host)?;
        let console = self.console(machine)?;
        let mut progress = if console.as_ref().is_some_and(Console::is_terminal) {
            Progress::hidden()
        } else {
            Progress::start(self.expected)
        };
        let operator = Operator::new(machine, holds.api, self.kicks_repaired);
        let errands = Errands::of(&operator);
        let (api, gdb) = (self.api.take(), self.gdb.take());
        let (sandbox, timeout, shown) = (machine.sandbox(), self.timeout, &mut progress);
        let finished = thread::scope(|scope| {
            let run = || {
                sandbox.enter(Role::Loop);
                events::run(machine, signals, timeout, shown, console)
            };
            let start = || {
                let doorman = api.map(|listener| {
                    errands.start(scope, sandbox)?;
                    Doorman::post(scope, Server::new(listener, &errands), sandbox)
                });
                let doorman = doorman.transpose().map_err(Failure::host)?;
                if let Some(gdb) = &gdb {
                    gdb.open(scope, machine, holds.debugger)?;
                }
                let running = Builder::new().name("loop".to_owned());
                let running = running.spawn_scoped(scope, run).map_err(Failure::host)?;
                Ok((doorman, running))
            };
            let (doorman, finished) = match start() {
                Ok((doorman, running)) => {
                    // Now that all threads are there that may do more.
                    sandbox.enter(Role::First);
                    let finished = running.join().unwrap_or_else(|panic| resume_unwind(panic));
                    (doorman, finished.map_err(Failure::host))
                }
                Err(failure) => (None, Err(failure)),
            };
            // Nobody runs the guest while those who are still being served are waited for, and a
            // migration that they wait for does not take it away any more.
            machine.board.end(Ending::Stopped);
            operator.cancel();
            if let Some(gdb) = &gdb {
                gdb.close(finished.as_ref().ok().map(|finished| &finished.end));
            }
            let relieved = doorman.map(Doorman::relieve);
            errands.close();
            drop(relieved);
            finished
        });
        progress.finish();
        if let Some(error) = operator.gone_astray() {
            return Err(Failure {
                exit: Exit::CheckFailed,
                error: error.into(),
            });
        }
        finished
    }

    /// Standard input, for a guest that has a console. The payload reads none.
    fn console(&self, machine: &Machine) -> Result<Option<Console>, Failure> {
        let ports = &machine.board.ports;
        if ports.pc.is_none() || !self.serial_on_stdio {
            return Ok(None);
        }
        let console = Console::connect(&ports.serial)
            .map_err(|error| Failure::host(anyhow::Error::from(error).context("standard input")))?;
        if console.as_ref().is_some_and(Console::is_terminal) {
            output::print_aside(b"vmm: keys go to the guest; Ctrl-A x ends it, Ctrl-A h helps\n");
        }
        Ok(console)
    }

    /// Reports what was found.
    ///
    /// # Errors
    /// [`Failure`] with exit code 3.
    pub(super) fn report(self, machine: Machine, finished: Finished) -> Result<Exit, Failure> {
        let report = summary::report(&machine, &Identity::detect(), finished);
        let exit = match report.debug_exit {
            Some(value) => Exit::DebugExit(value),
            None => report.outcome.into(),
        };
        let on_stdout = !self.json_on_stdout;
        let interrupted = report.ended_by == EndedBy::Interrupt;
        let serial = Arc::clone(&machine.board);
        let traced = self.trace.zip(machine.recording());
        let (on_disk, on_reader) = match self.json {
            Some(Target::Stdout) => (None, Some(Target::Stdout)),
            file => (file, None),
        };
        let json_waits = on_disk.as_ref().and_then(Target::as_file);
        let trace_waits = traced.as_ref().map(|(file, _)| file);
        let mut files = json_waits.into_iter().chain(trace_waits);
        if !interrupted || files.any(FileTarget::waits_for_reader) {
            // A reader that stalls may keep this waiting, and then a signal is the way out.
            signal::end_by_signals();
        }
        // First, and however long it takes: the files do not depend on who reads the table.
        let json = on_disk.map_or(Ok(()), |json| json.write(&report));
        let trace = traced.map_or(Ok(()), write_trace);
        let tell = move || {
            let written = on_reader.map_or(Ok(()), |json| json.write(&report));
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
            tell()
        };
        output::all([json, trace, told]).map_err(Failure::host)?;
        // The process ends here, and the kernel takes a machine back faster than unmapping and
        // closing it piece by piece, with KVM told of every piece, would.
        std::mem::forget(machine);
        Ok(exit)
    }
}

/// Writes the life of each kick, and one line about it.
fn write_trace((file, recording): (FileTarget, Recording)) -> Result<(), OutputError> {
    let joined = join(&recording);
    let summary = Summary::new(&recording, &joined);
    let line = format!("vmm: --trace {}: {summary}\n", file.path().display());
    file.write(|out| chrome::write(out, &recording, &joined, &summary))?;
    output::print_aside(line.as_bytes());
    Ok(())
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
