//! What all backends' slow paths have in common: the wait's announcement, its last look, its
//! bookkeeping. How a CPU sleeps and is woken is the backend's.

use core::sync::atomic::Ordering::Relaxed;

use super::cpu::Cpu;
use super::ops::{Platform, SlowPath, Waited};
use super::waiting::{self, PerCpu};
use crate::abi::{CPU_RUNNING, CPU_WAITING};
use crate::lock::LockAddress;
use crate::stats;
use crate::trace::Step;

/// Announces the wait, looks at the lock once more and sleeps.
///
/// Announce, barrier, look, sleep: either the look sees the release, or the releasing CPU, whose
/// look for waiters comes after its release, sees the announcement and kicks. `forget` comes between the
/// announcement and the barrier: what it forgets is of a release that the look sees.
#[inline(always)]
pub(super) fn wait<H: Platform, S: SlowPath>(
    cpu: &Cpu<'_, H>,
    lock: &S,
    want: u32,
    forget: impl FnOnce(&H),
    sleep: impl FnOnce(&H),
) -> Waited {
    let me = cpu.me;
    let start_ns = cpu.platform.now_ns();

    let address = lock.address();
    cpu.note(Step::Enter, address, want);
    me.state.store(CPU_WAITING, Relaxed);
    waiting::announce(me, address, want);
    stats::count_slow(&me.slow, &me.slow.taken_slow);
    cpu.waiting_cpus.set(cpu.index);
    forget(&cpu.platform);
    lock.enter_slowpath();

    let waited = if lock.pickup(want) {
        stats::count_slow(&me.slow, &me.slow.taken_slow_pickup);
        Waited::PickedUp
    } else {
        stats::add(&me.halts, 1);
        for _ in 0..cpu.window {
            core::hint::spin_loop();
        }
        cpu.note(Step::Halt, address, want);
        sleep(&cpu.platform);
        cpu.note(Step::Awake, address, want);
        Waited::LookAgain
    };

    lock.leave_slowpath();
    cpu.waiting_cpus.clear(cpu.index);
    waiting::withdraw(me);
    me.state.store(CPU_RUNNING, Relaxed);
    let blocked_ns = cpu.platform.now_ns().saturating_sub(start_ns);
    stats::record_blocked(&me.slow, blocked_ns);
    waited
}

/// Has `kick` wake the CPU that waits for `ticket` of `lock`. There is none if that CPU still spins.
#[inline(always)]
pub(super) fn wake<H: Platform>(
    cpu: &Cpu<'_, H>,
    lock: LockAddress,
    ticket: u32,
    kick: impl FnOnce(&H, &PerCpu),
) {
    let me = cpu.me;
    let released = cpu.traced_now();
    stats::count_slow(&me.slow, &me.slow.released_slow);
    let waiter = cpu
        .waiting_cpus
        .find(cpu.cpus, |other| waiting::waits_for(other, lock, ticket));
    if let Some(waiter) = waiter {
        stats::count_slow(&me.slow, &me.slow.released_slow_kicked);
        stats::add(&me.kicks_sent, 1);
        cpu.note_release(released, lock, ticket, waiter.apic_id.load(Relaxed));
        cpu.time_kick(|platform| kick(platform, waiter));
    }
}
