//! The Xen backend: `xen_lock_spinning` and `xen_unlock_kick` of Linux 3.12, on HVM by event
//! channels: the kick is an event, the halt a poll for it.

use core::sync::atomic::Ordering::Relaxed;

use super::{Cpu, LockAddress, Platform, SlowPath, Waited, waiting};
use crate::abi::{CPU_RUNNING, CPU_WAITING};
use crate::stats;
use crate::trace::Step;

/// Announces the wait, forgets old events, looks at the lock once more and polls.
///
/// An event that comes between the announcement and the forgetting is forgotten with its release
/// already done, so the look sees that. One that comes later stays pending, and the poll
/// returns at once.
#[cold]
#[inline(never)]
pub(super) fn lock_spinning<H: Platform, S: SlowPath>(
    cpu: &Cpu<'_, H>,
    lock: &S,
    want: u32,
) -> Waited {
    let me = cpu.me;
    let port = me.kick_port.load(Relaxed);
    if port == 0 {
        // Nobody could kick it yet.
        return Waited::LookAgain;
    }
    let start_ns = cpu.platform.now_ns();

    let address = lock.address();
    cpu.note(Step::Enter, address, want);
    me.state.store(CPU_WAITING, Relaxed);
    waiting::announce(me, address, want);
    stats::count_slow(&me.slow, &me.slow.taken_slow);
    cpu.waiting_cpus.set(cpu.index);
    cpu.platform.clear_event(port);
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
        cpu.platform.poll_event(port);
        cpu.note(Step::Awake, address, want);
        if !cpu.platform.is_event_pending(port) {
            stats::count_spurious(&me.slow);
        }
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

/// Sends the event of the CPU that waits for `ticket` of `lock`. There is none if that CPU still
/// spins.
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
        cpu.note_release(released, lock, ticket, waiter.apic_id.load(Relaxed));
        let port = waiter.kick_port.load(Relaxed);
        cpu.time_kick(|platform| platform.send_event(port));
    }
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "xen_test.rs"]
mod tests;
