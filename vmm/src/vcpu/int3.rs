//! `int3` where KVM cannot emulate it. Linux patches its own code by it.

use kvm_ioctls::VcpuFd;

use super::inject;

/// The instruction.
pub(crate) const INT3: u8 = 0xcc;

/// An `int3` whose #BP may not have been delivered yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Injected {
    rip: u64,
}

impl Injected {
    fn next(self) -> u64 {
        self.rip.wrapping_add(1)
    }

    /// Carries out the `int3` at RIP: #BP with RIP behind it (SDM vol. 3A, "Interrupt 3"). The
    /// guest is to be entered next; where it is not, [`Self::take_back`].
    ///
    /// # Errors
    /// What KVM says.
    pub(super) fn carry_out(vcpu: &VcpuFd) -> Result<Self, kvm_ioctls::Error> {
        let mut regs = vcpu.get_regs()?;
        let int3 = Self { rip: regs.rip };
        regs.rip = int3.next();
        // First: KVM_SET_REGS clears pending exceptions.
        vcpu.set_regs(&regs)?;
        inject::breakpoint(vcpu)?;
        Ok(int3)
    }

    /// Puts the vCPU back to its `int3`, if the guest has not been entered since. KVM does not tell
    /// of an injected #BP when the vCPU is saved: it takes for granted that RIP is still at the
    /// instruction (`kvm_exception_is_soft` in Linux's arch/x86/kvm/x86.c).
    ///
    /// # Errors
    /// What KVM says.
    pub(super) fn take_back(self, vcpu: &VcpuFd) -> Result<(), kvm_ioctls::Error> {
        let mut regs = vcpu.get_regs()?;
        if regs.rip != self.next() {
            // Delivered: RIP is in the guest's handler.
            return Ok(());
        }
        let mut events = vcpu.get_vcpu_events()?;
        events.exception.injected = 0;
        vcpu.set_vcpu_events(&events)?;
        regs.rip = self.rip;
        vcpu.set_regs(&regs)
    }
}
