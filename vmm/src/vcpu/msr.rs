//! MSRs that KVM hands over: those of our own local APIC in x2APIC mode. All others fault, as on
//! a processor that lacks them.

use kvm_ioctls::{ReadMsrExit, WriteMsrExit};

use super::shared::VcpuShared;
use crate::cpu::lapic::{Effect, LocalApic};

/// Answers RDMSR.
pub(super) fn read(msr: ReadMsrExit<'_>, lapic: Option<&mut LocalApic>) {
    match lapic.and_then(|lapic| lapic.msr_read(msr.index)) {
        Some(value) => *msr.data = value,
        None => *msr.error = 1,
    }
}

/// Carries out WRMSR.
pub(super) fn write(
    msr: WriteMsrExit<'_>,
    lapic: Option<&mut LocalApic>,
    shared: &VcpuShared,
) -> Option<Effect> {
    let Some(lapic) = lapic else {
        *msr.error = 1;
        return None;
    };
    match lapic.msr_write(msr.index, msr.data) {
        Ok(effect) => {
            shared.set_apic_mode(lapic.mode());
            effect
        }
        Err(_) => {
            *msr.error = 1;
            None
        }
    }
}
