//! Restoring: the table read the other way.

use std::io;

use kvm_bindings::{CpuId, kvm_lapic_state};
use kvm_ioctls::VcpuFd;

use super::error::{Call, Error};
use super::order::{Part, RESTORING};
use super::{Kept, KvmVcpuState, MpState, Tsc, lapic_timer, msrs};
use crate::cpu::pv_leaves::LocalApics;
use crate::kvm::{attr, xsave};

/// What became of the guest's TSC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TscOutcome {
    /// It has the offset (or the value) that the state says.
    AsSaved,
    /// KVM took the offset and does not use it (PVM): the guest reads the host's own TSC. The
    /// caller has to see that it does not go back:
    /// [`tsc_goes_back`](crate::cpu::clock::tsc_goes_back).
    HostsOwn,
}

/// Restores a vCPU that was just made.
///
/// Guest memory is in place: SREGS with 32-bit PAE paging read it. Nothing here kicks: after all
/// vCPUs are restored, the machine kicks each whose
/// [`pv_unhalted`](KvmVcpuState::pv_unhalted) is set.
///
/// # Errors
/// [`Error`], which names the ioctl; the vCPU is of no use then.
pub fn restore(fd: &VcpuFd, state: &KvmVcpuState, kept: &Kept) -> Result<TscOutcome, Error> {
    restore_in(fd, state, kept, &RESTORING)
}

pub(super) fn restore_in(
    fd: &VcpuFd,
    state: &KvmVcpuState,
    kept: &Kept,
    order: &[Part],
) -> Result<TscOutcome, Error> {
    let mut outcome = TscOutcome::AsSaved;
    for &part in order {
        match part {
            Part::Tsc => outcome = restore_tsc(fd, state.tsc)?,
            _ => restore_part(fd, state, kept, part)?,
        }
    }
    Ok(outcome)
}

/// Sets anew what has to do with time, of a vCPU that was restored a while ago: the TSC, the timer
/// of the local APIC, and the deadline that is in the TSC's ticks.
///
/// # Errors
/// [`Error`], which names the ioctl.
pub fn restore_clock(
    fd: &VcpuFd,
    tsc: Tsc,
    lapic: Option<&kvm_lapic_state>,
    deadline: Option<u64>,
) -> Result<(), Error> {
    restore_tsc(fd, tsc)?;
    if let Some(saved) = lapic {
        let mut lapic = fd.get_lapic().call("KVM_GET_LAPIC")?;
        lapic_timer::set(&mut lapic, saved);
        fd.set_lapic(&lapic).call("KVM_SET_LAPIC")?;
    }
    deadline.map_or(Ok(()), |deadline| {
        msrs::set_one(fd, msrs::IA32_TSC_DEADLINE, deadline)
    })
}

fn restore_part(fd: &VcpuFd, state: &KvmVcpuState, kept: &Kept, part: Part) -> Result<(), Error> {
    match part {
        Part::Cpuid => {
            let entries = state.cpuid.as_slice();
            let cpuid = CpuId::from_entries(entries).map_err(|_| Error::TooMany {
                what: "CPUID entries",
                count: entries.len(),
                most: kvm_bindings::KVM_MAX_CPUID_ENTRIES,
            })?;
            fd.set_cpuid2(&cpuid).call("KVM_SET_CPUID2")
        }
        Part::TscKhz => state.tsc_khz.map_or(Ok(()), |khz| restore_rate(fd, khz)),
        Part::Sregs => fd.set_sregs(&state.sregs.0).call("KVM_SET_SREGS"),
        Part::Regs => fd.set_regs(&state.regs.0).call("KVM_SET_REGS"),
        Part::Xcrs => fd.set_xcrs(&state.xcrs.0).call("KVM_SET_XCRS"),
        Part::Xsave => xsave::set(fd, kept.xsave, state.xsave.as_slice()).call("KVM_SET_XSAVE"),
        Part::DebugRegs => fd
            .set_debug_regs(&state.debugregs.0)
            .call("KVM_SET_DEBUGREGS"),
        Part::Lapic => restore_lapic(fd, state, kept.lapics),
        Part::Tsc => restore_tsc(fd, state.tsc).map(|_| ()),
        Part::Msrs => msrs::set(fd, state.msrs.as_slice()),
        Part::TscDeadline => state.tsc_deadline.map_or(Ok(()), |deadline| {
            msrs::set_one(fd, msrs::IA32_TSC_DEADLINE, deadline)
        }),
        Part::VcpuEvents => fd
            .set_vcpu_events(&state.vcpu_events.0)
            .call("KVM_SET_VCPU_EVENTS"),
        Part::MpState => match (kept.lapics, state.mp_state) {
            (LocalApics::Kvm, mp_state) => mp_state.set(fd),
            (LocalApics::Vmm, MpState::Runnable) => Ok(()),
            (LocalApics::Vmm, other) => Err(Error::MpStateWithoutLapic(other)),
        },
    }
}

/// KVM refuses a rate below the host's where it cannot scale, even one that is as near as makes
/// no difference: the rate that it has already is not set.
fn restore_rate(fd: &VcpuFd, saved: u32) -> Result<(), Error> {
    let host = fd.get_tsc_khz().unwrap_or(0);
    if host == saved {
        return Ok(());
    }
    fd.set_tsc_khz(saved).map_err(|e| Error::TscRate {
        saved,
        host,
        source: io::Error::from_raw_os_error(e.errno()),
    })
}

fn restore_tsc(fd: &VcpuFd, tsc: Tsc) -> Result<TscOutcome, Error> {
    match tsc {
        Tsc::Offset(offset) => {
            attr::set_tsc_offset(fd, offset).call("KVM_SET_DEVICE_ATTR (TSC offset)")?;
            let here = attr::tsc_offset(fd).call("KVM_GET_DEVICE_ATTR (TSC offset)")?;
            Ok(if here == offset {
                TscOutcome::AsSaved
            } else {
                TscOutcome::HostsOwn
            })
        }
        Tsc::Value(value) => msrs::set_one(fd, msrs::IA32_TSC, value).map(|()| TscOutcome::AsSaved),
    }
}

fn restore_lapic(fd: &VcpuFd, state: &KvmVcpuState, lapics: LocalApics) -> Result<(), Error> {
    match (&state.lapic, lapics) {
        (Some(lapic), LocalApics::Kvm) => fd.set_lapic(&lapic.0).call("KVM_SET_LAPIC"),
        (None, LocalApics::Vmm) => Ok(()),
        (Some(_), LocalApics::Vmm) => Err(Error::LapicElsewhere {
            saved: "KVM",
            here: "the VMM",
        }),
        (None, LocalApics::Kvm) => Err(Error::LapicElsewhere {
            saved: "the VMM",
            here: "KVM",
        }),
    }
}
