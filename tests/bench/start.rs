//! How long it takes from exec to the guest's first byte on the serial port, and to the end.

use std::io;
use std::process::Command;

use crate::Bench;
use crate::process::{self, Took};
use crate::row::{Row, Target};
use crate::sample::Sample;

const VCPUS: [u32; 4] = [1, 4, 16, 64];
const ROUNDS: usize = 41;
const PEER_ROUNDS: usize = 11;
const FLOOR: f64 = 1.3;
const PEER: f64 = 0.1;
const PEER_PROGRAM: &str = "qemu-system-x86_64";
const PEER_NAME: &str = "qemu microvm";

/// First bytes and exits of one program.
#[derive(Debug, Default)]
struct Times {
    first_byte: Sample,
    exit: Sample,
}

impl Times {
    fn push(&mut self, took: Took) {
        self.first_byte.push(took.first_byte);
        self.exit.push(took.exit);
    }
}

/// Ours, the floor and the peer in turns, at several numbers of vCPUs.
pub(crate) fn measure(bench: &Bench, show: &mut dyn FnMut(Row)) -> io::Result<()> {
    let has_peer = Command::new(PEER_PROGRAM).arg("--version").output().is_ok();
    if !has_peer {
        println!("({PEER_PROGRAM} is not installed: no peer)");
    }
    for vcpus in VCPUS {
        let us = our_command(bench, vcpus);
        let floor = floor_command(bench, vcpus);
        compare(
            vcpus,
            &us,
            ("floor", &floor, FLOOR),
            bench.rounds(ROUNDS),
            show,
        )?;
        if has_peer {
            let peer = peer_command(bench, vcpus);
            let rounds = bench.rounds(PEER_ROUNDS);
            compare(vcpus, &us, (PEER_NAME, &peer, PEER), rounds, show)?;
        }
    }
    Ok(())
}

/// Runs both in turns. Whoever runs second finds warmer caches, so they take turns at that too.
fn compare(
    vcpus: u32,
    us: &[String],
    (name, other, most): (&'static str, &[String], f64),
    rounds: usize,
    show: &mut dyn FnMut(Row),
) -> io::Result<()> {
    let (mut ours, mut others) = <(Times, Times)>::default();
    for round in 0..rounds {
        if round % 2 == 0 {
            ours.push(process::time(us)?);
            others.push(process::time(other)?);
        } else {
            others.push(process::time(other)?);
            ours.push(process::time(us)?);
        }
    }
    for (what, ours, others) in [
        ("first byte", ours.first_byte, others.first_byte),
        ("exit", ours.exit, others.exit),
    ] {
        let plural = if vcpus == 1 { "" } else { "s" };
        show(
            Row::alone(
                format!("start: exec to {what}, {vcpus} vCPU{plural}"),
                "ms",
                ours,
            )
            .beside(name, others)
            .target(Target::RatioAtMost(most)),
        );
    }
    Ok(())
}

/// A guest that resets at once.
pub(crate) fn our_command(bench: &Bench, vcpus: u32) -> Vec<String> {
    vec![
        bench.vmm.display().to_string(),
        "run".to_owned(),
        "--serial".to_owned(),
        "stdio".to_owned(),
        "--vcpus".to_owned(),
        vcpus.to_string(),
        bench.guests.reset().display().to_string(),
    ]
}

fn floor_command(bench: &Bench, vcpus: u32) -> Vec<String> {
    vec![
        bench.floor("floor"),
        "run".to_owned(),
        vcpus.to_string(),
        bench.guests.reset().display().to_string(),
    ]
}

fn peer_command(bench: &Bench, vcpus: u32) -> Vec<String> {
    let mut command: Vec<String> = [
        PEER_PROGRAM,
        "-M",
        "microvm",
        "-accel",
        "kvm",
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-serial",
        "stdio",
        "-no-reboot",
        "-m",
        "128",
        "-smp",
    ]
    .map(str::to_owned)
    .to_vec();
    command.push(vcpus.to_string());
    command.push("-kernel".to_owned());
    command.push(bench.guests.reset().display().to_string());
    command
}
