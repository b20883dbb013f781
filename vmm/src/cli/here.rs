//! Options that are about this process and not about the machine in it: the same for a machine that
//! is new, restored or received.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::Failure;
use super::session::{self, Session};
use crate::machine::events;
use crate::os::affinity::{self, CpuList};
use crate::report::output::Target;
use crate::spec::{HostSide, SerialTarget};

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

    /// Listen on this Unix socket for status, pause, snapshot and what else can be asked
    #[arg(long, value_name = "SOCKET")]
    api: Option<PathBuf>,
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
                "stdio" => SerialTarget::Stdio,
                "null" => SerialTarget::Null,
                path => SerialTarget::File(path.into()),
            },
            json_on_stdout: self.json_on_stdout(),
        })
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

    /// Takes signals and the API socket. Before any thread starts.
    ///
    /// # Errors
    /// [`Failure`].
    pub(super) fn session(
        &self,
        json: Option<Target>,
        expected: Option<Duration>,
    ) -> Result<Session, Failure> {
        Ok(Session {
            signals: events::signals().map_err(Failure::host)?,
            timeout: self.timeout,
            expected: expected.or(self.timeout),
            api: session::listen(self.api.as_deref())?,
            json,
            json_on_stdout: self.json_on_stdout(),
            kicks_repaired: 0,
        })
    }
}
