//! The numbers of the ioctls that a thread may be confined to, from `linux/kvm.h`, as constants.

use kvm_bindings::{
    KVMIO, kvm_clock_data, kvm_cpuid2, kvm_debugregs, kvm_device_attr, kvm_dirty_log, kvm_fpu,
    kvm_guest_debug, kvm_irq_level, kvm_irqchip, kvm_lapic_state, kvm_mp_state, kvm_msi,
    kvm_msr_list, kvm_msrs, kvm_pit_state2, kvm_regs, kvm_sregs, kvm_translation,
    kvm_userspace_memory_region, kvm_vcpu_events, kvm_xcrs, kvm_xsave,
};
use vmm_sys_util::ioctl::{_IOC_NONE, _IOC_READ, _IOC_WRITE, ioctl_expr};

const fn io(number: u32) -> u64 {
    ioctl_expr(_IOC_NONE, KVMIO, number, 0)
}

/// Reads a `T`.
const fn ior<T>(number: u32) -> u64 {
    ioctl_expr(_IOC_READ, KVMIO, number, size::<T>())
}

/// Is given a `T`.
const fn iow<T>(number: u32) -> u64 {
    ioctl_expr(_IOC_WRITE, KVMIO, number, size::<T>())
}

/// Both.
const fn iowr<T>(number: u32) -> u64 {
    ioctl_expr(_IOC_READ | _IOC_WRITE, KVMIO, number, size::<T>())
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "structures of an ioctl have at most 16 KiB"
)]
const fn size<T>() -> u32 {
    size_of::<T>() as u32
}

// Of KVM and of a VM.
pub(crate) const KVM_GET_API_VERSION: u64 = io(0x00);
pub(crate) const KVM_CHECK_EXTENSION: u64 = io(0x03);
pub(crate) const KVM_GET_MSR_INDEX_LIST: u64 = iowr::<kvm_msr_list>(0x02);
pub(crate) const KVM_GET_DIRTY_LOG: u64 = iow::<kvm_dirty_log>(0x42);
pub(crate) const KVM_SET_USER_MEMORY_REGION: u64 = iow::<kvm_userspace_memory_region>(0x46);
pub(crate) const KVM_IRQ_LINE: u64 = iow::<kvm_irq_level>(0x61);
pub(crate) const KVM_GET_IRQCHIP: u64 = iowr::<kvm_irqchip>(0x62);
pub(crate) const KVM_SET_CLOCK: u64 = iow::<kvm_clock_data>(0x7b);
pub(crate) const KVM_GET_CLOCK: u64 = ior::<kvm_clock_data>(0x7c);
pub(crate) const KVM_GET_PIT2: u64 = ior::<kvm_pit_state2>(0x9f);
pub(crate) const KVM_SET_PIT2: u64 = iow::<kvm_pit_state2>(0xa0);
pub(crate) const KVM_SIGNAL_MSI: u64 = iow::<kvm_msi>(0xa5);

// Of a vCPU.
pub(crate) const KVM_RUN: u64 = io(0x80);
pub(crate) const KVM_GET_REGS: u64 = ior::<kvm_regs>(0x81);
pub(crate) const KVM_SET_REGS: u64 = iow::<kvm_regs>(0x82);
pub(crate) const KVM_GET_SREGS: u64 = ior::<kvm_sregs>(0x83);
pub(crate) const KVM_SET_SREGS: u64 = iow::<kvm_sregs>(0x84);
pub(crate) const KVM_TRANSLATE: u64 = iowr::<kvm_translation>(0x85);
pub(crate) const KVM_GET_MSRS: u64 = iowr::<kvm_msrs>(0x88);
pub(crate) const KVM_SET_MSRS: u64 = iow::<kvm_msrs>(0x89);
pub(crate) const KVM_GET_FPU: u64 = ior::<kvm_fpu>(0x8c);
pub(crate) const KVM_SET_FPU: u64 = iow::<kvm_fpu>(0x8d);
pub(crate) const KVM_GET_LAPIC: u64 = ior::<kvm_lapic_state>(0x8e);
pub(crate) const KVM_SET_LAPIC: u64 = iow::<kvm_lapic_state>(0x8f);
pub(crate) const KVM_SET_CPUID2: u64 = iow::<kvm_cpuid2>(0x90);
pub(crate) const KVM_GET_CPUID2: u64 = iowr::<kvm_cpuid2>(0x91);
pub(crate) const KVM_GET_MP_STATE: u64 = ior::<kvm_mp_state>(0x98);
pub(crate) const KVM_SET_MP_STATE: u64 = iow::<kvm_mp_state>(0x99);
pub(crate) const KVM_SET_GUEST_DEBUG: u64 = iow::<kvm_guest_debug>(0x9b);
pub(crate) const KVM_GET_VCPU_EVENTS: u64 = ior::<kvm_vcpu_events>(0x9f);
pub(crate) const KVM_SET_VCPU_EVENTS: u64 = iow::<kvm_vcpu_events>(0xa0);
pub(crate) const KVM_GET_DEBUGREGS: u64 = ior::<kvm_debugregs>(0xa1);
pub(crate) const KVM_SET_DEBUGREGS: u64 = iow::<kvm_debugregs>(0xa2);
pub(crate) const KVM_SET_TSC_KHZ: u64 = io(0xa2);
pub(crate) const KVM_GET_TSC_KHZ: u64 = io(0xa3);
pub(crate) const KVM_GET_XSAVE: u64 = ior::<kvm_xsave>(0xa4);
pub(crate) const KVM_SET_XSAVE: u64 = iow::<kvm_xsave>(0xa5);
pub(crate) const KVM_GET_XCRS: u64 = ior::<kvm_xcrs>(0xa6);
pub(crate) const KVM_SET_XCRS: u64 = iow::<kvm_xcrs>(0xa7);
pub(crate) const KVM_KVMCLOCK_CTRL: u64 = io(0xad);
pub(crate) const KVM_GET_STATS_FD: u64 = io(0xce);
pub(crate) const KVM_GET_XSAVE2: u64 = ior::<kvm_xsave>(0xcf);
pub(crate) const KVM_SET_DEVICE_ATTR: u64 = iow::<kvm_device_attr>(0xe1);
pub(crate) const KVM_GET_DEVICE_ATTR: u64 = iow::<kvm_device_attr>(0xe2);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kvm::request;

    #[test]
    fn numbers_are_those_that_calls_are_made_with() {
        for (constant, made_with) in [
            (KVM_GET_STATS_FD, request::KVM_GET_STATS_FD()),
            (KVM_GET_XSAVE2, request::KVM_GET_XSAVE2()),
            (KVM_SET_XSAVE, request::KVM_SET_XSAVE()),
        ] {
            assert_eq!(constant, made_with);
        }
        // As strace prints it.
        assert_eq!(KVM_RUN, 0xae80);
    }
}
