//! What each lock does as vCPUs outnumber CPUs.

use std::io;

use guest_payload::lock::LockKind;

use crate::Bench;
use crate::process;
use crate::row::{Row, Target};
use crate::sample::Sample;

const FACTORS: [usize; 4] = [1, 2, 4, 8];
const ROUNDS: usize = 5;
/// What PV locks are for, at the highest overcommit.
const CURE: f64 = 10.0;

/// Every lock in turns, at rising overcommit. One that fails is left out from there on; the error
/// names all that did.
pub(crate) fn measure(bench: &Bench, show: &mut dyn FnMut(Row)) -> io::Result<()> {
    let cpus = std::thread::available_parallelism()?.get();
    let mut failed = Vec::new();
    for factor in FACTORS {
        let vcpus = cpus * factor;
        if vcpus > bench.most_vcpus {
            let most = bench.most_vcpus;
            println!("(throughput {factor}x: {vcpus} vCPUs are more than this KVM's {most})");
            continue;
        }
        let mut rates = LockKind::ALL.map(|lock| (lock, Ok(Sample::default())));
        for _ in 0..bench.rounds(ROUNDS) {
            for (lock, rates) in &mut rates {
                let Ok(sample) = rates else { continue };
                match rate(bench, vcpus, *lock) {
                    Ok(rate) => sample.push(rate),
                    Err(error) => *rates = Err(error),
                }
            }
        }
        let plain = rates.iter().find_map(|(lock, rates)| {
            let is_plain = *lock == LockKind::Ticket;
            is_plain.then_some(rates.as_ref().ok()?.clone())
        });
        for (lock, rates) in rates {
            let name = format!("{factor}x ({vcpus} vCPUs): {}", lock.name());
            let rates = match rates {
                Ok(rates) => rates,
                Err(error) => {
                    failed.push(format!("{name}: {error}"));
                    continue;
                }
            };
            let mut row = Row::alone(format!("throughput {name}"), "k/s", rates);
            if let Some(plain) = plain.as_ref().filter(|_| lock != LockKind::Ticket) {
                row = row.beside("ticket", plain.clone());
                if lock == LockKind::PvTicketHead && factor == FACTORS[FACTORS.len() - 1] {
                    row = row.target(Target::RatioAtLeast(CURE));
                }
            }
            show(row);
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(io::Error::other(failed.join("; ")))
    }
}

/// Acquisitions of one run, in thousands a second.
fn rate(bench: &Bench, vcpus: usize, lock: LockKind) -> io::Result<f64> {
    let seconds = if bench.quick { "0.5" } else { "1" };
    let lock = lock.name();
    // No lock is freed: the V8 lock looks at itself after its release and would fail.
    let payload = format!("lock={lock} ring=3 mortal=0 settle=1 seconds={seconds}");
    let options = ["--vcpus", &vcpus.to_string()];
    let report = process::report(&bench.vmm, &options, &payload)?;
    let per_second = report["acquisitions_per_s"].as_f64();
    Ok(per_second.ok_or_else(|| io::Error::other("no throughput"))? / 1e3)
}
