//! The KVM backend: `kvm_lock_spinning` and `kvm_unlock_kick` of Linux 3.12 (V8) and 4.0.

use core::sync::atomic::Ordering::Relaxed;

use super::{Cpu, LockAddress, Platform, SlowPath, Waited, waiting};
use crate::abi::{CPU_RUNNING, CPU_WAITING};
use crate::stats;
use crate::trace::Step;

/// Announces the wait, looks at the lock once more and halts.
///
/// Announce, barrier, look, halt: either the look sees the release, or the releasing CPU, whose
/// look for waiters comes after its release, sees the announcement and kicks. A kick between the
/// look and the halt is kept by the host and the halt returns at once.
#[cold]
#[inline(never)]
pub(super) fn lock_spinning<H: Platform, S: SlowPath>(
    cpu: &Cpu<'_, H>,
    lock: &S,
    want: u32,
) -> Waited {
    let me = cpu.me;
    let start_ns = cpu.platform.now_ns();

    let address = lock.address();
    cpu.note(Step::Enter, address, want);
    me.state.store(CPU_WAITING, Relaxed);
    waiting::announce(me, address, want);
    stats::count_slow(&me.slow, &me.slow.taken_slow);
    cpu.waiting_cpus.set(cpu.index);
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
        cpu.platform.halt();
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

/// Kicks the CPU that waits for `ticket` of `lock`. There is none if that CPU still spins.
#[cold]
#[inline(never)]
pub(super) fn unlock_kick<H: Platform>(cpu: &Cpu<'_, H>, lock: LockAddress, ticket: u32) {
    let me = cpu.me;
    let released = cpu.traced_now();
    stats::count_slow(&me.slow, &me.slow.released_slow);
    let waiter = cpu
        .waiting_cpus
        .find(cpu.cpus, |other| waiting::waits_for(other, lock, ticket));
    if let Some(waiter) = waiter {
        stats::count_slow(&me.slow, &me.slow.released_slow_kicked);
        stats::add(&me.kicks_sent, 1);
        let target = waiter.apic_id.load(Relaxed);
        cpu.note_release(released, lock, ticket, target);
        cpu.time_kick(|platform| platform.kick(target));
    }
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "kvm_test.rs"]
mod tests;
