//! The floor of `vmm run`: the system calls that starting a PVH guest needs and nothing else.
//!
//! `floor run VCPUS GUEST` is what `vmm run --vcpus VCPUS GUEST` is measured against: the same
//! irqchip mode, the same number of vCPUs, threads and bytes of guest memory, no report.
//! `floor peak COMMAND ARGS` runs a command and prints its peak RSS in KiB: a process starts with
//! the peak of the one that started it, so that one has to be small.

mod machine;

use std::io;
use std::process::{Command, ExitCode, Stdio};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["run", vcpus, guest] => vcpus
            .parse()
            .map_err(|_| io::Error::other("not a number of vCPUs"))
            .and_then(|vcpus| machine::run(vcpus, guest)),
        ["peak", command @ ..] => peak(command),
        _ => Err(io::Error::other(
            "usage: floor run VCPUS GUEST | floor peak COMMAND ARGS",
        )),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("floor: {error}");
            ExitCode::from(2)
        }
    }
}

/// Runs `command` with its output thrown away and prints its peak RSS in KiB.
fn peak(command: &[&str]) -> io::Result<()> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(io::Error::other("no command"));
    };
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    // SAFETY: a struct of integers, for which zero is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: writes the struct; the one child has been waited for.
    if unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage) } != 0 {
        return Err(io::Error::last_os_error());
    }
    println!("{}", usage.ru_maxrss);
    Ok(())
}
