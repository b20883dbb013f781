//! A machine that stands still.

use std::sync::PoisonError;

use super::Machine;
use crate::vcpu::control::Request;
use crate::vcpu::inspect::Inspection;

/// All vCPUs are outside KVM_RUN and stay there until this is dropped. Only such a machine can be
/// looked at.
#[derive(Debug)]
pub struct PausedMachine<'a> {
    machine: &'a Machine,
}

impl<'a> PausedMachine<'a> {
    /// Stops all vCPUs where they are.
    pub fn pause(machine: &'a Machine) -> Self {
        let paused = Self { machine };
        paused.all(Request::Pause);
        paused
    }

    fn all(&self, request: Request) {
        let vcpus = self.machine.board.all();
        vcpus.iter().for_each(|vcpu| vcpu.request(request));
        vcpus
            .iter()
            .for_each(|vcpu| vcpu.control.wait_until_still());
    }

    /// What each vCPU looks like, by index; `None` for one that has ended, or
    /// that KVM does not let us look at.
    pub fn inspect(&self) -> Vec<Option<Inspection>> {
        for vcpu in self.machine.board.all() {
            *vcpu
                .inspection
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = None;
        }
        self.all(Request::Inspect);
        self.machine
            .board
            .all()
            .iter()
            .map(|vcpu| {
                *vcpu
                    .inspection
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
            })
            .collect()
    }
}

impl Drop for PausedMachine<'_> {
    fn drop(&mut self) {
        for vcpu in self.machine.board.all() {
            vcpu.request(Request::Run);
        }
    }
}
