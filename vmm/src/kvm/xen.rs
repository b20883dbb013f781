//! `KVM_XEN_HVM_CONFIG`: hypercalls of a Xen guest, handed to userspace.

use std::io;

use kvm_bindings::kvm_xen_hvm_config;
use kvm_ioctls::VmFd;
use vmm_sys_util::ioctl::ioctl_with_ref;

use super::request::KVM_XEN_HVM_CONFIG;

/// Sets the flags (`KVM_XEN_HVM_CONFIG_*`) of a VM; no hypercall page, no blobs.
///
/// # Errors
/// What the ioctl says: `ENOTTY` or `EINVAL` where KVM was built without Xen support.
pub fn set_hvm_config(vm: &VmFd, flags: u32) -> io::Result<()> {
    let config = kvm_xen_hvm_config {
        flags,
        ..Default::default()
    };
    // SAFETY: a VM descriptor, and a live structure of the size the ioctl number names.
    if unsafe { ioctl_with_ref(vm, KVM_XEN_HVM_CONFIG(), &config) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
