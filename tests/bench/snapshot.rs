//! Saving: how fast beside a plain write, how much memory it takes, and how it goes with what is in
//! use.
//!
//! The machines stand still, so that their vCPUs take no time from the plain write.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::Instant;

use vmm::control::{SnapshotRequest, Then};

use crate::Bench;
use crate::process;
use crate::random;
use crate::row::{Row, Target};
use crate::running::Running;
use crate::sample::Sample;

const ROUNDS: usize = 6;
const MEMORY: &str = "1300M";
/// MiB that a machine fills with random numbers.
const FULL_MIB: u32 = 1024;
/// Others fill less. What of the full machine's time and bytes they may take: their share, and some
/// for the image, the locks and the state.
const PARTS: [(u32, f64); 2] = [(256, 0.3), (16, 0.07)];
const WRITE_BYTES: usize = 1 << 20;
const RATE: f64 = 0.8;
const EXTRA_MIB: f64 = 8.0;
const MIB: f64 = 1048576.0;

/// A machine that stands still.
struct Still {
    running: Running,
    ms: Sample,
    mib: Sample,
}

impl Still {
    fn new(bench: &Bench, fill_mib: u32) -> io::Result<Self> {
        let payload = format!("fill={fill_mib}M seconds=1000");
        let running = Running::payload(bench, &["--memory", MEMORY], &payload)?;
        running.client()?.pause().map_err(io::Error::other)?;
        Ok(Self {
            running,
            ms: Sample::default(),
            mib: Sample::default(),
        })
    }

    /// Saves it; returns MiB a second.
    fn save(&mut self, file: &Path) -> io::Result<f64> {
        let request = SnapshotRequest {
            file: file.to_owned(),
            then: Then::StayPaused,
        };
        // A new connection each time: one that is silent while others are saved is closed.
        let mut client = self.running.client()?;
        let done = client.snapshot(&request).map_err(io::Error::other)?;
        std::fs::remove_file(file)?;
        let mib = done.data_bytes as f64 / MIB;
        self.ms.push(done.seconds * 1e3);
        self.mib.push(mib);
        Ok(mib / done.seconds)
    }
}

/// Saves machines with much and little in use, and writes as much without a machine, in turns.
pub(crate) fn measure(bench: &Bench, show: &mut dyn FnMut(Row)) -> io::Result<()> {
    let mut full = Still::new(bench, FULL_MIB)?;
    let mut parts = PARTS
        .iter()
        .map(|(mib, _)| Still::new(bench, *mib))
        .collect::<io::Result<Vec<_>>>()?;
    let file = bench.disk.file("snapshot.vmm");
    let content = random::bytes((FULL_MIB as usize) << 20);
    let (mut ours, mut plain, mut extra) = <(Sample, Sample, Sample)>::default();
    for round in 0..bench.rounds(ROUNDS) {
        if round % 2 == 0 {
            plain.push(write(&file, &content)?);
        }
        let before = process::reset_peak(full.running.process())?;
        ours.push(full.save(&file)?);
        let peak = process::status_kib(full.running.process(), "VmHWM")?;
        extra.push((peak - before) / 1024.0);
        if round % 2 != 0 {
            plain.push(write(&file, &content)?);
        }
        for part in &mut parts {
            part.save(&file)?;
        }
    }
    let name = "snapshot: rate, 1 GiB of random content".to_owned();
    show(
        Row::alone(name, "MiB/s", ours)
            .beside("plain write", plain)
            .target(Target::RatioAtLeast(RATE)),
    );
    let name = "snapshot: extra memory while saving".to_owned();
    show(Row::alone(name, "MiB", extra).target(Target::AtMost(EXTRA_MIB)));
    for (part, (mib, share)) in parts.iter().zip(PARTS) {
        for (what, unit, part, whole) in [
            ("time", "ms", &part.ms, &full.ms),
            ("written", "MiB", &part.mib, &full.mib),
        ] {
            let name = format!("snapshot: {what}, {mib} MiB in use");
            show(
                Row::alone(name, unit, part.clone())
                    .beside("1 GiB in use", whole.clone())
                    .target(Target::RatioAtMost(share)),
            );
        }
    }
    Ok(())
}

/// MiB a second of a plain sequential write with fsync.
fn write(file: &Path, content: &[u8]) -> io::Result<f64> {
    let start = Instant::now();
    let mut open = File::create(file)?;
    for block in content.chunks(WRITE_BYTES) {
        open.write_all(block)?;
    }
    open.sync_all()?;
    let seconds = start.elapsed().as_secs_f64();
    std::fs::remove_file(file)?;
    Ok(content.len() as f64 / MIB / seconds)
}
