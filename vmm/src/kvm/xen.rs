//! `KVM_XEN_HVM_CONFIG` and `KVM_EXIT_XEN`: hypercalls of a Xen guest, handed to userspace.

use std::io;

use kvm_bindings::{
    KVM_CAP_XEN_HVM, KVM_EXIT_XEN, KVM_EXIT_XEN_HCALL, KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL, kvm_run,
    kvm_xen_hvm_config,
};
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

/// Whether KVM can hand over a `vmcall` of a Xen guest.
pub fn can_intercept(vm: &VmFd) -> bool {
    let can = vm.check_extension_raw(KVM_CAP_XEN_HVM.into());
    u32::try_from(can).is_ok_and(|can| can & KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL != 0)
}

/// A hypercall that KVM hands over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intercepted {
    /// RAX.
    pub number: u64,
    /// The first three arguments.
    pub arguments: [u64; 3],
}

/// The hypercall of a `KVM_EXIT_XEN`; `None` if the exit is for something else.
pub fn intercepted(run: &kvm_run) -> Option<Intercepted> {
    if run.exit_reason != KVM_EXIT_XEN {
        return None;
    }
    // SAFETY: `xen` is all integers, for which any bits are valid.
    let exit = unsafe { run.__bindgen_anon_1.xen };
    if exit.type_ != KVM_EXIT_XEN_HCALL {
        return None;
    }
    // SAFETY: as above.
    let call = unsafe { exit.u.hcall };
    let [a, b, c, ..] = call.params;
    Some(Intercepted {
        number: call.input,
        arguments: [a, b, c],
    })
}

/// Leaves RAX for KVM, which puts it there and steps over the `vmcall` at the next KVM_RUN.
pub fn answer(run: &mut kvm_run, rax: u64) {
    run.__bindgen_anon_1.xen.u.hcall.result = rax;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_found_where_the_kernel_puts_it_and_answered_there() {
        let mut run = kvm_run::default();
        assert_eq!(intercepted(&run), None);
        run.exit_reason = KVM_EXIT_XEN;
        assert_eq!(intercepted(&run), None, "no hypercall");
        run.__bindgen_anon_1.xen.type_ = KVM_EXIT_XEN_HCALL;
        // longmode, cpl; input; result; params: `struct kvm_xen_exit` of linux/kvm.h.
        let words = [1, 32, 0, 4, 0x1000, 3, 0, 0, 0];
        for (at, word) in words.into_iter().enumerate() {
            // SAFETY: `padding` covers the whole union; the structure starts with 8 bytes of type.
            let bytes = unsafe { &mut run.__bindgen_anon_1.padding };
            for (to, byte) in bytes[8 + 8 * at..].iter_mut().zip(u64::to_le_bytes(word)) {
                *to = byte.cast_signed();
            }
        }
        let expected = Intercepted {
            number: 32,
            arguments: [4, 0x1000, 3],
        };
        assert_eq!(intercepted(&run), Some(expected));
        answer(&mut run, 7);
        // SAFETY: as above.
        assert_eq!(unsafe { run.__bindgen_anon_1.padding[24] }, 7);
    }
}
