//! After a `KVM_EXIT_DEBUG`: the guest's kick, the debugger's stop, or the guest's own exception.

use super::debug::{Exception, Stop};
use super::hypercall::CallSite;
use super::run::Vcpu;
use super::serve::port_out;
use super::stops::StopReason;
use super::{inject, int3};
use crate::vcpu::ending::Ending;

impl Vcpu {
    /// Does what a stop asks for.
    pub(super) fn stopped(&mut self, stop: Stop) -> Option<Ending> {
        match stop {
            Stop::KickSite => self.kick_at_site().or_else(|| {
                self.one_is_done();
                None
            }),
            Stop::HardwareBreak => self.for_debugger(StopReason::HardwareBreak),
            Stop::Watch(point) => self.for_debugger(StopReason::Watch(point)),
            Stop::Step => self.for_debugger(StopReason::Step),
            Stop::SoftwareBreak => self.for_debugger(StopReason::SoftwareBreak),
            Stop::Guests(exception) => self.give_to_guest(exception),
        }
    }

    fn for_debugger(&mut self, reason: StopReason) -> Option<Ending> {
        self.stop_for_debugger(reason);
        None
    }

    /// An INT3 that KVM cannot emulate: the debugger's or the guest's own.
    pub(super) fn int3(&mut self) -> Option<Ending> {
        let rip = self
            .regs()
            .and_then(|regs| Ok(self.sregs()?.cs.base.wrapping_add(regs.rip)));
        match rip {
            Ok(rip) if self.debug.is_planted(rip) => self.stopped(Stop::SoftwareBreak),
            Ok(_) => match int3::Injected::carry_out(&self.fd) {
                Ok(int3) => {
                    self.int3 = Some(int3);
                    self.one_is_done();
                    None
                }
                Err(error) => Some(Ending::Failed(self.index, error.into())),
            },
            Err(error) => Some(Ending::Failed(self.index, error.into())),
        }
    }

    /// A write to a port: what the debugger has planted, or the guest's own. KVM has gone past it.
    pub(super) fn port_out(&mut self, port: u16, byte: u8) -> Option<Ending> {
        match self.undo_planted() {
            Ok(true) => self.stopped(Stop::SoftwareBreak),
            Ok(false) => {
                let (board, shared) = (&self.board, &self.shared);
                let after = port_out(port, &[byte], board, shared, self.index);
                self.follow(after)
            }
            Err(error) => Some(Ending::Failed(self.index, error.into())),
        }
    }

    /// Puts the vCPU back to what is planted, if it has just executed that.
    fn undo_planted(&mut self) -> Result<bool, kvm_ioctls::Error> {
        let mut regs = self.regs()?;
        let rip = regs.rip.wrapping_sub(1);
        let linear = self.sregs()?.cs.base.wrapping_add(rip);
        if !self.debug.is_planted(linear) {
            return Ok(false);
        }
        regs.rip = rip;
        self.fd.set_regs(&regs)?;
        Ok(true)
    }

    /// The guest is about to kick by `vmcall`.
    fn kick_at_site(&mut self) -> Option<Ending> {
        self.hypercall(CallSite::Vmcall)
    }

    /// Lets the guest have an exception of its own.
    fn give_to_guest(&mut self, exception: Exception) -> Option<Ending> {
        let given = match exception {
            Exception::Breakpoint => inject::breakpoint(&self.fd),
            Exception::Debug { dr6 } => inject::debug(&self.fd, dr6),
        };
        given
            .err()
            .map(|error| Ending::Failed(self.index, error.into()))
    }
}
