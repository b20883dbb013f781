//! Everything KVM keeps of one vCPU, saved and restored in the order of one table ([`order`]).
//!
//! A vCPU is restored into one that was just made and has never run. Two things are the machine's
//! to do afterwards: the clock (see [`clock`](super::clock)), and a kick for every vCPU whose
//! [`pv_unhalted`](KvmVcpuState::pv_unhalted) is set, because no ioctl sets that flag.

mod error;
mod kept;
pub mod lapic_timer;
mod mp_state;
mod msrs;
pub mod order;
mod peek;
mod raw;
mod restore;
mod save;

use kvm_bindings::{
    KVM_MAX_CPUID_ENTRIES, kvm_cpuid_entry2, kvm_debugregs, kvm_lapic_state, kvm_msr_entry,
    kvm_regs, kvm_sregs, kvm_vcpu_events, kvm_xcrs,
};
use serde::{Deserialize, Serialize};

pub use error::Error;
pub use kept::Kept;
pub use mp_state::MpState;
pub(in crate::cpu) use msrs::is_unlisted_msr;
pub use msrs::set_one as set_msr;
pub use peek::{Peek, peek};
pub use raw::{Raw, RawList};
pub use restore::{TscOutcome, restore, restore_clock};
pub use save::save;

/// The longest XSAVE area taken from a file: several times what any CPU of today has.
pub const MAX_XSAVE_BYTES: usize = 1 << 16;
/// The most MSRs taken from a file: several times what any KVM of today lists.
pub const MAX_MSRS: usize = 4096;

/// A guest's TSC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tsc {
    /// In ticks, relative to the host's. Before restoring elsewhere or later it has to be adapted:
    /// [`tsc_offset_on_target`](super::clock::tsc_offset_on_target).
    Offset(u64),
    /// Its value when it was saved, on hosts that do not tell the offset (before Linux 5.16).
    Value(u64),
}

impl Tsc {
    /// The offset, where it is known.
    #[must_use]
    pub fn offset(self) -> Option<u64> {
        match self {
            Self::Offset(offset) => Some(offset),
            Self::Value(_) => None,
        }
    }
}

/// Everything KVM keeps of one vCPU.
///
/// Its postcard form is stable: fields in this order, the kernel's structures as byte strings.
/// What is added later goes into a section of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KvmVcpuState {
    /// MP_STATE. Always [`Runnable`](MpState::Runnable) where the local APIC is not KVM's.
    pub mp_state: MpState,
    /// A kick that the vCPU had not consumed. KVM shows it in no state; it was peeked at
    /// (`peek`), and only another kick brings it back.
    pub pv_unhalted: bool,
    /// What CPUID says.
    pub cpuid: RawList<kvm_cpuid_entry2, KVM_MAX_CPUID_ENTRIES>,
    /// Rate of the guest's TSC in kHz; `None` where KVM does not know.
    pub tsc_khz: Option<u32>,
    /// The guest's TSC.
    pub tsc: Tsc,
    /// Segments, control registers, EFER, IA32_APIC_BASE.
    pub sregs: Raw<kvm_sregs>,
    /// General registers.
    pub regs: Raw<kvm_regs>,
    /// XCR0.
    pub xcrs: Raw<kvm_xcrs>,
    /// The XSAVE area in standard format.
    pub xsave: RawList<u8, MAX_XSAVE_BYTES>,
    /// DR0 to DR7.
    pub debugregs: Raw<kvm_debugregs>,
    /// The local APIC's registers, where it is KVM's.
    pub lapic: Option<Raw<kvm_lapic_state>>,
    /// MSRs, without IA32_TSC and IA32_TSC_DEADLINE.
    pub msrs: RawList<kvm_msr_entry, MAX_MSRS>,
    /// IA32_TSC_DEADLINE, where the vCPU has it; 0 is disarmed.
    pub tsc_deadline: Option<u64>,
    /// Exceptions, interrupts, NMIs and SMIs that are pending or half delivered.
    pub vcpu_events: Raw<kvm_vcpu_events>,
}

impl KvmVcpuState {
    /// A state to be filled in.
    fn blank() -> Self {
        Self {
            mp_state: MpState::Runnable,
            pv_unhalted: false,
            cpuid: RawList::default(),
            tsc_khz: None,
            tsc: Tsc::Value(0),
            sregs: Raw::default(),
            regs: Raw::default(),
            xcrs: Raw::default(),
            xsave: RawList::default(),
            debugregs: Raw::default(),
            lapic: None,
            msrs: RawList::default(),
            tsc_deadline: None,
            vcpu_events: Raw::default(),
        }
    }
}

#[cfg(test)]
mod busy_vcpu;
#[cfg(test)]
mod state_test;
#[cfg(test)]
mod wire_test;
