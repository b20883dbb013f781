//! What a vCPU's thread may call: its loop, and what it does for others while the machine stands.

use libc::{SYS_getrusage, SYS_pread64, SYS_timerfd_settime};

use super::kvm;
use crate::sandbox::call::{List, any};

/// Of a vCPU.
pub(crate) const CALLS: List = List {
    title: "A vCPU",
    calls: &[
        kvm!(KVM_RUN, "runs the guest"),
        kvm!(KVM_SIGNAL_MSI, "a kick, under --halt kvm"),
        kvm!(
            KVM_IRQ_LINE,
            "a device's interrupt, which the guest asks for or lets go at a port"
        ),
        kvm!(
            KVM_SET_MP_STATE,
            "a halt that the guest asks for; a restored vCPU"
        ),
        kvm!(
            KVM_GET_MP_STATE,
            "a kick that nobody sees; a vCPU that waits for SIPI; a saved vCPU"
        ),
        kvm!(
            KVM_GET_REGS,
            "a hypercall's arguments, where KVM_RUN leaves none; a saved vCPU; a crash"
        ),
        kvm!(
            KVM_SET_REGS,
            "a hypercall's result; SIPI; a restored vCPU; a debugger"
        ),
        kvm!(KVM_GET_SREGS, "CPL, CR3; a saved vCPU; a crash"),
        kvm!(KVM_SET_SREGS, "SIPI; a restored vCPU; a debugger"),
        kvm!(
            KVM_SET_GUEST_DEBUG,
            "the breakpoint on a kernel's kick; a debugger"
        ),
        kvm!(KVM_GET_VCPU_EVENTS, "an exception to inject; a saved vCPU"),
        kvm!(
            KVM_SET_VCPU_EVENTS,
            "an exception to inject; a restored vCPU"
        ),
        kvm!(KVM_GET_DEBUGREGS, "a saved vCPU"),
        kvm!(
            KVM_SET_DEBUGREGS,
            "a restored vCPU; a breakpoint that the guest set"
        ),
        kvm!(
            KVM_GET_FPU,
            "FWAIT, where KVM cannot emulate it; a debugger"
        ),
        kvm!(KVM_SET_FPU, "a debugger"),
        kvm!(KVM_TRANSLATE, "a debugger's addresses"),
        kvm!(KVM_GET_MSRS, "a saved vCPU; Xen's clock"),
        kvm!(KVM_SET_MSRS, "a restored vCPU"),
        kvm!(
            KVM_GET_LAPIC,
            "a saved vCPU; a pending interrupt; a hang's report"
        ),
        kvm!(KVM_SET_LAPIC, "a restored vCPU"),
        kvm!(KVM_GET_CPUID2, "a saved vCPU"),
        kvm!(KVM_SET_CPUID2, "a restored vCPU"),
        kvm!(KVM_GET_TSC_KHZ, "a saved vCPU"),
        kvm!(KVM_SET_TSC_KHZ, "a restored vCPU"),
        kvm!(KVM_GET_XSAVE, "a saved vCPU"),
        kvm!(KVM_GET_XSAVE2, "a saved vCPU"),
        kvm!(KVM_SET_XSAVE, "a restored vCPU"),
        kvm!(KVM_GET_XCRS, "a saved vCPU"),
        kvm!(KVM_SET_XCRS, "a restored vCPU"),
        kvm!(KVM_GET_DEVICE_ATTR, "a saved vCPU's TSC offset"),
        kvm!(KVM_SET_DEVICE_ATTR, "a restored vCPU's TSC offset"),
        kvm!(KVM_KVMCLOCK_CTRL, "tells the guest's watchdog of a pause"),
        kvm!(KVM_GET_CLOCK, "Xen's clock"),
        any(
            SYS_pread64,
            "whether the target of a kick is halted, in KVM's statistics",
        ),
        any(
            SYS_getrusage,
            "whether it has lost its CPU, under --ple soft",
        ),
        kvm!(KVM_GET_MSR_INDEX_LIST, "which MSRs a saved vCPU has"),
        kvm!(
            KVM_CHECK_EXTENSION,
            "how large a saved vCPU's XSAVE area is"
        ),
        any(SYS_timerfd_settime, "a kick that is delayed on purpose"),
    ],
};
