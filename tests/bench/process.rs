//! Running what is measured.

use std::io::{self, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Nothing that is measured takes this long, unless it hangs.
const LONGEST: Duration = Duration::from_secs(120);

/// Ends a process that hangs; dropped once the process has ended.
#[derive(Debug)]
pub(crate) struct Limit {
    _ended: Sender<()>,
}

impl Limit {
    /// `child` is killed unless this is dropped in time.
    pub(crate) fn on(child: &Child) -> Self {
        let (ended, limit) = mpsc::channel();
        let process = libc::pid_t::try_from(child.id());
        thread::spawn(move || {
            let hangs = limit.recv_timeout(LONGEST) == Err(RecvTimeoutError::Timeout);
            if let (true, Ok(process)) = (hangs, process) {
                // SAFETY: a signal to our own child, which nobody has waited for yet.
                unsafe { libc::kill(process, libc::SIGKILL) };
            }
        });
        Self { _ended: ended }
    }
}

/// How long a process took, in ms from before its exec.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Took {
    /// To the first byte on its standard output.
    pub(crate) first_byte: f64,
    /// To its end.
    pub(crate) exit: f64,
}

/// Starts `command` with these outputs.
pub(crate) fn start(command: &[String], stdout: Stdio, stderr: Stdio) -> io::Result<Child> {
    let (program, arguments) = command
        .split_first()
        .ok_or_else(|| io::Error::other("no command"))?;
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr)
        .spawn()
        .map_err(|error| io::Error::other(format!("{program}: {error}")))
}

/// Starts `command` with its standard output in a pipe.
pub(crate) fn spawn(command: &[String]) -> io::Result<(Child, ChildStdout)> {
    let mut child = start(command, Stdio::piped(), Stdio::null())?;
    let output = child
        .stdout
        .take()
        .ok_or_else(|| io::Error::other("no pipe"))?;
    Ok((child, output))
}

/// A number in KiB from the process's status file, as proc(5) names it.
pub(crate) fn status_kib(child: &Child, name: &str) -> io::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()))?;
    status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse().ok())
        .ok_or_else(|| io::Error::other(format!("no {name}")))
}

/// Makes what the process has in memory now its peak (`VmHWM`); that number, in KiB.
pub(crate) fn reset_peak(child: &Child) -> io::Result<f64> {
    std::fs::write(format!("/proc/{}/clear_refs", child.id()), "5")?;
    status_kib(child, "VmRSS")
}

/// The command as a person would write it, without the folder of the program.
fn shown(command: &[String]) -> String {
    let (program, arguments) = command
        .split_first()
        .map_or(("", &[][..]), |(program, rest)| {
            (program.rsplit('/').next().unwrap_or(program), rest)
        });
    format!("{program} {}", arguments.join(" "))
}

/// Runs `command` and times it.
pub(crate) fn time(command: &[String]) -> io::Result<Took> {
    let start = Instant::now();
    let ms = || start.elapsed().as_secs_f64() * 1e3;
    let (mut child, mut output) = spawn(command)?;
    let limit = Limit::on(&child);
    let got_one = output.read_exact(&mut [0]);
    let first_byte = ms();
    let mut rest = Vec::new();
    output.read_to_end(&mut rest)?;
    drop(limit);
    let status = child.wait()?;
    let exit = ms();
    if got_one.is_err() || !status.success() {
        return Err(io::Error::other(format!(
            "{} ended with {status}",
            shown(command)
        )));
    }
    Ok(Took { first_byte, exit })
}

/// How long `command` takes to the first byte on its standard output, in ms from before its exec.
/// Then it is killed.
pub(crate) fn first_byte(command: &[String]) -> io::Result<f64> {
    let start = Instant::now();
    let (mut child, mut output) = spawn(command)?;
    let limit = Limit::on(&child);
    let got_one = output.read_exact(&mut [0]);
    let ms = start.elapsed().as_secs_f64() * 1e3;
    drop(limit);
    child.kill()?;
    child.wait()?;
    got_one
        .map(|()| ms)
        .map_err(|error| io::Error::other(format!("{} printed nothing: {error}", shown(command))))
}

/// Runs `command` to its end and returns what it printed.
pub(crate) fn output(command: &[String]) -> io::Result<String> {
    let mut child = start(command, Stdio::piped(), Stdio::piped())?;
    let limit = Limit::on(&child);
    let errors = child.stderr.take().map(|mut errors| {
        thread::spawn(move || {
            let mut text = Vec::new();
            // What could be read of it is as good a reason as there is.
            let _ = errors.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        })
    });
    let mut text = String::new();
    if let Some(output) = &mut child.stdout {
        output.read_to_string(&mut text)?;
    }
    drop(limit);
    let status = child.wait()?;
    if status.success() {
        return Ok(text);
    }
    let said = errors.and_then(|errors| errors.join().ok());
    let said = said.unwrap_or_default();
    Err(io::Error::other(format!(
        "{} ended with {status}: {}",
        shown(command),
        said.trim_end().lines().last().unwrap_or("without a word")
    )))
}

/// Runs `vmm run` with `options` and the payload's words, and returns its report.
pub(crate) fn report(vmm: &Path, options: &[&str], payload: &str) -> io::Result<Value> {
    let mut command = vec![vmm.display().to_string(), "run".to_owned()];
    command.extend(options.iter().map(|&word| word.to_owned()));
    command.extend(["--json", "-", "--"].map(str::to_owned));
    command.extend(payload.split(' ').map(str::to_owned));
    serde_json::from_str(&output(&command)?).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_that_fails_said_last_is_in_the_error() {
        let script = "echo first >&2; echo last >&2; exit 3";
        let command = ["sh", "-c", script].map(str::to_owned);
        let error = output(&command).unwrap_err().to_string();
        assert!(error.ends_with("exit status: 3: last"), "{error}");
    }
}
