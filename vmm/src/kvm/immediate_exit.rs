//! The `immediate_exit` byte of a vCPU's `kvm_run`, reachable from any thread.

use std::io;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, Ordering};

use kvm_bindings::kvm_run;
use kvm_ioctls::VcpuFd;

const PAGE_BYTES: usize = 4096;

/// A mapping of its own of the first page of `kvm_run`, so that it may outlive the `VcpuFd`.
#[derive(Debug)]
pub struct ImmediateExit {
    page: NonNull<u8>,
}

// SAFETY: the mapping belongs to this value alone, and the byte is only accessed atomically.
unsafe impl Send for ImmediateExit {}
// SAFETY: as above.
unsafe impl Sync for ImmediateExit {}

impl ImmediateExit {
    /// Maps the page.
    ///
    /// # Errors
    /// What mmap says.
    pub fn map(vcpu: &VcpuFd) -> io::Result<Self> {
        // SAFETY: a new shared mapping of a descriptor that offers at least one page.
        let page = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                PAGE_BYTES,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                vcpu.as_raw_fd(),
                0,
            )
        };
        if page == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        NonNull::new(page.cast())
            .map(|page| Self { page })
            .ok_or_else(io::Error::last_os_error)
    }

    /// One that no vCPU looks at, for what is fuzzed without KVM.
    ///
    /// # Errors
    /// What mmap says.
    #[cfg(fuzzing)]
    pub fn of_nobody() -> io::Result<Self> {
        // SAFETY: a new mapping of a page of its own.
        let page = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                PAGE_BYTES,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if page == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        NonNull::new(page.cast())
            .map(|page| Self { page })
            .ok_or_else(io::Error::last_os_error)
    }

    fn byte(&self) -> &AtomicU8 {
        // SAFETY: inside the mapping, which lives as long as `self`; KVM and we treat the byte as
        // an atomic.
        unsafe {
            let byte = self
                .page
                .as_ptr()
                .add(std::mem::offset_of!(kvm_run, immediate_exit));
            AtomicU8::from_ptr(byte)
        }
    }

    /// The next KVM_RUN returns EINTR before it enters the guest. The system call that sends the
    /// signal comes after and orders the store.
    pub fn set(&self) {
        self.byte().store(1, Ordering::SeqCst);
    }

    /// KVM_RUN enters the guest again.
    pub fn clear(&self) {
        self.byte().store(0, Ordering::SeqCst);
    }
}

impl Drop for ImmediateExit {
    fn drop(&mut self) {
        // SAFETY: our own mapping, unmapped once.
        unsafe { libc::munmap(self.page.as_ptr().cast(), PAGE_BYTES) };
    }
}
