//! Device attributes of a vCPU: the TSC offset.
//!
//! Saving and restoring the offset keeps the guest's TSC in step with the host's; writing the TSC
//! MSR does not (Documentation/virt/kvm/devices/vcpu.rst, section 4).

use std::io;
use std::os::raw::c_ulong;

use kvm_bindings::{KVM_VCPU_TSC_CTRL, KVM_VCPU_TSC_OFFSET, kvm_device_attr};
use kvm_ioctls::VcpuFd;
use vmm_sys_util::ioctl::ioctl_with_ref;

use super::request::{KVM_GET_DEVICE_ATTR, KVM_SET_DEVICE_ATTR};

/// The TSC offset of a vCPU, in ticks: the guest's TSC minus the host's (scaled).
///
/// # Errors
/// What the ioctl says: `ENXIO` before Linux 5.16.
pub fn tsc_offset(vcpu: &VcpuFd) -> io::Result<u64> {
    let mut offset = 0_u64;
    tsc_offset_ioctl(vcpu, KVM_GET_DEVICE_ATTR(), &mut offset)?;
    Ok(offset)
}

/// Sets the TSC offset of a vCPU, in ticks.
///
/// # Errors
/// What the ioctl says: `ENXIO` before Linux 5.16.
pub fn set_tsc_offset(vcpu: &VcpuFd, mut offset: u64) -> io::Result<()> {
    tsc_offset_ioctl(vcpu, KVM_SET_DEVICE_ATTR(), &mut offset)
}

fn tsc_offset_ioctl(vcpu: &VcpuFd, request: c_ulong, offset: &mut u64) -> io::Result<()> {
    let attr = kvm_device_attr {
        group: KVM_VCPU_TSC_CTRL,
        attr: u64::from(KVM_VCPU_TSC_OFFSET),
        addr: std::ptr::from_mut(offset) as u64,
        flags: 0,
    };
    // SAFETY: a vCPU descriptor; the attribute is one u64 at `addr`, exclusively borrowed here.
    if unsafe { ioctl_with_ref(vcpu, request, &attr) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
