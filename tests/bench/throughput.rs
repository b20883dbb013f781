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

/// Every lock in turns, at rising overcommit.
pub(crate) fn measure(bench: &Bench, show: &mut dyn FnMut(Row)) -> io::Result<()> {
    let cpus = std::thread::available_parallelism()?.get();
    let locks = LockKind::ALL;
    for factor in FACTORS {
        let vcpus = cpus * factor;
        let mut rates = locks.map(|_| Sample::default());
        for _ in 0..bench.rounds(ROUNDS) {
            for (rate, lock) in rates.iter_mut().zip(locks) {
                let seconds = if bench.quick { "0.5" } else { "1" };
                let lock = lock.name();
                // No lock is freed: the V8 lock looks at itself after its release and would fail.
                let payload = format!("lock={lock} ring=3 mortal=0 settle=1 seconds={seconds}");
                let options = ["--vcpus", &vcpus.to_string()];
                let report = process::report(&bench.vmm, &options, &payload)?;
                let per_second = report["acquisitions_per_s"].as_f64();
                rate.push(per_second.ok_or_else(|| io::Error::other("no throughput"))? / 1e3);
            }
        }
        let plain = locks
            .iter()
            .zip(&rates)
            .find(|(lock, _)| **lock == LockKind::Ticket)
            .map(|(_, rate)| rate.clone())
            .unwrap_or_default();
        for (lock, rate) in locks.iter().zip(rates) {
            let name = format!("throughput {factor}x ({vcpus} vCPUs): {}", lock.name());
            let mut row = Row::alone(name, "k/s", rate);
            if *lock != LockKind::Ticket {
                row = row.beside("ticket", plain.clone());
            }
            if *lock == LockKind::PvTicketHead && factor == FACTORS[FACTORS.len() - 1] {
                row = row.target(Target::RatioAtLeast(CURE));
            }
            show(row);
        }
    }
    Ok(())
}
