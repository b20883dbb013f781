//! What a paused vCPU looks like from outside.

use std::sync::PoisonError;

use kvm_bindings::{KVM_MP_STATE_HALTED, KVM_MP_STATE_RUNNABLE, kvm_mp_state, kvm_regs, kvm_sregs};

use super::run::Vcpu;
use crate::pv::HaltIn;

/// What a vCPU does while it is not paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

impl Inspection {
    /// RFLAGS.IF.
    pub fn interrupts_enabled(&self) -> bool {
        const RFLAGS_IF: u64 = 1 << 9;
        self.regs.rflags & RFLAGS_IF != 0
    }
}

impl Vcpu {
    /// Leaves what the vCPU looks like for the machine to read.
    pub(super) fn note_inspection(&mut self) {
        let inspection = self.inspect().ok();
        *self
            .shared
            .inspection
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = inspection;
    }

    fn inspect(&mut self) -> Result<Inspection, kvm_ioctls::Error> {
        // An IN is complete only at the next KVM_RUN; with immediate_exit set, that enters no guest.
        self.fd.set_kvm_immediate_exit(1);
        if self.activity == Activity::Running {
            let _ = self.fd.run();
        }
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
            regs: self.fd.get_regs()?,
            sregs: self.fd.get_sregs()?,
        })
    }

    /// MP_STATE and the `pv_unhalted` that KVM folds into it for a halted vCPU only: for a
    /// running one, pretend that it is halted and look again. Putting RUNNABLE back clears the
    /// flag since Linux 6.15, so a vCPU that had it is kicked again.
    fn peek(&self) -> Result<(Activity, bool), kvm_ioctls::Error> {
        match self.fd.get_mp_state()?.mp_state {
            KVM_MP_STATE_HALTED => Ok((Activity::Halted, false)),
            KVM_MP_STATE_RUNNABLE => {
                self.fd.set_mp_state(kvm_mp_state {
                    mp_state: KVM_MP_STATE_HALTED,
                })?;
                let kicked = self.fd.get_mp_state()?.mp_state == KVM_MP_STATE_RUNNABLE;
                self.fd.set_mp_state(kvm_mp_state {
                    mp_state: KVM_MP_STATE_RUNNABLE,
                })?;
                if kicked {
                    self.board.kick.rekick(self.index);
                }
                Ok((Activity::Running, kicked))
            }
            _ => Ok((Activity::WaitingForSipi, false)),
        }
    }
}
