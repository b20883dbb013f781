//! A debugger's hold on one vCPU: it waits outside KVM_RUN until the debugger lets it go.
//!
//! This is not [`Request::Pause`](super::control::Request): that one is the machine's, counted, and
//! for all vCPUs, while a debugger may let one vCPU step and hold the others.

use super::debug::{Debugger, GuestDebug, Stepping, TooManyPoints};
use super::run::Vcpu;
use super::stops::StopReason;
use crate::vcpu::ending::Ending;

/// Whether a vCPU may enter the guest.
#[derive(Debug, Default)]
pub(super) enum Leash {
    /// It may.
    #[default]
    Off,
    /// Not before the debugger says so.
    On,
    /// As before, and the machine ends then: the vCPU cannot go on. How is in
    /// [`Stops`](super::stops::Stops).
    Crashed,
}

/// What a debugger has a vCPU do when the machine goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// Run.
    Run,
    /// Stay where it is.
    Stay,
}

/// Why a vCPU cannot go on as a debugger wishes.
#[derive(Debug, thiserror::Error)]
pub enum ResumeError {
    /// Too many debug registers.
    #[error(transparent)]
    Points(#[from] TooManyPoints),
    /// KVM.
    #[error("KVM_SET_GUEST_DEBUG")]
    Kvm(#[source] kvm_ioctls::Error),
}

impl Vcpu {
    /// The vCPU has stopped for the debugger.
    pub(super) fn stop_for_debugger(&mut self, reason: StopReason) {
        if reason == StopReason::SoftwareBreak
            && let Err(error) = self.forget_exception()
        {
            self.board.end(Ending::Failed(self.index, error.into()));
        }
        self.leash = Leash::On;
        self.board.stops.tell(self.index, reason);
    }

    /// KVM queues a #UD for an INT3 that it cannot emulate, which is not the guest's. KVM_SET_REGS
    /// drops it.
    fn forget_exception(&self) -> Result<(), kvm_ioctls::Error> {
        self.fd.set_regs(&self.fd.get_regs()?)
    }

    /// What was served on the way is one instruction, where the debugger counts them.
    pub(super) fn one_is_done(&mut self) {
        if self.debug.debugger().stepping != Stepping::Off {
            self.stop_for_debugger(StopReason::Step);
        }
    }

    /// Ends the machine; a crash only after the debugger, if there is one, has seen it.
    pub(super) fn end(&mut self, ending: Ending) {
        if matches!(ending, Ending::Crashed(_)) && self.board.stops.is_attached() {
            self.board.stops.park(ending);
            self.stop_for_debugger(StopReason::Crash);
            self.leash = Leash::Crashed;
        } else {
            self.board.end(ending);
        }
    }

    /// Whether it waits for a debugger.
    pub(super) fn is_held(&self) -> bool {
        !matches!(self.leash, Leash::Off)
    }

    /// What KVM is told to stop at.
    pub fn guest_debug(&self) -> &GuestDebug {
        &self.debug
    }

    /// Does as the debugger says once the machine goes on. While all vCPUs stand still.
    ///
    /// # Errors
    /// [`ResumeError`]; the vCPU stays where it is.
    pub fn resume(&mut self, wishes: Debugger, how: Resume) -> Result<(), ResumeError> {
        if !self.is_held() {
            self.leash = Leash::On;
        }
        self.debug.set_debugger(wishes)?;
        self.debug.apply(&self.fd).map_err(ResumeError::Kvm)?;
        if how == Resume::Run {
            match std::mem::take(&mut self.leash) {
                Leash::Crashed => {
                    // The crash that is parked comes first.
                    self.board.end(Ending::Stopped);
                }
                Leash::Off | Leash::On => {}
            }
        }
        Ok(())
    }
}
