//! `vmm stats`.

use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use clap::Args;

use super::api::{self, ApiArgs};
use super::here::seconds;
use super::{Exit, Failure};
use crate::control::client::Error;
use crate::control::stats_table::Samples;
use crate::control::{State, Stats};
use crate::os::readable::wait_until_readable;
use crate::os::{signal, terminal_size};
use crate::report::output::{self, OutputError};
use crate::report::screen::Screen;

/// Rows of a terminal that does not tell.
const ROWS: usize = 24;
/// More samples than this nobody reads, and each is a request to the machine.
const INTERVAL_MIN: Duration = Duration::from_millis(50);
/// How often a signal is looked for while the machine has not answered.
const SIGNAL_POLL: Duration = Duration::from_millis(50);

/// Arguments of `vmm stats`.
#[derive(Debug, Args)]
pub struct StatsArgs {
    #[command(flatten)]
    api: ApiArgs,

    /// Ask again every so many seconds, and show rates; on a terminal in place, until Ctrl-C
    #[arg(
        long,
        value_name = "SECONDS",
        num_args = 0..=1,
        default_missing_value = "1",
        value_parser = interval
    )]
    watch: Option<Duration>,

    /// Print the API's answers, one a line, instead of a table
    #[arg(long)]
    json: bool,
}

/// Seconds between two samples.
fn interval(text: &str) -> Result<Duration, String> {
    let interval = seconds(text)?;
    if interval < INTERVAL_MIN {
        return Err(format!("must be at least {}", INTERVAL_MIN.as_secs_f64()));
    }
    Ok(interval)
}

/// Asks and prints, once or until the machine's end, Ctrl-C or the reader's leave.
///
/// # Errors
/// [`Failure`] with exit code 1 or 2.
pub fn run(args: &StatsArgs) -> Result<Exit, Failure> {
    let Some(interval) = args.watch else {
        let answer = args.api.connect()?.stats()?;
        let table = Samples::new(&answer, None).table(usize::MAX);
        api::print(args.json, &answer, &table)?;
        return Ok(Exit::Done);
    };
    let signals = signal::end_signals().map_err(Failure::host)?;
    watch(args, interval, &signals, &mut Display::new(args.json))?;
    Ok(Exit::Done)
}

fn watch(
    args: &StatsArgs,
    interval: Duration,
    signals: &File,
    display: &mut Display,
) -> Result<(), Failure> {
    let mut before: Option<Stats> = None;
    loop {
        let Some(asked) = ask(&args.api, signals) else {
            return Ok(());
        };
        let now = match asked {
            Ok(now) => now,
            Err(failure) if before.is_some() && is_the_end(&failure) => {
                output::print_aside(b"vmm: the machine has come to its end\n");
                return Ok(());
            }
            Err(failure) => return Err(failure),
        };
        match display.show(&now, before.as_ref()) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => return Err(Failure::host(OutputError::Stdout(error))),
        }
        if now.state == State::Ended || wait_until_readable(signals.as_fd(), interval) {
            return Ok(());
        }
        before = Some(now);
    }
}

/// Asks. `None` where a signal comes before the answer.
fn ask(api: &ApiArgs, signals: &File) -> Option<Result<Stats, Failure>> {
    let api = api.clone();
    // It is left where it is when nobody waits for it any more: the process ends then.
    let (tell, answer) = mpsc::channel();
    thread::spawn(move || {
        // A connection of its own: the machine ends those that are idle for long.
        let asked = api.connect().and_then(|mut client| Ok(client.stats()?));
        // Who was interrupted does not wait for it.
        let _ = tell.send(asked);
    });
    loop {
        match answer.recv_timeout(SIGNAL_POLL) {
            Ok(asked) => return Some(asked),
            Err(RecvTimeoutError::Disconnected) => {
                let error = anyhow::anyhow!("the thread that asks has ended without an answer");
                return Some(Err(Failure::host(error)));
            }
            Err(RecvTimeoutError::Timeout) => {
                if wait_until_readable(signals.as_fd(), Duration::ZERO) {
                    return None;
                }
            }
        }
    }
}

/// Whether a machine that answered before answers no more.
fn is_the_end(failure: &Failure) -> bool {
    matches!(
        failure.error.downcast_ref(),
        Some(Error::Ended(_) | Error::NoSocket(_) | Error::NobodyListens(_))
    )
}

/// Where the samples go.
enum Display {
    /// A terminal.
    Screen(Screen<io::Stdout>),
    /// Anything else, a line a sample.
    Lines,
    /// JSON, a line a sample.
    Json,
}

impl Display {
    fn new(json: bool) -> Self {
        match (json, io::stdout().is_terminal()) {
            (true, _) => Self::Json,
            (false, true) => Self::Screen(Screen::new(io::stdout())),
            (false, false) => Self::Lines,
        }
    }

    fn show(&mut self, now: &Stats, before: Option<&Stats>) -> io::Result<()> {
        let samples = Samples::new(now, before);
        let line = match self {
            Self::Screen(screen) => {
                let rows = terminal_size::of(io::stdout().as_fd()).map_or(ROWS, |size| size.rows);
                // The cursor stands on the row below.
                return screen.show(&samples.table(rows.saturating_sub(1)));
            }
            Self::Lines => samples.line(),
            Self::Json => serde_json::to_string(now)? + "\n",
        };
        let mut stdout = io::stdout().lock();
        stdout.write_all(line.as_bytes())?;
        stdout.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_that_would_flood_the_api_is_refused() {
        assert_eq!(interval("0.05"), Ok(Duration::from_millis(50)));
        for short in ["0.0001", "0.049", "0", "-1"] {
            assert!(interval(short).is_err(), "{short}");
        }
    }
}
