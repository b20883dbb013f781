//! The kick's latency: from before the hypercall to the target's first instruction after its halt,
//! taken by the guest itself.

use std::io;

use serde_json::Value;

use crate::Bench;
use crate::process;
use crate::row::{Row, Target};
use crate::sample::Sample;

/// `--kick`, `--halt`.
const COMBINATIONS: [(&str, &str); 3] = [("kvm", "kvm"), ("vmm", "kvm"), ("vmm", "vmm")];
const RINGS: [u32; 2] = [0, 3];
const ROUNDS: usize = 9;
const FLOOR: f64 = 1.15;

/// p50 and p99 of one program's rounds.
#[derive(Debug, Default)]
struct Percentiles {
    p50: Sample,
    p99: Sample,
}

impl Percentiles {
    fn push(&mut self, report: &Value) -> io::Result<()> {
        let wait = &report["wait_ns"];
        let us = |name: &str| {
            let ns = wait[name].as_f64();
            ns.map(|ns| ns / 1e3)
                .ok_or_else(|| io::Error::other("no kick was measured"))
        };
        self.p50.push(us("p50")?);
        self.p99.push(us("p99")?);
        Ok(())
    }
}

/// Ours and the floor in turns, for each combination that the host has.
pub(crate) fn measure(bench: &Bench, show: &mut dyn FnMut(Row)) -> io::Result<()> {
    for (kick, halt) in COMBINATIONS {
        for ring in RINGS {
            let seconds = if bench.quick { "0.3" } else { "1" };
            let payload = format!("mode=latency ring={ring} seconds={seconds}");
            let options = ["--vcpus", "2", "--kick", kick, "--halt", halt];
            let (mut ours, mut floor) = <(Percentiles, Percentiles)>::default();
            for round in 0..bench.rounds(ROUNDS) {
                match process::report(&bench.vmm, &options, &payload) {
                    Ok(report) => ours.push(&report)?,
                    Err(error) if round == 0 => {
                        println!("(kick {kick}, halt {halt}, ring {ring}: not here: {error})");
                        break;
                    }
                    Err(error) => return Err(error),
                }
                let words = ["floor-kick", kick, halt, payload.as_str()];
                let mut command = words.map(str::to_owned).to_vec();
                command[0] = bench.floor("floor-kick");
                let text = process::output(&command)?;
                floor.push(&serde_json::from_str(&text).map_err(io::Error::other)?)?;
            }
            if ours.p50.is_empty() {
                continue;
            }
            for (what, ours, floor) in [("p50", ours.p50, floor.p50), ("p99", ours.p99, floor.p99)]
            {
                let name = format!("kick {kick}, halt {halt}, ring {ring}: {what}");
                show(
                    Row::alone(name, "us", ours)
                        .beside("floor", floor)
                        .target(Target::RatioAtMost(FLOOR)),
                );
            }
        }
    }
    Ok(())
}
