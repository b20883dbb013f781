//! Xen's CPUID leaves, before KVM's own: as KVM and QEMU show them, Xen's at 0x40000000 and KVM's
//! 0x100 behind.

use guest_payload::abi::xen;
use kvm_bindings::kvm_cpuid_entry2;

use super::pv_leaves::is_hypervisor_leaf;

/// Leaf of HVM features, whose EBX is the vCPU's own.
pub(super) const HVM_LEAF: u32 = xen::CPUID_BASE + xen::LEAF_HVM;

/// Xen's leaves, in ascending order; EBX of [`HVM_LEAF`] is not filled in.
pub(super) fn leaves() -> [kvm_cpuid_entry2; 5] {
    let [ebx, ecx, edx] = xen::SIGNATURE;
    let at = |offset| kvm_cpuid_entry2 {
        function: xen::CPUID_BASE + offset,
        ..kvm_cpuid_entry2::default()
    };
    [
        kvm_cpuid_entry2 {
            eax: HVM_LEAF,
            ebx,
            ecx,
            edx,
            ..at(0)
        },
        kvm_cpuid_entry2 {
            eax: xen::VERSION,
            ..at(xen::LEAF_VERSION)
        },
        kvm_cpuid_entry2 {
            eax: 1,
            ebx: xen::MSR_HYPERCALL_PAGE,
            ..at(xen::LEAF_HYPERCALL_PAGE)
        },
        at(xen::LEAF_TIME),
        kvm_cpuid_entry2 {
            eax: xen::HVM_VCPU_ID_PRESENT,
            ..at(xen::LEAF_HVM)
        },
    ]
}

/// Moves KVM's leaves to where they are behind Xen's.
pub(super) fn make_room(entries: &mut [kvm_cpuid_entry2]) {
    for entry in entries {
        if is_hypervisor_leaf(entry.function) {
            // EAX of the signature's leaf is the highest one.
            if is_hypervisor_leaf(entry.eax) && entry.function == xen::CPUID_BASE {
                entry.eax += xen::KVM_LEAVES_OFFSET;
            }
            entry.function += xen::KVM_LEAVES_OFFSET;
        }
    }
}

/// How far KVM's leaves are from where they usually are, in a CPUID that a guest was shown.
pub(super) fn kvm_offset(entries: &[kvm_cpuid_entry2]) -> u32 {
    let has_xen = entries.iter().any(|entry| {
        entry.function == xen::CPUID_BASE && [entry.ebx, entry.ecx, entry.edx] == xen::SIGNATURE
    });
    if has_xen { xen::KVM_LEAVES_OFFSET } else { 0 }
}
