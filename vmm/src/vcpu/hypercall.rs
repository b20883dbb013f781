//! A hypercall by the stub page or at a breakpoint: registers from KVM, decision and kick in `pv`, RAX back.

use kvm_bindings::kvm_sregs;

use super::run::Vcpu;
use crate::pv::hypercall::{Action, Call, CallerMode, Privilege, decide, rax};
use crate::pv::kick::Kicker;
use crate::vcpu::board::Ending;

const EFER_LMA: u64 = 1 << 10;

/// The width and privilege of a caller with these segments.
pub(super) fn caller(sregs: &kvm_sregs, user_allowed: bool) -> (CallerMode, Privilege) {
    let mode = if sregs.efer & EFER_LMA != 0 && sregs.cs.l == 1 {
        CallerMode::Bits64
    } else {
        CallerMode::Bits32
    };
    // SS.DPL is the CPL (SDM vol. 3, 26.3.1.5).
    let privilege = if sregs.ss.dpl == 0 || user_allowed {
        Privilege::Allowed
    } else {
        Privilege::Denied
    };
    (mode, privilege)
}

/// Where a guest calls from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallSite {
    /// A port write of the stub page, which KVM has carried out.
    Stub,
    /// A `vmcall` that a breakpoint keeps from being executed.
    Vmcall,
}

impl CallSite {
    /// Bytes of the instruction at RIP, to be skipped.
    fn instruction_bytes(self) -> u64 {
        match self {
            Self::Stub => 0,
            Self::Vmcall => 3,
        }
    }
}

impl Vcpu {
    /// Serves the call and puts the result into RAX.
    pub(super) fn hypercall(&mut self, site: CallSite) -> Option<Ending> {
        self.try_hypercall(site)
            .err()
            .map(|error| Ending::Failed(self.index, error.into()))
    }

    fn try_hypercall(&mut self, site: CallSite) -> Result<(), kvm_ioctls::Error> {
        let mut regs = self.regs()?;
        let call = Call {
            number: regs.rax,
            a0: regs.rbx,
            a1: regs.rcx,
        };
        let (mode, privilege) = caller(&self.sregs()?, self.board.user_hypercalls_allowed());
        let answer = match decide(call, mode, privilege, self.board.unhalt) {
            Action::Kick(apic_id) => {
                self.board.kick.kick(Kicker::Vcpu(self.index), apic_id);
                self.yields_to_kicked(apic_id);
                0
            }
            Action::Answer(answer) => answer,
        };
        regs.rip = regs.rip.wrapping_add(site.instruction_bytes());
        self.set_rax(regs, rax(answer, mode))
    }
}
