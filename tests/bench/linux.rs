//! How long an unmodified Linux takes to its first line and to "PV spinlocks enabled", beside the
//! same kernel under QEMU's microvm.
//!
//! `make linux-guest` makes the kernel; without it, or without QEMU, nothing is measured.

use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::Bench;
use crate::process::{self, Limit};
use crate::row::{Row, Target};
use crate::sample::Sample;

const ROUNDS: usize = 7;
const PEER_PROGRAM: &str = "qemu-system-x86_64";
const PEER_NAME: &str = "qemu microvm";
const KERNEL: &str = "target/linux-guest/vmlinux";
/// One vCPU needs no PV spinlocks.
const VCPUS: &str = "2";
const MEMORY: &str = "64M";
const CMDLINE: &str = "console=ttyS0 panic=-1 acpi=off";
/// The marks, in the order in which Linux prints them.
const FIRST_LINE: &str = "Linux version";
const PV_SPINLOCKS: &str = "PV spinlocks enabled";
/// What `vmm run` says before it adds to the kernel's command line.
const ADDED: &str = "added to its command line: ";

/// Ours and the peer in turns.
pub(crate) fn measure(bench: &Bench, show: &mut dyn FnMut(Row)) -> io::Result<()> {
    if !Path::new(KERNEL).exists() {
        println!("({KERNEL} is not there, make linux-guest makes it: no Linux)");
        return Ok(());
    }
    if Command::new(PEER_PROGRAM)
        .arg("--version")
        .output()
        .is_err()
    {
        println!("({PEER_PROGRAM} is not installed: no Linux beside it)");
        return Ok(());
    }
    let ours = our_command(bench);
    let peers = peer_command(&added_words(&ours)?);
    let (mut first, mut enabled) = <(Pair, Pair)>::default();
    for round in 0..bench.rounds(ROUNDS) {
        let (us, peer) = if round % 2 == 0 {
            let us = time(&ours)?;
            (us, time(&peers)?)
        } else {
            let peer = time(&peers)?;
            (time(&ours)?, peer)
        };
        first.push(us.first_line, peer.first_line);
        enabled.push(us.pv_spinlocks, peer.pv_spinlocks);
    }
    for (what, pair) in [
        ("its first line", first),
        ("\"PV spinlocks enabled\"", enabled),
    ] {
        show(
            Row::alone(format!("linux: exec to {what}, 2 vCPUs"), "ms", pair.ours)
                .beside(PEER_NAME, pair.peers)
                .target(Target::RatioAtMost(1.0)),
        );
    }
    Ok(())
}

/// Runs made in turns.
#[derive(Debug, Default)]
struct Pair {
    ours: Sample,
    peers: Sample,
}

impl Pair {
    fn push(&mut self, ours: f64, peer: f64) {
        self.ours.push(ours);
        self.peers.push(peer);
    }
}

/// In ms from before exec.
struct Times {
    first_line: f64,
    pv_spinlocks: f64,
}

/// Runs `command` until the kernel has printed both marks, and kills it.
fn time(command: &[String]) -> io::Result<Times> {
    let start = Instant::now();
    let (mut child, output) = process::spawn(command)?;
    let limit = Limit::on(&child);
    let mut lines = BufReader::new(output);
    let mut until = |mark: &str| {
        let mut line = Vec::new();
        loop {
            line.clear();
            if lines.read_until(b'\n', &mut line)? == 0 {
                let name = &command[0];
                return Err(io::Error::other(format!("{name}: no `{mark}`")));
            }
            if String::from_utf8_lossy(&line).contains(mark) {
                return Ok(start.elapsed().as_secs_f64() * 1e3);
            }
        }
    };
    let times = until(FIRST_LINE).and_then(|first_line| {
        Ok(Times {
            first_line,
            pv_spinlocks: until(PV_SPINLOCKS)?,
        })
    });
    drop(limit);
    child.kill()?;
    child.wait()?;
    times
}

/// The words that this host makes necessary: the peer's kernel needs them as well as ours.
fn added_words(ours: &[String]) -> io::Result<String> {
    let mut command = Command::new(&ours[0]);
    command.args(&ours[1..]).args(["--timeout", "0.1"]);
    let said = String::from_utf8_lossy(&command.output()?.stderr).into_owned();
    let added = said.lines().find_map(|line| line.split_once(ADDED));
    Ok(added.map_or(String::new(), |(_, words)| words.to_owned()))
}

fn our_command(bench: &Bench) -> Vec<String> {
    let vmm = bench.vmm.display().to_string();
    let words = [
        &vmm,
        "run",
        "--vcpus",
        VCPUS,
        "--memory",
        MEMORY,
        KERNEL,
        "--cmdline",
        CMDLINE,
    ];
    words.map(str::to_owned).to_vec()
}

fn peer_command(added: &str) -> Vec<String> {
    let cmdline = format!("{CMDLINE} {added}");
    let words = [
        PEER_PROGRAM,
        "-M",
        "microvm",
        "-accel",
        "kvm",
        "-cpu",
        "host",
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-serial",
        "stdio",
        "-no-reboot",
        "-m",
        MEMORY,
        "-smp",
        VCPUS,
        "-kernel",
        KERNEL,
        "-append",
        &cmdline,
    ];
    words.map(str::to_owned).to_vec()
}
