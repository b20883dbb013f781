//! MSRs, as many as KVM takes at a time.

use kvm_bindings::{Msrs, kvm_msr_entry};
use kvm_ioctls::{Kvm, VcpuFd};

use super::error::{Call, Error};

/// The TSC. Not restored by its value where there is an offset.
pub(super) const IA32_TSC: u32 = 0x10;
/// The TSC-deadline timer of the local APIC.
pub(super) const IA32_TSC_DEADLINE: u32 = 0x6e0;
/// kvmclock's wall clock, old and new number of one value that belongs to the VM.
const WALL_CLOCK: [u32; 2] = [0x11, 0x4b56_4d00];

/// Whether every KVM has this MSR, though it does not list it.
pub(in crate::cpu) fn is_unlisted_msr(msr: u32) -> bool {
    unlisted().any(|unlisted| unlisted == msr)
}

/// What KVM keeps and does not list: MTRRs (SDM vol. 3, 13.11) and machine-check banks, each four
/// MSRs from 400H and one from 280H. All are 0 in a vCPU that was just made.
fn unlisted() -> impl Iterator<Item = u32> {
    let mtrrs = [0x2ff, 0x250, 0x258, 0x259];
    let ranges = [0x268..0x270, 0x200..0x210, 0x280..0x2a0, 0x400..0x480];
    mtrrs.into_iter().chain(ranges.into_iter().flatten())
}

/// KVM refuses 256 and more in one call (`MAX_IO_MSRS` in arch/x86/kvm/x86.c).
const MOST_AT_A_TIME: usize = 255;

/// Whether an MSR is not to be in the list: the TSC and its deadline have places of their own in
/// the order. Writing the wall clock makes KVM write that page anew, from a kvmclock that is not
/// set yet; the page is in the guest's memory already, and the memory must stay as it was saved.
pub(super) fn has_its_own_place(index: u32) -> bool {
    matches!(index, IA32_TSC | IA32_TSC_DEADLINE) || WALL_CLOCK.contains(&index)
}

/// KVM's list of MSRs, less those that this vCPU does not have.
pub(super) fn listed(kvm: &Kvm, vcpu: &VcpuFd) -> Result<Vec<u32>, Error> {
    let list = kvm.get_msr_index_list().call("KVM_GET_MSR_INDEX_LIST")?;
    readable(vcpu, list.as_slice())
}

/// Those that KVM does not list and this vCPU has.
pub(super) fn others(vcpu: &VcpuFd, listed: &[u32]) -> Result<Vec<u32>, Error> {
    let candidates: Vec<_> = unlisted().filter(|msr| !listed.contains(msr)).collect();
    readable(vcpu, &candidates)
}

fn readable(vcpu: &VcpuFd, mut rest: &[u32]) -> Result<Vec<u32>, Error> {
    let mut found = Vec::with_capacity(rest.len());
    while !rest.is_empty() {
        let chunk = &rest[..rest.len().min(MOST_AT_A_TIME)];
        let read = vcpu.get_msrs(&mut asked(chunk)?).call("KVM_GET_MSRS")?;
        found.extend_from_slice(&chunk[..read]);
        // KVM stops at the first that it cannot read.
        let beyond = if read < chunk.len() { read + 1 } else { read };
        rest = &rest[beyond..];
    }
    Ok(found)
}

/// The values of `indices`, in their order.
pub(super) fn get(vcpu: &VcpuFd, indices: &[u32]) -> Result<Vec<kvm_msr_entry>, Error> {
    let mut values = Vec::with_capacity(indices.len());
    for chunk in indices.chunks(MOST_AT_A_TIME) {
        let mut msrs = asked(chunk)?;
        let read = vcpu.get_msrs(&mut msrs).call("KVM_GET_MSRS")?;
        if let Some(&index) = chunk.get(read) {
            return Err(Error::UnreadableMsr(index));
        }
        values.extend_from_slice(msrs.as_slice());
    }
    Ok(values)
}

/// Sets them, in their order.
///
/// Of those that KVM refuses, some are read-only and have the value already, and some belong to
/// features that nobody has: zero, and not there.
pub(super) fn set(vcpu: &VcpuFd, entries: &[kvm_msr_entry]) -> Result<(), Error> {
    let mut rest = entries;
    while !rest.is_empty() {
        let chunk = &rest[..rest.len().min(MOST_AT_A_TIME)];
        let written = vcpu.set_msrs(&list(chunk)?).call("KVM_SET_MSRS")?;
        rest = &rest[written..];
        if let Some(refused) = chunk.get(written) {
            let mut here = asked(&[refused.index])?;
            let read = vcpu.get_msrs(&mut here).call("KVM_GET_MSRS")?;
            let value = here.as_slice().first().filter(|_| read == 1);
            if value.map_or(0, |entry| entry.data) != refused.data {
                return Err(Error::RefusedMsr {
                    index: refused.index,
                    value: refused.data,
                });
            }
            rest = &rest[1..];
        }
    }
    Ok(())
}

/// Sets one.
pub fn set_one(vcpu: &VcpuFd, index: u32, data: u64) -> Result<(), Error> {
    let entry = kvm_msr_entry {
        index,
        data,
        ..Default::default()
    };
    set(vcpu, &[entry])
}

fn asked(indices: &[u32]) -> Result<Msrs, Error> {
    let entry = |&index| kvm_msr_entry {
        index,
        ..Default::default()
    };
    list(&indices.iter().map(entry).collect::<Vec<_>>())
}

fn list(entries: &[kvm_msr_entry]) -> Result<Msrs, Error> {
    Msrs::from_entries(entries).map_err(|_| Error::TooMany {
        what: "MSRs in one call",
        count: entries.len(),
        most: MOST_AT_A_TIME,
    })
}
