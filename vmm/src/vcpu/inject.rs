//! Exceptions that KVM took from the guest and that are the guest's own.

use kvm_ioctls::VcpuFd;

const DEBUG_VECTOR: u8 = 1;
const BREAKPOINT_VECTOR: u8 = 3;

/// Injects #BP. After `KVM_EXIT_DEBUG` RIP stays at the `int3`: KVM knows the instruction's length
/// and has the guest's handler return behind it (`vmx_inject_exception` in Linux's
/// arch/x86/kvm/vmx/vmx.c).
///
/// # Errors
/// What KVM says.
pub(super) fn breakpoint(vcpu: &VcpuFd) -> Result<(), kvm_ioctls::Error> {
    exception(vcpu, BREAKPOINT_VECTOR)
}

/// Injects #DB with what it is for, the bits of DR6. Its breakpoint registers are not the guest's while KVM
/// uses them, so a guest's own hardware breakpoints do not come here.
///
/// # Errors
/// What KVM says.
pub(super) fn debug(vcpu: &VcpuFd, dr6: u64) -> Result<(), kvm_ioctls::Error> {
    let mut registers = vcpu.get_debug_regs()?;
    registers.dr6 |= dr6;
    vcpu.set_debug_regs(&registers)?;
    exception(vcpu, DEBUG_VECTOR)
}

fn exception(vcpu: &VcpuFd, vector: u8) -> Result<(), kvm_ioctls::Error> {
    let mut events = vcpu.get_vcpu_events()?;
    events.exception.injected = 1;
    events.exception.nr = vector;
    events.exception.has_error_code = 0;
    vcpu.set_vcpu_events(&events)
}
