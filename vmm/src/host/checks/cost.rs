//! What instructions and exits cost here. Information, and no answer rests on it.

use std::time::Duration;

use crate::host::HostError;
use crate::host::check::{Finding, Host};
use crate::host::code::{OUT_LEN, Op, assemble};
use crate::host::tiny_vm::{Exit, Lapic, Ring, TinyVm};
use crate::kvm::timer::thread_cpu_time;

const PORT: u8 = 0x84;
/// Enough for the slowest emulator known, times a hundred.
const CPU_TIME: Duration = Duration::from_millis(500);
/// The least of so many runs is taken: what is slower was disturbed.
const RUNS: usize = 3;

/// Above this, no hardware executes a `dec` and a `jnz`.
const EMULATED_NS: f64 = 50.0;

const FEW: u32 = 500;
const MANY: u32 = 1_000_000;
const EXITS: u32 = 100;

pub(super) fn cpl0(host: &Host) -> Result<Finding, HostError> {
    let ns = instruction_ns(host, Ring::Kernel)?;
    Ok(Finding::value(
        format!("{}, {}", how(ns), time(ns)),
        if ns > EMULATED_NS {
            "every instruction is emulated: run the payload with ring=3 (`ring=auto` does)"
        } else {
            "`ring=auto` picks ring 0"
        },
    ))
}

pub(super) fn cpl3(host: &Host) -> Result<Finding, HostError> {
    let ns = instruction_ns(host, Ring::User)?;
    Ok(Finding::value(
        format!("{}, {}", how(ns), time(ns)),
        if ns > EMULATED_NS {
            "slow in both rings: throughput means nothing here, correctness does"
        } else {
            "ring=3 spins at native speed"
        },
    ))
}

pub(super) fn out_at_cpl0(host: &Host) -> Result<Finding, HostError> {
    let ns = out_ns(host, Ring::Kernel)?;
    let meaning = "what a kick by the stub page costs its sender from ring 0, at least";
    Ok(Finding::value(time(ns), meaning))
}

pub(super) fn out_at_cpl3(host: &Host) -> Result<Finding, HostError> {
    let ns = out_ns(host, Ring::User)?;
    let meaning = "what a kick by the stub page costs its sender from ring 3, at least";
    Ok(Finding::value(time(ns), meaning))
}

/// Nanoseconds of CPU time for one instruction of a `dec`, `jnz` loop.
fn instruction_ns(host: &Host, ring: Ring) -> Result<f64, HostError> {
    let empty = loop_time(host, ring, 1)?;
    let per_instruction = |turns: u32, time: Duration| {
        time.saturating_sub(empty).as_secs_f64() * 1e9 / (2.0 * f64::from(turns))
    };
    let ns = per_instruction(FEW, loop_time(host, ring, FEW)?);
    if ns > EMULATED_NS {
        return Ok(ns);
    }
    Ok(per_instruction(MANY, loop_time(host, ring, MANY)?))
}

/// Least CPU time of a loop of so many turns, the way in and out included.
fn loop_time(host: &Host, ring: Ring, turns: u32) -> Result<Duration, HostError> {
    let code = assemble(&[Op::Ecx(turns), Op::Loop { body: 0 }, Op::Out(PORT)]);
    least(|| {
        let vm = TinyVm::new(host.kvm, Lapic::InKernel, &code)?;
        let mut vcpu = vm.add_vcpu(0, ring, Some(&host.cpuid))?;
        let start = thread_cpu_time();
        expect_out(vcpu.run(CPU_TIME)?)?;
        Ok(thread_cpu_time() - start)
    })
}

/// Nanoseconds of CPU time for one `out` that exits to this program and returns.
fn out_ns(host: &Host, ring: Ring) -> Result<f64, HostError> {
    let code = assemble(&[
        Op::Ecx(EXITS + 1),
        Op::Out(PORT),
        Op::Loop { body: OUT_LEN },
        Op::Hlt,
    ]);
    let all = least(|| {
        let vm = TinyVm::new(host.kvm, Lapic::InKernel, &code)?;
        let mut vcpu = vm.add_vcpu(0, ring, Some(&host.cpuid))?;
        expect_out(vcpu.run(CPU_TIME)?)?;
        let start = thread_cpu_time();
        for _ in 0..EXITS {
            // No timer: an `out` of this loop is known to exit.
            while vcpu.enter()?.is_none() {}
        }
        Ok(thread_cpu_time() - start)
    })?;
    Ok(all.as_secs_f64() * 1e9 / f64::from(EXITS))
}

fn least(mut run: impl FnMut() -> Result<Duration, HostError>) -> Result<Duration, HostError> {
    let mut least = run()?;
    for _ in 1..RUNS {
        least = least.min(run()?);
    }
    Ok(least)
}

fn expect_out(exit: Exit) -> Result<(), HostError> {
    if exit == Exit::out(PORT) {
        Ok(())
    } else {
        Err(HostError::Unexpected(format!(
            "a loop with an `out`: {exit}"
        )))
    }
}

fn how(ns: f64) -> &'static str {
    if ns > EMULATED_NS {
        "emulated"
    } else {
        "native"
    }
}

fn time(ns: f64) -> String {
    match ns {
        ns if ns < 10.0 => format!("{ns:.1} ns"),
        ns if ns < 1000.0 => format!("{ns:.0} ns"),
        ns => format!("{:.1} us", ns / 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_with_two_figures_and_a_unit() {
        assert_eq!(time(0.53), "0.5 ns");
        assert_eq!(time(412.3), "412 ns");
        assert_eq!(time(32_140.0), "32.1 us");
    }
}
