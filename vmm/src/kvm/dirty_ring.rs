//! The dirty ring of a vCPU: the pages it wrote, in the order it wrote them.

use std::io;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU32, Ordering};

use kvm_bindings::{KVM_DIRTY_LOG_PAGE_OFFSET, kvm_dirty_gfn};
use kvm_ioctls::{VcpuFd, VmFd};
use vmm_sys_util::ioctl::ioctl;

use super::request::KVM_RESET_DIRTY_RINGS;

const PAGE: usize = 4096;
const COLLECTED: u32 = 1 << 1;
const DIRTY: u32 = 1 << 0;

/// A page in the terms of `KVM_SET_USER_MEMORY_REGION`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DirtyPage {
    /// Slot (bits 0 to 15) and address space.
    pub slot: u32,
    /// Page number within the slot.
    pub page: u64,
}

/// One vCPU's ring, mapped.
#[derive(Debug)]
pub struct DirtyRing {
    entries: *mut kvm_dirty_gfn,
    len: usize,
    next: usize,
}

// SAFETY: the mapping belongs to this value alone, and `harvest` needs it exclusively.
unsafe impl Send for DirtyRing {}

impl DirtyRing {
    /// Maps the ring of `vcpu`; `bytes` is what was given to `KVM_CAP_DIRTY_LOG_RING`.
    ///
    /// # Errors
    /// What `mmap(2)` says: `EINVAL` where the ring is not enabled.
    pub fn map(vcpu: &VcpuFd, bytes: usize) -> io::Result<Self> {
        let offset = libc::off_t::from(KVM_DIRTY_LOG_PAGE_OFFSET) * 4096;
        // SAFETY: a new shared mapping at an address the kernel picks; nothing else is touched.
        let at = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                vcpu.as_raw_fd(),
                offset,
            )
        };
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self {
            entries: at.cast(),
            len: bytes / size_of::<kvm_dirty_gfn>(),
            next: 0,
        })
    }

    /// Takes every page that KVM has put in since the last call.
    ///
    /// The entries are KVM's again only after [`reset`].
    pub fn harvest(&mut self) -> Vec<DirtyPage> {
        let mut pages = Vec::new();
        for _ in 0..self.len {
            // SAFETY: `next` stays below `len`, so the entry lies in the mapping.
            let entry = unsafe { self.entries.add(self.next % self.len) };
            // SAFETY: `flags` is an aligned u32 that the kernel shares and accesses atomically.
            let flags = unsafe { AtomicU32::from_ptr(&raw mut (*entry).flags) };
            // Pairs with the kernel's smp_store_release in kvm_dirty_gfn_set_dirtied.
            if flags.load(Ordering::Acquire) != DIRTY {
                break;
            }
            // SAFETY: DIRTY says that the kernel wrote the entry and leaves it to us.
            let (slot, page) = unsafe { ((*entry).slot, (*entry).offset) };
            pages.push(DirtyPage { slot, page });
            // Pairs with the kernel's smp_load_acquire in kvm_dirty_gfn_harvested.
            flags.store(COLLECTED, Ordering::Release);
            self.next += 1;
        }
        pages
    }
}

impl Drop for DirtyRing {
    fn drop(&mut self) {
        let bytes = (self.len * size_of::<kvm_dirty_gfn>()).next_multiple_of(PAGE);
        // SAFETY: exactly the mapping that `map` made, and nobody holds a reference into it.
        unsafe { libc::munmap(self.entries.cast(), bytes) };
    }
}

/// Gives the harvested entries of all rings of `vm` back and protects their pages again; says how
/// many there were.
///
/// # Errors
/// What the ioctl says.
pub fn reset(vm: &VmFd) -> io::Result<usize> {
    // SAFETY: a VM descriptor, and the request takes no argument.
    let count = unsafe { ioctl(vm, KVM_RESET_DIRTY_RINGS()) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}
