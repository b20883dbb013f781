//! Many vCPUs: what each costs to create, start, run and stop.

use std::io;
use std::time::Instant;

use crate::Bench;
use crate::process;
use crate::row::{Row, Target};
use crate::sample::Sample;

const VCPUS: [u32; 4] = [16, 64, 256, 1024];
const ROUNDS: usize = 5;
const FLAT_WITHIN: f64 = 2.0;

/// The bundled payload, over at once, at rising numbers of vCPUs in turns.
pub(crate) fn measure(bench: &Bench, show: &mut dyn FnMut(Row)) -> io::Result<()> {
    let fits = |vcpus: &u32| usize::try_from(*vcpus).is_ok_and(|n| n <= bench.most_vcpus);
    let vcpus: Vec<_> = VCPUS.into_iter().filter(fits).collect();
    let mut each = vec![Sample::default(); vcpus.len()];
    for _ in 0..bench.rounds(ROUNDS) {
        for (sample, vcpus) in each.iter_mut().zip(&vcpus) {
            let start = Instant::now();
            let options = ["--vcpus", &vcpus.to_string()];
            process::report(&bench.vmm, &options, "lock=pv-ticket-head seconds=0")?;
            sample.push(start.elapsed().as_secs_f64() * 1e6 / f64::from(*vcpus));
        }
    }
    for (sample, vcpus) in each.iter().zip(vcpus) {
        let name = format!("many: whole run per vCPU, {vcpus} vCPUs");
        let row = Row::alone(name, "us", sample.clone());
        show(if vcpus == VCPUS[0] {
            row
        } else {
            row.beside("16 vCPUs", each[0].clone())
                .target(Target::RatioAtMost(FLAT_WITHIN))
        });
    }
    Ok(())
}
