//! Saving: the table read one way.

use kvm_bindings::{KVM_MAX_CPUID_ENTRIES, kvm_sregs};
use kvm_ioctls::VcpuFd;

use super::error::{Call, Error};
use super::order::{Part, SAVING};
use super::{Kept, KvmVcpuState, Raw, RawList, Tsc, msrs, peek};
use crate::cpu::pv_leaves::LocalApics;
use crate::kvm::{attr, xsave};

const CR4_VMXE: u64 = 1 << 13;
const EFER_SVME: u64 = 1 << 12;

/// Saves what KVM keeps of a vCPU.
///
/// All vCPUs of the machine stand still, and this one's I/O is finished (`KVM_RUN` with
/// `immediate_exit`). A kick that it had not consumed is consumed here and noted in
/// [`pv_unhalted`](KvmVcpuState::pv_unhalted): a source that goes on has to be kicked again.
///
/// # Errors
/// [`Error`], which names the ioctl.
pub fn save(fd: &VcpuFd, kept: &Kept) -> Result<KvmVcpuState, Error> {
    let mut state = KvmVcpuState::blank();
    for part in SAVING {
        save_part(fd, kept, part, &mut state)?;
    }
    Ok(state)
}

pub(super) fn save_part(
    fd: &VcpuFd,
    kept: &Kept,
    part: Part,
    state: &mut KvmVcpuState,
) -> Result<(), Error> {
    match part {
        Part::MpState => {
            if kept.lapics == LocalApics::Kvm {
                let seen = peek(fd)?;
                state.mp_state = seen.mp_state;
                state.pv_unhalted = seen.pv_unhalted;
            }
        }
        Part::Cpuid => {
            let cpuid = fd
                .get_cpuid2(KVM_MAX_CPUID_ENTRIES)
                .call("KVM_GET_CPUID2")?;
            state.cpuid = bounded("CPUID entries", cpuid.as_slice().to_vec())?;
        }
        Part::TscKhz => state.tsc_khz = fd.get_tsc_khz().ok().filter(|&khz| khz != 0),
        Part::Sregs => {
            let sregs = fd.get_sregs().call("KVM_GET_SREGS")?;
            if let Some(turned_on) = nested(&sregs) {
                return Err(Error::Nested(turned_on));
            }
            state.sregs = Raw(sregs);
        }
        Part::Regs => state.regs = Raw(fd.get_regs().call("KVM_GET_REGS")?),
        Part::Xcrs => state.xcrs = Raw(fd.get_xcrs().call("KVM_GET_XCRS")?),
        Part::Xsave => {
            let area = xsave::get(fd, kept.xsave).call("KVM_GET_XSAVE2")?;
            state.xsave = bounded("bytes of XSAVE area", area)?;
        }
        Part::DebugRegs => state.debugregs = Raw(fd.get_debug_regs().call("KVM_GET_DEBUGREGS")?),
        Part::Lapic => {
            if kept.lapics == LocalApics::Kvm {
                state.lapic = Some(Raw(fd.get_lapic().call("KVM_GET_LAPIC")?));
            }
        }
        Part::Tsc => {
            state.tsc = match attr::tsc_offset(fd) {
                Ok(offset) => Tsc::Offset(offset),
                Err(_) => Tsc::Value(one(fd, msrs::IA32_TSC)?),
            }
        }
        Part::Msrs => {
            let mut values = msrs::get(fd, &kept.msrs)?;
            let unlisted = msrs::get(fd, &kept.unlisted_msrs)?;
            values.extend(unlisted.into_iter().filter(|msr| msr.data != 0));
            state.msrs = bounded("MSRs", values)?;
        }
        Part::TscDeadline => {
            if kept.has_tsc_deadline {
                state.tsc_deadline = Some(one(fd, msrs::IA32_TSC_DEADLINE)?);
            }
        }
        Part::VcpuEvents => {
            state.vcpu_events = Raw(fd.get_vcpu_events().call("KVM_GET_VCPU_EVENTS")?);
        }
    }
    Ok(())
}

fn one(fd: &VcpuFd, index: u32) -> Result<u64, Error> {
    let values = msrs::get(fd, &[index])?;
    let first = values.first().ok_or(Error::UnreadableMsr(index))?;
    Ok(first.data)
}

fn bounded<T, const MAX: usize>(
    what: &'static str,
    items: Vec<T>,
) -> Result<RawList<T, MAX>, Error> {
    let count = items.len();
    RawList::new(items).ok_or(Error::TooMany {
        what,
        count,
        most: MAX,
    })
}

/// The bit by which a guest has turned virtualization of its own on.
fn nested(sregs: &kvm_sregs) -> Option<&'static str> {
    if sregs.cr4 & CR4_VMXE != 0 {
        Some("CR4.VMXE")
    } else if sregs.efer & EFER_SVME != 0 {
        Some("EFER.SVME")
    } else {
        None
    }
}
