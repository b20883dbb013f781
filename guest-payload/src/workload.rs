//! The stress test itself: think, lock, check, hold, unlock, until the deadline.

use core::sync::atomic::{
    AtomicU32,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

use guest_payload::abi::{CPU_RUNNING, LockObject, STATE_RUNNING};
use guest_payload::args::{Args, Mode, Threshold, Timing};
use guest_payload::lock::{RawLock, Visit};
use guest_payload::pv::{Backend, Cpu, WaitingCpus};
use guest_payload::stats;

use crate::arch::instr::{delay, pause, rdtsc};
use crate::arch::{clock, ring3, smp};
use crate::critical_section::{Checks, acquire, lock_of, release};
use crate::platform::Machine;
use crate::random::Random;
use crate::setup::{self, Setup};
use crate::shared::{RESULTS, crash};
use crate::witness::{Blind, Watching, Witness};
use crate::{finish, handshake_memory, latency, mortal, objects, trace_memory, witness};

static WAITING: WaitingCpus = WaitingCpus::new();
/// Where nobody tells the TSC's frequency, so that a run ends at all.
const TSC_KHZ_GUESS: u64 = 2_000_000;

static ARRIVED: AtomicU32 = AtomicU32::new(0);

/// Takes CPU `index` to the ring of the workload and through it.
pub(crate) fn enter(index: u32) -> ! {
    match setup::get().machine {
        Machine::Kernel => run(u64::from(index)),
        Machine::User => ring3::enter(run, u64::from(index), smp::user_stack_top(index)),
    }
}

extern "C" fn run(index: u64) -> ! {
    let index = index as u32;
    let setup = setup::get();
    if index == 0 {
        RESULTS
            .threshold_spins
            .store(u64::from(threshold_spins(setup.args.threshold)), Relaxed);
    }
    wait_for_start(index, setup);
    let threshold = RESULTS.threshold_spins.load(Relaxed) as u32;
    let cpus = smp::cpus();
    let Some(cpu) = Cpu::new(
        index as usize,
        cpus,
        &WAITING,
        setup.backend,
        threshold,
        setup.machine,
    ) else {
        crash()
    };
    let cpu = cpu
        .with_linger(setup.args.linger)
        .with_window(setup.args.window)
        .with_wait_early(setup.args.wait_early)
        .with_trace(trace_memory::of(index, &cpus[index as usize]))
        .with_handshake(handshake_memory::of(index));
    if setup.args.mode == Mode::Latency {
        latency::run(index, setup);
    } else {
        let stress = Stress {
            index,
            cpu: &cpu,
            setup,
        };
        setup.args.lock.visit(setup.bits, stress);
    }
    finish::leave(index, setup)
}

/// The threshold in spins; nanoseconds are calibrated in the ring that will spin.
fn threshold_spins(threshold: Threshold) -> u32 {
    const SPINS: u32 = 1024;
    match threshold {
        Threshold::Spins(spins) => spins,
        Threshold::Nanoseconds(ns) => {
            let word = AtomicU32::new(0);
            let mut fastest = u64::MAX;
            for _ in 0..5 {
                let start = rdtsc();
                for _ in 0..SPINS {
                    if word.load(Acquire) != 0 {
                        break;
                    }
                    pause();
                }
                fastest = fastest.min(rdtsc() - start);
            }
            let spins = u64::from(ns) * u64::from(SPINS) / clock::cycles_to_ns(fastest).max(1);
            spins.clamp(1, u64::from(u32::MAX)) as u32
        }
    }
}

/// Holds the CPUs until all are here; the last one sets the clock. Where kicks work, waiting is a
/// halt: at high overcommit spinners would keep the late ones from arriving.
fn wait_for_start(index: u32, setup: &Setup) {
    let cpus = smp::cpus();
    // AcqRel: the last to arrive sees what the others wrote before, and releases it to them below.
    if ARRIVED.fetch_add(1, AcqRel) + 1 == RESULTS.cpu_count.load(Relaxed) {
        let now = rdtsc();
        let khz = match RESULTS.tsc_khz.load(Relaxed) {
            0 => TSC_KHZ_GUESS,
            khz => khz,
        };
        let start = now + u64::from(setup.args.settle_ms) * khz;
        RESULTS.start_tsc.store(start, Relaxed);
        RESULTS
            .deadline_tsc
            .store(start + u64::from(setup.args.duration_ms) * khz, Relaxed);
        // Release: pairs with the Acquire below.
        RESULTS.state.store(STATE_RUNNING, Release);
        if setup.backend != Backend::Native {
            let own = &cpus[index as usize];
            for other in cpus {
                if !core::ptr::eq(other, own) {
                    setup.kick(other);
                    stats::add(&own.kicks_sent, 1);
                }
            }
        }
    } else {
        while RESULTS.state.load(Acquire) != STATE_RUNNING {
            match setup.backend {
                Backend::Native => pause(),
                Backend::Kvm | Backend::Xen => {
                    setup.halt(&cpus[index as usize]);
                    stats::add(&cpus[index as usize].halts, 1);
                }
            }
        }
    }
    cpus[index as usize].state.store(CPU_RUNNING, Relaxed);
}

/// One CPU's turns with a lock.
struct Stress<'a> {
    index: u32,
    cpu: &'a Cpu<'static, Machine>,
    setup: &'a Setup,
}

impl Visit for Stress<'_> {
    type Output = ();

    fn visit<L: RawLock>(self) {
        let Self { index, cpu, setup } = self;
        if witness::is_wanted(&setup.args) {
            turns::<L, _>(index, cpu, setup, Watching::new(&setup.args, index, cpu));
        } else {
            turns::<L, _>(index, cpu, setup, Blind);
        }
    }
}

fn turns<L: RawLock, W: Witness>(
    index: u32,
    cpu: &Cpu<'static, Machine>,
    setup: &Setup,
    mut witness: W,
) {
    let args = &setup.args;
    let checks = Checks::new(index, cpu.results(), args.lock, setup.bits);
    let mut random = Random::new(args.seed, index);
    let start = RESULTS.start_tsc.load(Relaxed);
    let deadline = RESULTS.deadline_tsc.load(Relaxed);
    let mut has_settled = args.settle_ms == 0;
    let locks = &objects::all()[..args.locks as usize];
    let mut turn = 0_u32;
    loop {
        turn = turn.wrapping_add(1);
        let now = if args.mortal != 0 && turn.is_multiple_of(args.mortal) {
            mortal::turn::<L, W>(index, cpu, &checks, &mut witness, &mut random, args)
        } else {
            let object = &locks[if locks.len() == 1 {
                0
            } else {
                random.below(args.locks)
            } as usize];
            one::<L, W>(object, cpu, &checks, &mut witness, args, turn)
        };
        if !has_settled && now >= start {
            has_settled = true;
            stats::settle(cpu.results());
        }
        if now >= deadline {
            return;
        }
        witness.turn(turn);
        if args.think != 0 {
            delay(random.below(2 * args.think + 1));
        }
    }
}

/// One acquisition; returns the TSC after it, or 0 where nobody looked.
fn one<L: RawLock, W: Witness>(
    object: &LockObject,
    cpu: &Cpu<'static, Machine>,
    checks: &Checks,
    witness: &mut W,
    args: &Args<'_>,
    turn: u32,
) -> u64 {
    let lock = lock_of::<L>(object);
    if args.timing == Timing::Off {
        let ticket = acquire(lock, cpu);
        witness.taken(object);
        checks.enter(object, ticket);
        delay(args.hold);
        checks.leave(object);
        witness.releasing(object);
        release(lock, cpu);
        stats::add(&cpu.results().acquisitions, 1);
        return if turn.is_multiple_of(1024) {
            rdtsc()
        } else {
            0
        };
    }
    let asked = rdtsc();
    let ticket = acquire(lock, cpu);
    let served = rdtsc();
    witness.taken(object);
    checks.enter(object, ticket);
    delay(args.hold);
    checks.leave(object);
    witness.releasing(object);
    release(lock, cpu);
    stats::add(&cpu.results().acquisitions, 1);
    stats::record_wait(cpu.results(), served.saturating_sub(asked));
    served
}
