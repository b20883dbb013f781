//! Options that are about this process and not about the machine in it: the same for a machine that
//! is new, restored or received.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::Failure;
use super::debugger::Gdb;
use super::session::{self, Session};
use crate::debugger::address::Address;
use crate::machine::events;
use crate::os::affinity::{self, CpuList};
use crate::report::output::{FileTarget, Target};
use crate::sandbox::{self, Sandbox};
use crate::spec::{HostSide, Lab, Preempt, SerialTarget, Tracing};

/// `--serial`: standard input and output.
const STDIO: &str = "stdio";

/// Where and how long a machine runs, and who hears of it.
#[derive(Clone, Debug, Args)]
pub(super) struct Here {
    /// Host CPUs for the vCPU threads, as in 0,2-3
    #[arg(long, value_name = "LIST")]
    cpus: Option<CpuList>,

    /// End the run after this many seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<Duration>,

    /// Where the serial port goes: stdio, null or a file
    #[arg(long, value_name = "stdio|null|FILE", default_value = "stdio")]
    serial: String,

    /// Write the report as JSON to a file, or to standard output for -
    #[arg(long, value_name = "FILE|-")]
    json: Option<PathBuf>,

    /// Keep a random vCPU off its pCPU, RATE times a second for TIME seconds each, as in 0.4,1.5
    #[arg(long, value_name = "RATE,TIME", value_parser = preempt)]
    preempt: Option<Preempt>,

    /// Write the life of each kick to a file that Perfetto and other trace viewers open
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,

    /// Listen on this Unix socket for status, pause, snapshot and what else can be asked
    #[arg(long, value_name = "SOCKET")]
    api: Option<PathBuf>,

    /// Whether a thread that makes a system call it does not need ends the process
    #[arg(long, value_enum, default_value = "on")]
    sandbox: sandbox::Mode,

    /// Wait for gdb at unix:PATH or tcp:127.0.0.1:PORT; with ,nowait the guest runs meanwhile
    #[arg(long, value_name = "ADDRESS")]
    gdb: Option<Address>,
}

/// Seconds with a fraction, above 0 and up to a year.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    const YEAR: f64 = 366.0 * 86400.0;
    let seconds: f64 = text
        .parse()
        .map_err(|_| "not a number of seconds".to_owned())?;
    if seconds > 0.0 && seconds <= YEAR {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err("must be above 0 and at most a year".to_owned())
    }
}

/// Times a second, and seconds for each.
fn preempt(text: &str) -> Result<Preempt, String> {
    const RATES: std::ops::RangeInclusive<f64> = 0.001..=1000.0;
    let (rate, hold) = text
        .split_once(',')
        .ok_or_else(|| "two numbers with a comma between them, RATE,TIME".to_owned())?;
    let per_second: f64 = rate
        .parse()
        .map_err(|_| "RATE is not a number of times a second".to_owned())?;
    if !RATES.contains(&per_second) {
        let (least, most) = (RATES.start(), RATES.end());
        return Err(format!(
            "RATE must be from {least} to {most} times a second"
        ));
    }
    Ok(Preempt {
        per_second,
        hold: seconds(hold)?,
    })
}

/// Refuses CPUs that would be left out in silence.
fn check_cpus(cpus: &CpuList) -> Result<(), Failure> {
    match affinity::first_unusable(cpus) {
        None => Ok(()),
        Some(cpu) => Err(Failure::usage(anyhow::anyhow!(
            "--cpus: {cpu} is no host CPU that this process may use"
        ))),
    }
}

impl Here {
    fn json_on_stdout(&self) -> bool {
        self.json.as_deref() == Some("-".as_ref())
    }

    /// Checks them.
    ///
    /// # Errors
    /// [`Failure`] with exit code 2.
    pub(super) fn host_side(&self) -> Result<HostSide, Failure> {
        if let Some(cpus) = &self.cpus {
            check_cpus(cpus)?;
        }
        Ok(HostSide {
            cpus: self.cpus.clone(),
            timeout: self.timeout,
            serial: match self.serial.as_str() {
                STDIO => SerialTarget::Stdio,
                "null" => SerialTarget::Null,
                path => SerialTarget::File(path.into()),
            },
            json_on_stdout: self.json_on_stdout(),
            preempt: self.preempt,
            has_api: self.api.is_some(),
            lab: Lab::default(),
            sandbox: Sandbox::new(self.sandbox).map_err(Failure::host)?,
            trace: match &self.trace {
                None => Tracing::Off,
                Some(_) => Tracing::On,
            },
        })
    }

    /// How many host CPUs the vCPU threads may use.
    pub(super) fn host_cpus(&self) -> u32 {
        let usable = match &self.cpus {
            Some(cpus) => cpus.to_vec().len(),
            None => std::thread::available_parallelism().map_or(1, usize::from),
        };
        u32::try_from(usable).unwrap_or(u32::MAX)
    }

    /// Opens the report's file.
    ///
    /// # Errors
    /// [`Failure`] with exit code 2.
    pub(super) fn report_target(&self) -> Result<Option<Target>, Failure> {
        self.json
            .as_deref()
            .map(Target::prepare)
            .transpose()
            .map_err(Failure::usage)
    }

    /// Opens the trace's file.
    fn trace_target(&self) -> Result<Option<FileTarget>, Failure> {
        self.trace
            .as_deref()
            .map(|path| FileTarget::prepare("--trace", path))
            .transpose()
            .map_err(Failure::usage)
    }

    /// Takes signals and the API socket. Before any thread starts.
    ///
    /// # Errors
    /// [`Failure`].
    pub(super) fn session(
        &self,
        json: Option<Target>,
        expected: Option<Duration>,
    ) -> Result<Session, Failure> {
        let trace = self.trace_target()?;
        if let (Some(trace), Some(json)) = (&trace, json.as_ref().and_then(Target::as_file)) {
            trace.check_differs_from(json).map_err(Failure::usage)?;
        }
        Ok(Session {
            signals: events::signals().map_err(Failure::host)?,
            timeout: self.timeout,
            expected: expected.or(self.timeout),
            api: session::listen(self.api.as_deref())?,
            trace,
            gdb: self.gdb.as_ref().map(Gdb::listen).transpose()?,
            json,
            json_on_stdout: self.json_on_stdout(),
            serial_on_stdio: self.serial == STDIO,
            kicks_repaired: 0,
        })
    }
}
