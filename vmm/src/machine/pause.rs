//! A machine that stands still.

use std::sync::{Arc, Mutex, PoisonError};

use super::Machine;
use crate::pv::apic_id::VcpuIndex;
use crate::vcpu::Vcpu;
use crate::vcpu::control::Request;
use crate::vcpu::inspect::Inspection;

/// How many want the machine to stand still. It goes on when nobody does.
#[derive(Debug, Default)]
pub struct Pauses {
    /// Held while the vCPUs are told to stop or go on, and while they do a task: one at a time.
    count: Mutex<usize>,
}

impl Pauses {
    /// Whether somebody keeps the machine from running.
    pub fn are_on(&self) -> bool {
        *self.count.lock().unwrap_or_else(PoisonError::into_inner) != 0
    }

    /// Does `work` unless somebody does; nobody begins to before it is done.
    pub(super) fn unless_on<T>(&self, work: impl FnOnce() -> T) -> Option<T> {
        let count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        (*count == 0).then(work)
    }
}

/// All vCPUs are outside KVM_RUN, with no instruction half done, and stay there until this is
/// dropped. Only such a machine can be looked at, saved or loaded.
#[derive(Debug)]
pub struct PausedMachine<'a> {
    machine: &'a Machine,
}

impl<'a> PausedMachine<'a> {
    /// Stops all vCPUs where they are.
    pub fn pause(machine: &'a Machine) -> Self {
        let mut count = machine
            .pauses
            .count
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *count += 1;
        if *count == 1 {
            machine.note_what_they_do();
            all(machine, Request::Pause);
            machine.board.kick.flush_late();
        }
        drop(count);
        Self { machine }
    }

    /// A machine whose threads were started with a request to stand still.
    pub(super) fn from_start(machine: &'a Machine) -> Self {
        let mut count = machine
            .pauses
            .count
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *count += 1;
        let vcpus = machine.board.all();
        vcpus
            .iter()
            .for_each(|vcpu| vcpu.control.wait_until_still());
        drop(count);
        Self { machine }
    }

    /// The machine stands still until [`Self::who_stayed`] has come back for it.
    pub fn stay(self) {
        std::mem::forget(self);
    }

    /// Takes up what [`Self::stay`] left.
    pub fn who_stayed(machine: &'a Machine) -> Self {
        Self { machine }
    }

    /// The machine.
    pub fn machine(&self) -> &'a Machine {
        self.machine
    }

    /// Has each vCPU's thread do `task`; what comes back, by index. `None` for a thread that has
    /// ended.
    pub fn each<T: Send + 'static>(
        &self,
        task: impl Fn(&mut Vcpu) -> T + Send + Sync + 'static,
    ) -> Vec<Option<T>> {
        let _alone = self
            .machine
            .pauses
            .count
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let task = Arc::new(task);
        let vcpus = self.machine.board.all();
        let results: Vec<_> = vcpus.iter().map(|_| Arc::new(Mutex::new(None))).collect();
        for (vcpu, result) in vcpus.iter().zip(&results) {
            let (task, result) = (Arc::clone(&task), Arc::clone(result));
            vcpu.set_task(move |vcpu| {
                let done = task(vcpu);
                *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(done);
            });
        }
        all(self.machine, Request::Task);
        results
            .iter()
            .map(|result| result.lock().unwrap_or_else(PoisonError::into_inner).take())
            .collect()
    }

    /// Has one vCPU's thread do `task`. `None` for a vCPU that there is not, or whose thread has
    /// ended.
    pub fn on<T: Send + 'static>(
        &self,
        index: VcpuIndex,
        task: impl FnOnce(&mut Vcpu) -> T + Send + 'static,
    ) -> Option<T> {
        let _alone = self
            .machine
            .pauses
            .count
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let vcpu = self.machine.board.vcpu(index)?;
        let result = Arc::new(Mutex::new(None));
        let done = Arc::clone(&result);
        vcpu.set_task(move |vcpu| {
            *done.lock().unwrap_or_else(PoisonError::into_inner) = Some(task(vcpu));
        });
        vcpu.request(Request::Task);
        vcpu.control.wait_until_still();
        result.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// What each vCPU looks like, by index; `None` for one that has ended, or
    /// that KVM does not let us look at.
    pub fn inspect(&self) -> Vec<Option<Inspection>> {
        self.each(|vcpu| vcpu.inspect().ok())
            .into_iter()
            .map(Option::flatten)
            .collect()
    }
}

/// Asks every vCPU for `request` and waits until all have done it.
fn all(machine: &Machine, request: Request) {
    let vcpus = machine.board.all();
    vcpus.iter().for_each(|vcpu| vcpu.request(request));
    vcpus
        .iter()
        .for_each(|vcpu| vcpu.control.wait_until_still());
}

impl Drop for PausedMachine<'_> {
    fn drop(&mut self) {
        let mut count = self
            .machine
            .pauses
            .count
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *count -= 1;
        if *count == 0 {
            for vcpu in self.machine.board.all() {
                vcpu.request(Request::Run);
            }
        }
    }
}
