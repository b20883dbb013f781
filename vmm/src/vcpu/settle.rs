//! Standing still between two instructions.
//!
//! After an exit for IN, an MMIO read or RDMSR the instruction is only half done: KVM takes the
//! answer over at the next KVM_RUN. State that is saved before would make the restored guest do
//! the access a second time.

use std::io;
use std::sync::Arc;

use super::control::Request;
use super::run::{EXITS_TO_FINISH, Vcpu};
use super::serve::serve;
use crate::vcpu::ending::Ending;

impl Vcpu {
    /// What the machine asked for, before the thread stands still.
    pub(super) fn carry_out(&mut self, asked: Request) {
        self.leaves_pcpu_for(asked);
        match asked {
            Request::Pause => {
                if let Some(ending) = self.settle() {
                    self.end(ending);
                }
            }
            Request::Task => {
                let shared = Arc::clone(&self.shared);
                shared.do_task(self);
            }
            Request::Run | Request::Stop => {}
        }
    }

    /// Finishes the instruction that the last exit was for. `immediate_exit` is set, so KVM_RUN
    /// finishes it and enters no guest; an instruction of several pieces exits for each of them.
    fn settle(&mut self) -> Option<Ending> {
        if !self.has_entered {
            return None;
        }
        if let Some(int3) = self.int3.take()
            && let Err(error) = int3.take_back(&self.fd)
        {
            return Some(Ending::Failed(self.index, error.into()));
        }
        for _ in 0..EXITS_TO_FINISH {
            let after = match self.fd.run() {
                Ok(exit) => serve(
                    exit,
                    &self.board,
                    &self.shared,
                    &self.debug,
                    self.lapic.as_mut(),
                    self.index,
                ),
                // EINTR: nothing is half done. Anything else comes back when the vCPU runs.
                Err(_) => return None,
            };
            let ending = self.follow(after);
            if ending.is_some() {
                return ending;
            }
        }
        let endless = io::Error::other("one instruction does port or memory I/O without end");
        Some(Ending::Failed(self.index, endless))
    }
}
