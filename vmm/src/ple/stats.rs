//! What the service of spin exits counts.

use std::sync::atomic::AtomicU64;

/// What the service has counted. Relaxed: they order nothing.
#[derive(Debug, Default)]
pub struct SpinStats {
    /// Exits of vCPUs that spin.
    pub spinning: AtomicU64,
    /// Exits after an acquire.
    pub acquired: AtomicU64,
    /// Exits before a release.
    pub releasing: AtomicU64,
    /// Exits for a reason that there is not.
    pub unknown: AtomicU64,
    /// Yields that gave their target the pCPU.
    pub yielded: AtomicU64,
    /// Of those, loans.
    pub lent: AtomicU64,
    /// Loans that came back.
    pub given_back: AtomicU64,
    /// Yields whose target had got a pCPU, or had halted, meanwhile.
    pub too_late: AtomicU64,
    /// Exits after which the vCPU spun on though it asked for a handler that yields.
    pub nobody: AtomicU64,
    /// Sleeps.
    pub slept: AtomicU64,
    /// Waits that the guest was told to halt in.
    pub told_to_halt: AtomicU64,
    /// Lock holders, or waiters, that lost their pCPU on purpose.
    pub preempted: AtomicU64,
}
