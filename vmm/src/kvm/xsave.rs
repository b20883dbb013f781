//! The XSAVE area of a vCPU, as long as this host's KVM makes it.
//!
//! `KVM_GET_XSAVE2` and `KVM_SET_XSAVE` carry no length: KVM copies as many bytes as the process's
//! permitted features take (Documentation/virt/kvm/api.rst, 4.42, 4.43 and 4.134).

use std::io;

use kvm_bindings::kvm_xsave;
use kvm_ioctls::{Cap, VcpuFd, VmFd};
use vmm_sys_util::ioctl::{ioctl_with_mut_ptr, ioctl_with_ptr};

use super::request::{KVM_GET_XSAVE, KVM_GET_XSAVE2, KVM_SET_XSAVE};

/// What KVM copied before it knew of longer areas.
const SHORT: usize = size_of::<kvm_xsave>();

/// How long KVM's XSAVE area is on this host.
///
/// It depends on what `arch_prctl(2)` permits the process, which this program never changes; so
/// one that was asked for stays true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XsaveSize {
    bytes: usize,
    has_xsave2: bool,
}

impl XsaveSize {
    /// Asks KVM (`KVM_CAP_XSAVE2`, since Linux 5.17).
    #[must_use]
    pub fn of(vm: &VmFd) -> Self {
        let bytes = usize::try_from(vm.check_extension_int(Cap::Xsave2)).unwrap_or(0);
        Self {
            bytes: bytes.max(SHORT),
            has_xsave2: bytes != 0,
        }
    }

    /// In bytes.
    #[must_use]
    pub fn bytes(self) -> usize {
        self.bytes
    }
}

/// The XSAVE area of a vCPU.
///
/// # Errors
/// What the ioctl says.
pub fn get(vcpu: &VcpuFd, size: XsaveSize) -> io::Result<Vec<u8>> {
    let mut area = vec![0_u8; size.bytes];
    let request = if size.has_xsave2 {
        KVM_GET_XSAVE2()
    } else {
        KVM_GET_XSAVE()
    };
    // SAFETY: a vCPU descriptor; KVM writes at most `size` bytes, as it said itself.
    match unsafe { ioctl_with_mut_ptr(vcpu, request, area.as_mut_ptr()) } {
        0 => Ok(area),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Sets the XSAVE area of a vCPU. An area that is shorter than this host's goes on with zeros,
/// which is the initial state of what it lacks.
///
/// # Errors
/// What the ioctl says: `EINVAL` for state components that this host or the vCPU lacks.
pub fn set(vcpu: &VcpuFd, size: XsaveSize, area: &[u8]) -> io::Result<()> {
    let mut longer;
    let area = if area.len() < size.bytes {
        longer = vec![0_u8; size.bytes];
        longer[..area.len()].copy_from_slice(area);
        &longer
    } else {
        area
    };
    // SAFETY: a vCPU descriptor; KVM reads at most `size` bytes, and there are that many.
    match unsafe { ioctl_with_ptr(vcpu, KVM_SET_XSAVE(), area.as_ptr()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
