//! The heart: who takes the kick, where a halted vCPU waits, and who keeps `pv_unhalted`.
//!
//! Nothing here knows the machine or the command line. ioctls are in [`waker`] only.

pub mod apic_id;
pub mod fault;
pub mod faulty;
pub mod futex;
pub mod halt;
pub mod hypercall;
pub mod kick;
pub mod recorder;
pub mod waker;
pub mod xen;

use std::fmt;

/// Who takes the hypercall.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KickBy {
    /// KVM itself: `vmcall` with PV_UNHALT advertised and the in-kernel local APIC.
    Kvm,
    /// The VMM: lookup by APIC ID, return codes, unhalt.
    Vmm,
}

/// Where a halted vCPU waits, and who keeps `pv_unhalted`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HaltIn {
    /// In KVM_RUN, with the in-kernel local APIC.
    Kvm,
    /// In the VMM, with the VMM's own local APIC.
    Vmm,
}

impl fmt::Display for KickBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Kvm => "kvm",
            Self::Vmm => "vmm",
        })
    }
}

impl fmt::Display for HaltIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Kvm => "kvm",
            Self::Vmm => "vmm",
        })
    }
}
