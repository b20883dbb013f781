//! A hypercall by the stub page or at a breakpoint: registers from KVM, decision and kick in `pv`, RAX back.

use kvm_bindings::kvm_sregs;

use super::run::Vcpu;
use crate::pv::apic_id::{Destination, VcpuIndex};
use crate::pv::hypercall::{Action, Call, CallerMode, Privilege, decide, rax};
use crate::pv::kick::Kicker;
use crate::vcpu::board::Board;
use crate::vcpu::ending::Ending;

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

/// What comes back from a call.
pub(super) struct Answer {
    pub(super) rax: u64,
    /// Whom it kicked.
    pub(super) kicked: Option<Destination>,
}

/// Decides a call of the vCPU `from`, whose segments and control registers `sregs` are, and kicks.
pub(super) fn serve(call: Call, sregs: &kvm_sregs, board: &Board, from: VcpuIndex) -> Answer {
    let (mode, privilege) = caller(sregs, board.user_hypercalls_allowed());
    let (answer, kicked) = match decide(call, mode, privilege, board.unhalt) {
        Action::Kick(destination) => {
            board.kick.kick(Kicker::Vcpu(from), destination);
            (0, Some(destination))
        }
        Action::Answer(answer) => (answer, None),
    };
    Answer {
        rax: rax(answer, mode),
        kicked,
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
        let sregs = self.sregs()?;
        let answer = serve(call, &sregs, &self.board, self.index);
        if let Some(kicked) = answer.kicked {
            self.yields_to_kicked(kicked);
        }
        regs.rip = regs.rip.wrapping_add(site.instruction_bytes());
        self.set_rax(regs, answer.rax)
    }
}
