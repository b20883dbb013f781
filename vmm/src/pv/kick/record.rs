//! What is remembered of kicks: counters, and what became of the last one that named a vCPU.

use std::sync::atomic::AtomicU64;
use std::time::Instant;

use crate::pv::apic_id::VcpuIndex;

/// Where a kick comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kicker {
    /// A vCPU's hypercall.
    Vcpu(VcpuIndex),
    /// The VMM itself.
    Vmm,
}

/// The last kick that named a vCPU, for the hang report.
#[derive(Clone, Copy, Debug)]
pub struct LastKick {
    /// Its number, from 1, in the order of arrival at the VMM.
    pub number: u64,
    /// Who sent it.
    pub from: Kicker,
    /// When.
    pub at: Instant,
    /// What became of it.
    pub fate: Fate,
}

/// What became of a kick at one target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Reached a halted vCPU.
    ToHalted,
    /// Reached a vCPU that was not halted.
    ToRunning,
    /// Reached a vCPU that waits for SIPI, which uses the kick up.
    WaitingForSipi,
    /// The local APIC took nothing.
    NotAccepted,
    /// Swallowed on purpose (`--drop-kick`).
    Dropped,
    /// Swallowed on purpose (`--kick-fault drop`).
    Swallowed,
    /// Went to another vCPU on purpose (`--kick-fault misroute`).
    Misrouted,
    /// Comes later on purpose (`--kick-fault delay`).
    Delayed,
}

impl Fate {
    /// Whether the target has it now, or has used it up.
    pub fn has_arrived(self) -> bool {
        matches!(
            self,
            Self::ToHalted | Self::ToRunning | Self::WaitingForSipi
        )
    }
}

/// Counters of the kick path. Relaxed: they order nothing.
#[derive(Debug, Default)]
pub struct KickStats {
    /// Kicks that arrived at the VMM.
    pub handled: AtomicU64,
    /// Targets that were halted.
    pub to_halted: AtomicU64,
    /// Targets that were not.
    pub to_running: AtomicU64,
    /// Targets that waited for SIPI.
    pub waiting_for_sipi: AtomicU64,
    /// Targets that KVM did not find.
    pub not_accepted: AtomicU64,
    /// Kicks for an APIC ID nobody has.
    pub no_such_apic_id: AtomicU64,
    /// Kicks for everybody.
    pub broadcast: AtomicU64,
    /// Kicks swallowed by `--drop-kick` and `--kick-fault`.
    pub dropped: AtomicU64,
}

/// Kicks from and to one vCPU. Relaxed: they order nothing.
#[derive(Debug, Default)]
pub struct VcpuKicks {
    /// It sent.
    pub sent: AtomicU64,
    /// It got: those that set its `pv_unhalted` or woke it.
    pub received: AtomicU64,
}
