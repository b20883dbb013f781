//! The end: the last CPU checks the sums, prints them and ends the machine.

use core::sync::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Relaxed, SeqCst},
};

use guest_payload::abi::{CPU_DONE, Control, CpuResults, STATE_FINISHED};
use guest_payload::args::{Clocks, Mode};
use guest_payload::stats;

use crate::arch::instr::rdtsc;
use crate::arch::serial::{print, print_u64};
use crate::arch::{clock, smp};
use crate::objects;
use crate::setup::Setup;
use crate::shared::{RESULTS, exit};

/// Takes CPU `index` out of the workload. The last one ends the machine.
pub(crate) fn leave(index: u32, setup: &Setup) -> ! {
    let cpus = smp::cpus();
    cpus[index as usize].state.store(CPU_DONE, Relaxed);
    // AcqRel: the last one sees everything the others counted.
    if RESULTS.done_count.fetch_add(1, AcqRel) + 1 != RESULTS.cpu_count.load(Relaxed) {
        setup.machine.park();
    }
    RESULTS.end_tsc.store(rdtsc(), Relaxed);
    if setup.args.mode == Mode::Stress {
        compare_sums(&cpus[index as usize]);
    }
    RESULTS.state.store(STATE_FINISHED, SeqCst);
    exit(if summary(setup) {
        Control::ExitPassed
    } else {
        Control::ExitFailed
    })
}

fn sum(field: impl Fn(&CpuResults) -> &AtomicU64) -> u64 {
    smp::cpus().iter().map(|cpu| field(cpu).load(Relaxed)).sum()
}

/// Each lock counted its acquisitions without an atomic: a lost count is a broken lock.
fn compare_sums(own: &CpuResults) {
    let inside: u64 = objects::all()
        .iter()
        .map(|o| o.acquisitions.load(Relaxed))
        .sum();
    let difference = inside.abs_diff(sum(|cpu| &cpu.acquisitions) + sum(|cpu| &cpu.settled));
    stats::add(&own.mutual_exclusion, difference);
}

fn summary(setup: &Setup) -> bool {
    let cycles = RESULTS
        .end_tsc
        .load(Relaxed)
        .saturating_sub(RESULTS.start_tsc.load(Relaxed));
    let numbers = [
        (": cpus ", u64::from(RESULTS.cpu_count.load(Relaxed))),
        (" ring ", u64::from(RESULTS.ring.load(Relaxed))),
        (" pv ", u64::from(RESULTS.pv_active.load(Relaxed))),
        (" ms ", clock::cycles_to_ns(cycles) / 1_000_000),
        (" acquisitions ", sum(|cpu| &cpu.acquisitions)),
        (" halts ", sum(|cpu| &cpu.halts)),
        (" kicks ", sum(|cpu| &cpu.kicks_sent)),
    ];
    let args = &setup.args;
    print("guest-payload: ");
    print(args.lock.name());
    print_counts(&numbers);
    let mut broken = print_counts(&[
        (" mutual_exclusion ", sum(|cpu| &cpu.mutual_exclusion)),
        (" fifo ", sum(|cpu| &cpu.fifo)),
        (" touch_after_unlock ", sum(|cpu| &cpu.touch_after_unlock)),
    ]);
    // A check that was not asked for is not claimed.
    if args.io != 0 {
        broken |= print_counts(&[
            (" io_duplicated ", sum(|cpu| &cpu.io_duplicated)),
            (" io_lost ", sum(|cpu| &cpu.io_lost)),
        ]);
    }
    if args.clocks == Clocks::On {
        broken |= print_counts(&[
            (" tsc_backwards ", sum(|cpu| &cpu.tsc_backwards)),
            (" kvmclock_backwards ", sum(|cpu| &cpu.kvmclock_backwards)),
        ]);
    }
    print(if broken == 0 { " PASS\n" } else { " FAIL\n" });
    broken == 0
}

/// Prints names and numbers; 0 if every number is.
fn print_counts(numbers: &[(&str, u64)]) -> u64 {
    let mut any = 0;
    for (name, value) in numbers {
        print(name);
        print_u64(*value);
        any |= value;
    }
    any
}
