//! What an uncontended lock and unlock costs.

use std::io;

use crate::Bench;
use crate::process;
use crate::row::{Row, Target};
use crate::sample::Sample;

/// Short runs and many: of those, most are undisturbed.
const ROUNDS: usize = 41;
/// PV locks that are patched out cost no more than the plain one.
const SAME: f64 = 1.02;

/// Name, the payload's words, target.
const CASES: [(&str, &str, Option<f64>); 5] = [
    ("ticket", "lock=ticket nopvspin", None),
    (
        "pv-ticket, PV patched out",
        "lock=pv-ticket nopvspin",
        Some(SAME),
    ),
    (
        "pv-ticket-head, PV patched out",
        "lock=pv-ticket-head nopvspin",
        Some(SAME),
    ),
    ("pv-ticket, PV on", "lock=pv-ticket", None),
    ("pv-ticket-head, PV on", "lock=pv-ticket-head", None),
];

/// All cases in turns, on one vCPU.
pub(crate) fn measure(bench: &Bench, show: &mut dyn FnMut(Row)) -> io::Result<()> {
    let mut costs = CASES.map(|_| Sample::default());
    for _ in 0..bench.rounds(ROUNDS) {
        for (cost, (_, words, _)) in costs.iter_mut().zip(CASES) {
            let payload = format!(
                "{words} ring=3 tickets=large timing=off mortal=0 hold=0 think=0 seconds=0.05"
            );
            let report = process::report(&bench.vmm, &["--vcpus", "1"], &payload)?;
            let per_second = report["acquisitions_per_s"].as_f64();
            cost.push(1e9 / per_second.ok_or_else(|| io::Error::other("no throughput"))?);
        }
    }
    let [plain, ..] = costs.clone();
    for (cost, (name, _, target)) in costs.into_iter().zip(CASES).collect::<Vec<_>>() {
        let mut row = Row::alone(format!("fast path: {name}"), "ns", cost);
        if name != "ticket" {
            row = row.beside("ticket", plain.clone());
        }
        if let Some(most) = target {
            row = row.target(Target::RatioAtMost(most));
        }
        show(row);
    }
    Ok(())
}
