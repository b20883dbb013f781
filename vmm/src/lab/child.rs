//! `vmm run` in a process of its own, until it ends, takes too long, or the user wants no more.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::os::child_process::{fresh_and_mortal, kill_group};
use crate::os::readable::wait_until_any_readable;

/// This program, even where a newer one has taken its place on the disk since: an experiment is one
/// build's.
const MYSELF: &str = "/proc/self/exe";
/// Most that is kept of what a run says: the report of a thousand vCPUs has less than a tenth of it.
const SAID_MOST: usize = 16 << 20;
/// How often somebody who watches sees something new.
const TICK: Duration = Duration::from_millis(500);
/// A longer pass was not one: this process was stopped meanwhile, by Ctrl-Z for example.
const PASS_MOST: Duration = Duration::from_secs(2);
/// For a process that has said its last word.
const LAST_STEPS: Duration = Duration::from_millis(1);

/// What became of a process.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It ended by itself.
    Ended {
        /// How.
        status: ExitStatus,
        /// What it wrote to standard output.
        stdout: Vec<u8>,
        /// What it wrote to standard error.
        stderr: Vec<u8>,
    },
    /// It did not end in time and was killed.
    TooLong,
    /// The user wants no more; it was killed.
    Interrupted,
}

/// A process, dead when this is gone.
struct Mortal(Child);

impl Drop for Mortal {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            kill_group(&self.0);
            // SIGKILL is on its way: this does not take long.
            let _ = self.0.wait();
        }
    }
}

/// Runs this program with `words`, for `limit` at most. `interrupt` is readable when the user wants
/// no more; `tick` is called now and then.
///
/// # Errors
/// It cannot be started or waited for.
pub(super) fn run(
    words: &[String],
    limit: Duration,
    interrupt: BorrowedFd<'_>,
    mut tick: impl FnMut(),
) -> io::Result<Outcome> {
    let mut line = Command::new(MYSELF);
    line.arg0("vmm").args(words).stdin(Stdio::null());
    line.stdout(Stdio::piped()).stderr(Stdio::piped());
    // A Ctrl-C is the experiment's, which ends the run itself.
    line.process_group(0);
    fresh_and_mortal(&mut line);
    let mut left = limit;
    let mut child = Mortal(line.spawn()?);
    let mut stdout = Pipe::new(child.0.stdout.take());
    let mut stderr = Pipe::new(child.0.stderr.take());
    loop {
        let pass = Instant::now();
        let is_silent = stdout.source.is_none() && stderr.source.is_none();
        let patience = left.min(if is_silent { LAST_STEPS } else { TICK });
        let fds = [Some(interrupt), stdout.fd(), stderr.fd()];
        let [is_interrupted, has_out, has_err] = wait_until_any_readable(fds, patience);
        if is_interrupted {
            return Ok(Outcome::Interrupted);
        }
        if has_out {
            stdout.read()?;
        }
        if has_err {
            stderr.read()?;
        }
        if (is_silent || left.is_zero())
            && let Some(status) = child.0.try_wait()?
        {
            // Nobody writes to them any more.
            stdout.drain()?;
            stderr.drain()?;
            return Ok(Outcome::Ended {
                status,
                stdout: stdout.said,
                stderr: stderr.said,
            });
        }
        // After a last look.
        if left.is_zero() {
            return Ok(Outcome::TooLong);
        }
        tick();
        left = left_after(left, pass.elapsed());
    }
}

/// What is left of a limit after a pass that took so long. Only time counts in which this process
/// was able to look: a run whose end it slept through did not take too long.
fn left_after(left: Duration, pass: Duration) -> Duration {
    left.saturating_sub(pass.min(PASS_MOST))
}

/// One of a process's outputs.
struct Pipe<R> {
    /// `None` when it has ended.
    source: Option<R>,
    said: Vec<u8>,
}

impl<R: Read + AsFd> Pipe<R> {
    fn new(source: Option<R>) -> Self {
        let said = Vec::new();
        Self { source, said }
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.source.as_ref().map(AsFd::as_fd)
    }

    /// Takes all that a process which has ended left in it.
    fn drain(&mut self) -> io::Result<()> {
        while let [true] = wait_until_any_readable([self.fd()], Duration::ZERO) {
            self.read()?;
        }
        Ok(())
    }

    /// Takes what is there, and keeps it as long as there is room.
    fn read(&mut self) -> io::Result<()> {
        let Some(source) = &mut self.source else {
            return Ok(());
        };
        let mut part = [0; 1 << 16];
        match source.read(&mut part) {
            Ok(0) => self.source = None,
            Ok(length) => {
                let room = SAID_MOST.saturating_sub(self.said.len());
                self.said.extend_from_slice(&part[..length.min(room)]);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "child_test.rs"]
mod tests;
