//! What is measured of each build in a round: short, and each of another part of the program.

use std::io;

use vmm::control::{SnapshotRequest, Then};

use crate::running::Running;
use crate::{Bench, memory, process, start};

/// One measured value.
#[derive(Clone, Debug)]
pub(super) struct Number {
    pub(super) name: String,
    /// A rate ends in `/s`.
    pub(super) unit: &'static str,
    pub(super) value: f64,
}

impl Number {
    pub(super) fn new(name: impl Into<String>, unit: &'static str, value: f64) -> Self {
        Self {
            name: name.into(),
            unit,
            value,
        }
    }
}

/// A measurement, made once by `run`.
pub(super) struct Probe {
    pub(super) name: &'static str,
    pub(super) run: fn(&Bench) -> io::Result<Vec<Number>>,
}

pub(super) const PROBES: &[Probe] = &[
    Probe {
        name: "start",
        run: starts,
    },
    Probe {
        name: "memory",
        run: peak,
    },
    Probe {
        name: "kick",
        run: kick,
    },
    Probe {
        name: "fast-path",
        run: fast_path,
    },
    Probe {
        name: "throughput",
        run: throughput,
    },
    Probe {
        name: "snapshot",
        run: snapshot,
    },
    Probe {
        name: "restore",
        run: restore,
    },
];

fn starts(bench: &Bench) -> io::Result<Vec<Number>> {
    let mut numbers = Vec::new();
    for vcpus in [1, 16] {
        let took = process::time(&start::our_command(bench, vcpus))?;
        for (what, ms) in [("first byte", took.first_byte), ("exit", took.exit)] {
            let name = format!("start: exec to {what}, {vcpus} vCPUs");
            numbers.push(Number::new(name, "ms", ms));
        }
    }
    Ok(numbers)
}

fn peak(bench: &Bench) -> io::Result<Vec<Number>> {
    let kib = memory::our_peak_kib(bench)?;
    let name = "memory: peak RSS, 1 vCPU";
    Ok(vec![Number::new(name, "MiB", kib / 1024.0)])
}

fn kick(bench: &Bench) -> io::Result<Vec<Number>> {
    let options = ["--vcpus", "2"];
    let report = process::report(&bench.vmm, &options, "mode=latency ring=3 seconds=0.2")?;
    let number = |name: &str| -> io::Result<Number> {
        let ns = field(&report["wait_ns"], name)?;
        Ok(Number::new(format!("kick: {name}"), "us", ns / 1e3))
    };
    Ok(vec![number("p50")?, number("p99")?])
}

fn fast_path(bench: &Bench) -> io::Result<Vec<Number>> {
    let words = "lock=pv-ticket-head ring=3 timing=off mortal=0 hold=0 think=0 seconds=0.05";
    let report = process::report(&bench.vmm, &["--vcpus", "1"], words)?;
    let ns = 1e9 / field(&report, "acquisitions_per_s")?;
    Ok(vec![Number::new("fast path: pv-ticket-head", "ns", ns)])
}

fn throughput(bench: &Bench) -> io::Result<Vec<Number>> {
    let vcpus = std::thread::available_parallelism()?.get() * 2;
    let options = ["--vcpus", &vcpus.to_string()];
    let words = "lock=pv-ticket-head ring=3 mortal=0 settle=0.2 seconds=0.3";
    let report = process::report(&bench.vmm, &options, words)?;
    let rate = field(&report, "acquisitions_per_s")? / 1e3;
    let name = "throughput: pv-ticket-head, 2 vCPUs a CPU";
    Ok(vec![Number::new(name, "k/s", rate)])
}

fn snapshot(bench: &Bench) -> io::Result<Vec<Number>> {
    let running = Running::payload(bench, &["--vcpus", "2"], "fill=64M seconds=1000")?;
    let file = bench.disk.file("compared.vmm");
    let mut client = running.client()?;
    client.pause().map_err(io::Error::other)?;
    let request = SnapshotRequest {
        file: file.clone(),
        then: Then::StayPaused,
    };
    let done = client.snapshot(&request).map_err(io::Error::other)?;
    std::fs::remove_file(file)?;
    let name = "snapshot: time, 64 MiB in use";
    Ok(vec![Number::new(name, "ms", done.seconds * 1e3)])
}

fn restore(bench: &Bench) -> io::Result<Vec<Number>> {
    let tick = bench.guests.tick().display().to_string();
    let words = ["run", "--vcpus", "4", &tick].map(str::to_owned);
    let running = Running::until_first_byte(bench, &words)?;
    let file = bench.disk.file("compared.vmm");
    let request = SnapshotRequest {
        file: file.clone(),
        then: Then::Stop,
    };
    let mut client = running.client()?;
    client.snapshot(&request).map_err(io::Error::other)?;
    let vmm = bench.vmm.display().to_string();
    let path = file.display().to_string();
    let command = [vmm, "restore".to_owned(), path];
    let ms = process::first_byte(&command)?;
    std::fs::remove_file(file)?;
    let name = "restore: exec to first byte, 4 vCPUs";
    Ok(vec![Number::new(name, "ms", ms)])
}

fn field(value: &serde_json::Value, name: &str) -> io::Result<f64> {
    let number = value[name].as_f64();
    number.ok_or_else(|| io::Error::other(format!("no {name} in the report")))
}
