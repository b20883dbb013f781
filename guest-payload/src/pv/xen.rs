//! The Xen backend: `xen_lock_spinning` and `xen_unlock_kick` of Linux 3.12, on HVM by event
//! channels: the kick is an event, the halt a poll for it.

use core::sync::atomic::Ordering::Relaxed;

use super::cpu::Cpu;
use super::ops::{Platform, SlowPath, Waited};
use super::slow_path;
use crate::lock::LockAddress;
use crate::stats;

/// Forgets old events and waits by a poll.
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
    let port = cpu.me.kick_port.load(Relaxed);
    if port == 0 {
        // Nobody could kick it yet.
        return Waited::LookAgain;
    }
    let forget = |platform: &H| platform.clear_event(port);
    slow_path::wait(cpu, lock, want, forget, |platform| {
        platform.poll_event(port);
        if !platform.is_event_pending(port) {
            stats::count_spurious(&cpu.me.slow);
        }
    })
}

/// Sends the event of the CPU that waits for `ticket` of `lock`.
#[cold]
#[inline(never)]
pub(super) fn unlock_kick<H: Platform>(cpu: &Cpu<'_, H>, lock: LockAddress, ticket: u32) {
    slow_path::wake(cpu, lock, ticket, |platform, waiter| {
        platform.send_event(waiter.kick_port.load(Relaxed));
    });
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "xen_test.rs"]
mod tests;
