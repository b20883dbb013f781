//! MSRs that KVM hands over: those of our own local APIC in x2APIC mode, and Xen's hypercall page.
//! All others fault, as on a processor that lacks them.

use kvm_ioctls::{ReadMsrExit, WriteMsrExit};

use super::shared::VcpuShared;
use super::xen::XenSide;
use crate::cpu::lapic::{Effect, LocalApic};

/// Answers RDMSR.
pub(super) fn read(mut msr: ReadMsrExit<'_>, lapic: Option<&mut LocalApic>, xen: Option<&XenSide>) {
    if xen.is_some_and(|xen| xen.read_msr(&mut msr)) {
        return;
    }
    match lapic.and_then(|lapic| lapic.msr_read(msr.index)) {
        Some(value) => *msr.data = value,
        None => *msr.error = 1,
    }
}

/// Carries out WRMSR.
pub(super) fn write(
    mut msr: WriteMsrExit<'_>,
    lapic: Option<&mut LocalApic>,
    xen: Option<&XenSide>,
    shared: &VcpuShared,
) -> Option<Effect> {
    if xen.is_some_and(|xen| xen.write_msr(&mut msr)) {
        return None;
    }
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
