//! From exec to the first byte that the guest sends: of a machine that comes from a snapshot, beside
//! the same guest that boots.
//!
//! The guest sends a byte again and again, from its first instructions on. It needs none of its data,
//! so what is measured is what the VMM does, not how the disk is read. Files are in the page cache.

use std::io;
use std::path::{Path, PathBuf};

use vmm::control::{SnapshotRequest, Then};

use crate::Bench;
use crate::guest::{self, Does};
use crate::process;
use crate::row::{Row, Target};
use crate::running::Running;
use crate::sample::Sample;

const VCPUS: [u32; 3] = [1, 4, 16];
const ROUNDS: usize = 41;
/// Restoring beside booting.
const COLD: f64 = 2.0;
/// 4 GiB beside 256 MiB.
const LARGE: f64 = 1.2;

/// A machine to save.
#[derive(Clone, Copy)]
struct Kind {
    memory: &'static str,
    /// What it has in its memory.
    data_mib: u32,
    vcpus: u32,
}

const SMALL: Kind = Kind {
    memory: "256M",
    data_mib: 64,
    vcpus: 1,
};
/// The same in more memory.
const ROOMY: Kind = Kind {
    memory: "4G",
    ..SMALL
};
/// All but the part below the data.
const FULL: Kind = Kind {
    data_mib: 240,
    ..SMALL
};
const LARGE_AND_FULL: Kind = Kind {
    data_mib: 1000,
    ..ROOMY
};

/// Restores and boots in turns, then small and large machines in turns.
pub(crate) fn measure(bench: &Bench, show: &mut dyn FnMut(Row)) -> io::Result<()> {
    for vcpus in VCPUS {
        let kind = Kind { vcpus, ..SMALL };
        let file = save(bench, kind, "small.vmm")?;
        let (ours, cold) = in_turns(bench, &restore(bench, &file), &boot(bench, kind))?;
        std::fs::remove_file(&file)?;
        let plural = if vcpus == 1 { "" } else { "s" };
        let name = format!("restore: exec to first byte, {vcpus} vCPU{plural}");
        show(
            Row::alone(name, "ms", ours)
                .beside("cold run", cold)
                .target(Target::RatioAtMost(COLD)),
        );
    }
    // What KVM itself takes for the larger memory, before any of ours.
    let (large, small) = (boot(bench, ROOMY), boot(bench, SMALL));
    let (cold, beside) = in_turns(bench, &large, &small)?;
    show(Row::alone("restore: (cold run) 4 GiB".to_owned(), "ms", cold).beside("256 MiB", beside));
    for (large, small, used) in [
        (ROOMY, SMALL, "64 MiB in use"),
        (LARGE_AND_FULL, FULL, "1000 MiB in use"),
    ] {
        let large = save(bench, large, "large.vmm")?;
        let small = save(bench, small, "small.vmm")?;
        let (ours, beside) = in_turns(bench, &restore(bench, &large), &restore(bench, &small))?;
        std::fs::remove_file(&large)?;
        std::fs::remove_file(&small)?;
        show(
            Row::alone(format!("restore: 4 GiB, {used}"), "ms", ours)
                .beside("256 MiB", beside)
                .target(Target::RatioAtMost(LARGE)),
        );
    }
    Ok(())
}

/// First bytes of both. Whoever runs second finds warmer caches, so they take turns at that too.
fn in_turns(bench: &Bench, ours: &[String], beside: &[String]) -> io::Result<(Sample, Sample)> {
    let (mut our_times, mut beside_times) = <(Sample, Sample)>::default();
    for round in 0..bench.rounds(ROUNDS) {
        if round % 2 == 0 {
            our_times.push(process::first_byte(ours)?);
            beside_times.push(process::first_byte(beside)?);
        } else {
            beside_times.push(process::first_byte(beside)?);
            our_times.push(process::first_byte(ours)?);
        }
    }
    Ok((our_times, beside_times))
}

fn restore(bench: &Bench, file: &Path) -> Vec<String> {
    let words = [&bench.vmm.display().to_string(), "restore"].map(str::to_owned);
    let mut words = words.to_vec();
    words.push(file.display().to_string());
    words
}

fn boot(bench: &Bench, kind: Kind) -> Vec<String> {
    let mut words = vec![bench.vmm.display().to_string()];
    words.extend(run(kind, &bench.guests.tick()));
    words
}

fn run(kind: Kind, guest: &Path) -> Vec<String> {
    let vcpus = kind.vcpus.to_string();
    let mut words = ["run", "--memory", kind.memory, "--vcpus", &vcpus]
        .map(str::to_owned)
        .to_vec();
    words.push(guest.display().to_string());
    words
}

/// Boots a machine and saves it once it ticks.
fn save(bench: &Bench, kind: Kind, name: &str) -> io::Result<PathBuf> {
    let guest = bench.disk.file("tick.elf");
    guest::write_with_data(&guest, Does::Tick, kind.data_mib)?;
    let running = Running::until_first_byte(bench, &run(kind, &guest))?;
    let file = bench.disk.file(name);
    let request = SnapshotRequest {
        file: file.clone(),
        then: Then::Stop,
    };
    let mut client = running.client()?;
    client.snapshot(&request).map_err(io::Error::other)?;
    std::fs::remove_file(&guest)?;
    Ok(file)
}
