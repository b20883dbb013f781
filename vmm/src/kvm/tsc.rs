//! The host's time stamp counter.

use std::arch::x86_64::_rdtsc;

/// The host's TSC, now.
#[must_use]
pub fn host_tsc() -> u64 {
    // SAFETY: every x86-64 has RDTSC, and Linux leaves it open to userspace.
    unsafe { _rdtsc() }
}
