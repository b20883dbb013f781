//! The end of a run: the others stop, the results are made true, and the serial port says how it was.

use core::sync::atomic::{
    AtomicU64,
    Ordering::{Relaxed, SeqCst},
};

use guest_payload::abi::{Control, STATE_FINISHED};

use super::area::{self, Area};
use super::{Plan, registers};
use crate::arch::clock;
use crate::arch::instr::{outb, pause, rdtsc};
use crate::arch::serial::{print, print_u64};
use crate::setup;
use crate::shared::{RESULTS, exit};

/// How often to look for a CPU that may never come: one that INIT has stopped in a turn.
const LOOKS: u32 = 2000;

/// Ends the machine. On the boot CPU.
pub(super) fn end(plan: &Plan) -> ! {
    registers::put_right();
    let areas = || (0..plan.cpus).map(area::of);
    let mut looks = 0;
    // SeqCst: pairs with the store in `havoc_turns`.
    while looks < LOOKS && areas().any(|area| area.is_busy.load(SeqCst) != 0) {
        looks += 1;
        pause();
    }
    plan.pages
        .put_right(areas().map(|area| (area.apic_id.load(Relaxed), area.turns.load(Relaxed))));
    RESULTS.tsc_khz.store(plan.tsc_khz, Relaxed);
    RESULTS.start_tsc.store(plan.start, Relaxed);
    let now = rdtsc();
    RESULTS.end_tsc.store(now, Relaxed);
    RESULTS.state.store(STATE_FINISHED, SeqCst);
    reset_serial();
    let sum = |field: fn(&Area) -> &AtomicU64| areas().map(|area| field(area).load(Relaxed)).sum();
    let numbers = [
        ("\nguest-payload: havoc seed ", setup::get().args.seed),
        (" cpus ", plan.cpus.into()),
        (
            " ms ",
            clock::cycles_to_ns(now.saturating_sub(plan.start)) / 1_000_000,
        ),
        (" turns ", sum(|area| &area.turns)),
        (" faults ", sum(|area| &area.faults)),
        (" restarts ", sum(|area| &area.restarts)),
    ];
    for (name, value) in numbers {
        print(name);
        print_u64(value);
    }
    print(" DONE\n");
    exit(Control::ExitPassed)
}

/// 8 bits, no interrupt, no loopback, no FIFO: so that what is printed is read.
fn reset_serial() {
    const COM1: u16 = 0x3f8;
    for (register, value) in [(3, 3), (1, 0), (2, 0), (4, 0)] {
        outb(COM1 + register, value);
    }
}
