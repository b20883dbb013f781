//! Why KVM_RUN returned, counted per vCPU.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A reason for leaving the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Reason {
    /// IN from a port.
    PortIn,
    /// OUT to a port that is none of the stubs'.
    PortOut,
    /// A hypercall by the stub page.
    HypercallStub,
    /// A hypercall of Xen's interface.
    XenHypercall,
    /// A halt by the stub page.
    HaltStub,
    /// A full spin window, by the stub page.
    SpinStub,
    /// A read of memory that is not RAM.
    MmioRead,
    /// A write to memory that is not RAM.
    MmioWrite,
    /// HLT, where there is no in-kernel local APIC.
    Hlt,
    /// RDMSR that KVM does not serve.
    MsrRead,
    /// WRMSR that KVM does not serve.
    MsrWrite,
    /// A signal.
    Interrupted,
    /// A vCPU that waits for SIPI was woken.
    Again,
    /// A breakpoint, a watchpoint or a step.
    Debug,
    /// Triple fault.
    Shutdown,
    /// KVM could not go on.
    InternalError,
    /// Anything else.
    Other,
}

impl Reason {
    const ALL: [(Self, &'static str); 17] = [
        (Self::PortIn, "port_in"),
        (Self::PortOut, "port_out"),
        (Self::HypercallStub, "hypercall_stub"),
        (Self::XenHypercall, "xen_hypercall"),
        (Self::HaltStub, "halt_stub"),
        (Self::SpinStub, "spin_stub"),
        (Self::MmioRead, "mmio_read"),
        (Self::MmioWrite, "mmio_write"),
        (Self::Hlt, "hlt"),
        (Self::MsrRead, "msr_read"),
        (Self::MsrWrite, "msr_write"),
        (Self::Interrupted, "interrupted"),
        (Self::Again, "again"),
        (Self::Debug, "debug"),
        (Self::Shutdown, "shutdown"),
        (Self::InternalError, "internal_error"),
        (Self::Other, "other"),
    ];
}

/// One vCPU's counters. Written by its thread only; Relaxed, they order nothing.
#[derive(Debug, Default)]
pub struct Exits([AtomicU64; Reason::ALL.len()]);

impl Exits {
    /// Counts one.
    pub fn count(&self, reason: Reason) {
        let counter = &self.0[reason as usize];
        counter.store(counter.load(Relaxed) + 1, Relaxed);
    }

    /// How many there were for `reason`.
    pub fn of(&self, reason: Reason) -> u64 {
        self.0[reason as usize].load(Relaxed)
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.0.iter().map(|counter| counter.load(Relaxed)).sum()
    }

    /// Adds what is not 0 to `sums`.
    pub fn add_to(&self, sums: &mut BTreeMap<String, u64>) {
        for (reason, name) in Reason::ALL {
            let count = self.of(reason);
            if count != 0 {
                *sums.entry(name.to_owned()).or_default() += count;
            }
        }
    }
}
