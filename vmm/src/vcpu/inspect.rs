//! What a paused vCPU looks like from outside.

use kvm_bindings::{kvm_regs, kvm_sregs};

use super::run::Vcpu;
use crate::cpu::state::{self, MpState};
use crate::pv::HaltIn;

/// What a vCPU does while it is not paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Activity {
    /// It executes instructions.
    Running,
    /// It is halted.
    Halted,
    /// It waits for INIT or SIPI.
    WaitingForSipi,
}

/// One vCPU, standing still.
#[derive(Clone, Copy, Debug)]
pub struct Inspection {
    /// MP_STATE, KVM's or ours.
    pub activity: Activity,
    /// A kick waits to be consumed, also where KVM hides it.
    pub pv_unhalted: bool,
    /// General registers.
    pub regs: kvm_regs,
    /// Segments and control registers.
    pub sregs: kvm_sregs,
}

impl From<MpState> for Activity {
    fn from(state: MpState) -> Self {
        match state {
            MpState::Runnable => Self::Running,
            MpState::Halted => Self::Halted,
            MpState::Uninitialized
            | MpState::InitReceived
            | MpState::SipiReceived
            | MpState::ApResetHold => Self::WaitingForSipi,
        }
    }
}

fn refused(what: &'static str) -> impl Fn(kvm_ioctls::Error) -> state::Error {
    move |error| state::Error::Ioctl(what, error.into())
}

impl Inspection {
    /// RFLAGS.IF.
    pub fn interrupts_enabled(&self) -> bool {
        const RFLAGS_IF: u64 = 1 << 9;
        self.regs.rflags & RFLAGS_IF != 0
    }
}

impl Vcpu {
    /// Looks at the vCPU. Only while all vCPUs stand still: looking for a hidden kick can use up
    /// one that arrives meanwhile.
    ///
    /// # Errors
    /// What KVM says.
    pub fn inspect(&mut self) -> Result<Inspection, state::Error> {
        let (activity, pv_unhalted) = match self.board.halt_in {
            HaltIn::Vmm if self.shared.halt.has_pending_start() => {
                (Activity::Running, self.shared.halt.pv_unhalted())
            }
            HaltIn::Vmm => (self.activity, self.shared.halt.pv_unhalted()),
            HaltIn::Kvm => self.peek()?,
        };
        Ok(Inspection {
            activity,
            pv_unhalted,
            regs: self.fd.get_regs().map_err(refused("KVM_GET_REGS"))?,
            sregs: self.fd.get_sregs().map_err(refused("KVM_GET_SREGS"))?,
        })
    }

    /// MP_STATE and the flag that it hides; looking for it uses it up, so it is given back.
    fn peek(&self) -> Result<(Activity, bool), state::Error> {
        let seen = state::peek(&self.fd)?;
        if seen.pv_unhalted {
            self.give_back_kick()?;
        }
        Ok((seen.mp_state.into(), seen.pv_unhalted))
    }
}
