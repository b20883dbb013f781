//! How long a kick takes: CPU 0 kicks CPU 1, which halts again each time. The time from before
//! the kick to the target's first instruction after its halt goes into CPU 1's wait histogram.

use core::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

use guest_payload::stats;

use crate::arch::instr::{pause, rdtsc};
use crate::arch::smp;
use crate::setup::Setup;
use crate::shared::RESULTS;

/// Cycles the kicker gives the target to be halted for real: 0.2 ms at 2.5 GHz.
const SETTLE_CYCLES: u64 = 500_000;

/// Rounds the target is ready for.
static READY: AtomicU64 = AtomicU64::new(0);
/// Rounds kicked; not counted on before [`READY`] says so.
static KICKED: AtomicU64 = AtomicU64::new(0);
static KICKED_AT: AtomicU64 = AtomicU64::new(0);
const LAST_ROUND: u64 = u64::MAX;

/// Both CPUs' part; others do nothing.
pub(crate) fn run(index: u32, setup: &Setup) {
    match index {
        0 => kick_until_deadline(setup),
        1 => halt_until_told(setup),
        _ => {}
    }
}

fn kick_until_deadline(setup: &Setup) {
    let Some(target) = smp::cpus().get(1) else {
        return;
    };
    let own = &smp::cpus()[0];
    let deadline = RESULTS.deadline_tsc.load(Relaxed);
    let mut round = 0;
    loop {
        while READY.load(Acquire) <= round {
            pause();
        }
        let settled = rdtsc() + SETTLE_CYCLES;
        while rdtsc() < settled {
            pause();
        }
        round += 1;
        let now = rdtsc();
        let last = now >= deadline;
        KICKED_AT.store(rdtsc(), Relaxed);
        // Release: pairs with the Acquire in `halt_until_told`.
        KICKED.store(if last { LAST_ROUND } else { round }, Release);
        setup.kick(target);
        stats::add(&own.kicks_sent, 1);
        if last {
            return;
        }
    }
}

fn halt_until_told(setup: &Setup) {
    let own = &smp::cpus()[1];
    let mut round = 0;
    loop {
        READY.store(round + 1, Release);
        let mut woke;
        loop {
            setup.halt(own);
            woke = rdtsc();
            stats::add(&own.halts, 1);
            if KICKED.load(Acquire) > round {
                break;
            }
        }
        stats::record_wait(own, woke.saturating_sub(KICKED_AT.load(Relaxed)));
        stats::add(&own.acquisitions, 1);
        if KICKED.load(Acquire) == LAST_ROUND {
            return;
        }
        round += 1;
    }
}
