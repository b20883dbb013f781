//! How much memory a machine takes beside its guest's.

use std::io::{self, Read};
use std::path::Path;

use crate::Bench;
use crate::process;
use crate::row::{Row, Target};
use crate::sample::Sample;

const ROUNDS: usize = 5;
const PEAK_MIB: f64 = 4.0;
const ANONYMOUS_MIB: f64 = 1.0;
const FURTHER_VCPU_KIB: f64 = 64.0;
const MANY: u32 = 64;

/// Peak RSS of a whole run, and what of it is anonymous while the guest is there.
pub(crate) fn measure(bench: &Bench, show: &mut dyn FnMut(Row)) -> io::Result<()> {
    let (mut peak, mut floor, mut anonymous, mut further) =
        <(Sample, Sample, Sample, Sample)>::default();
    for _ in 0..bench.rounds(ROUNDS) {
        let (reset, halt) = (bench.guests.reset(), bench.guests.halt());
        peak.push(peak_kib(bench, &our_words(bench, 1, &reset))? / 1024.0);
        floor.push(peak_kib(bench, &floor_words(bench, &reset))? / 1024.0);
        // A guest that stays until every vCPU has its thread.
        let one = peak_kib(bench, &our_words(bench, 1, &halt))?;
        let many = peak_kib(bench, &our_words(bench, MANY, &halt))?;
        further.push((many - one) / f64::from(MANY - 1));
        anonymous.push(anonymous_kib(bench)? / 1024.0);
    }
    show(
        Row::alone("memory: peak RSS, 1 vCPU".to_owned(), "MiB", peak)
            .beside("floor", floor)
            .target(Target::AtMost(PEAK_MIB)),
    );
    show(
        Row::alone("memory: anonymous RSS, 1 vCPU".to_owned(), "MiB", anonymous)
            .target(Target::AtMost(ANONYMOUS_MIB)),
    );
    show(
        Row::alone(
            "memory: peak RSS, each further vCPU".to_owned(),
            "KiB",
            further,
        )
        .target(Target::AtMost(FURTHER_VCPU_KIB)),
    );
    Ok(())
}

/// Peak RSS of a whole run on one vCPU.
pub(crate) fn our_peak_kib(bench: &Bench) -> io::Result<f64> {
    peak_kib(bench, &our_words(bench, 1, &bench.guests.reset()))
}

fn our_words(bench: &Bench, vcpus: u32, guest: &Path) -> Vec<String> {
    let mut words = vec![bench.vmm.display().to_string()];
    words.extend(["run", "--serial", "null", "--vcpus"].map(str::to_owned));
    words.push(vcpus.to_string());
    words.push(guest.display().to_string());
    words
}

fn floor_words(bench: &Bench, guest: &Path) -> Vec<String> {
    let mut words = vec![bench.floor("floor")];
    words.extend(["run", "1"].map(str::to_owned));
    words.push(guest.display().to_string());
    words
}

/// By way of the floor: a process inherits the peak of the one that started it.
fn peak_kib(bench: &Bench, words: &[String]) -> io::Result<f64> {
    let mut command = vec![bench.floor("floor"), "peak".to_owned()];
    command.extend_from_slice(words);
    let text = process::output(&command)?;
    text.trim().parse().map_err(io::Error::other)
}

/// Anonymous memory of a machine whose guest has halted.
fn anonymous_kib(bench: &Bench) -> io::Result<f64> {
    let mut command = vec![bench.vmm.display().to_string()];
    command.extend(["run", "--vcpus", "1"].map(str::to_owned));
    command.push(bench.guests.halt().display().to_string());
    let (mut child, mut output) = process::spawn(&command)?;
    // The watchdog ends a machine whose only vCPU has halted for good, but not at once.
    output.read_exact(&mut [0])?;
    let kib = process::status_kib(&child, "RssAnon");
    child.kill()?;
    child.wait()?;
    kib
}
