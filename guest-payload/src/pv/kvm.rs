//! The KVM backend: `kvm_lock_spinning` and `kvm_unlock_kick` of Linux 3.12 (V8) and 4.0.

use core::sync::atomic::Ordering::Relaxed;

use super::cpu::Cpu;
use super::ops::{Platform, SlowPath, Waited};
use super::slow_path;
use crate::lock::LockAddress;

/// Waits by a halt. A kick between the last look and the halt is kept by the host and the halt returns
/// at once.
#[cold]
#[inline(never)]
pub(super) fn lock_spinning<H: Platform, S: SlowPath>(
    cpu: &Cpu<'_, H>,
    lock: &S,
    want: u32,
) -> Waited {
    slow_path::wait(cpu, lock, want, |_| (), H::halt)
}

/// Kicks the CPU that waits for `ticket` of `lock`.
#[cold]
#[inline(never)]
pub(super) fn unlock_kick<H: Platform>(cpu: &Cpu<'_, H>, lock: LockAddress, ticket: u32) {
    slow_path::wake(cpu, lock, ticket, |platform, waiter| {
        platform.kick(waiter.apic_id.load(Relaxed));
    });
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "kvm_test.rs"]
mod tests;
