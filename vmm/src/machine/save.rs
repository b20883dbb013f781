//! Saving: from a machine that stands still to its state.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};

use super::irqchip::IrqchipState;
use super::pause::PausedMachine;
use super::platform::PcMachineState;
use super::state::{DeviceState, MachineState};
use crate::cpu::kvmclock::{self, End};
use crate::cpu::pv_leaves::LocalApics;
use crate::cpu::state::{self, Kept};
use crate::device::pc::PcState;
use crate::host::{self, HostError};
use crate::pv::HaltIn;

/// Why a machine cannot be saved. It goes on as it was.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// KVM's device.
    #[error(transparent)]
    Host(#[from] HostError),
    /// KVM does not tell the clock.
    #[error("KVM_GET_CLOCK")]
    Clock(#[source] kvm_ioctls::Error),
    /// A vCPU.
    #[error("vCPU {0} cannot be saved")]
    Vcpu(u32, #[source] state::Error),
    /// KVM's interrupt controllers or its PIT.
    #[error("the interrupt controllers cannot be saved")]
    Irqchip(#[source] kvm_ioctls::Error),
    /// A vCPU's thread has ended.
    #[error("the machine has come to its end")]
    Ended,
}

impl PausedMachine<'_> {
    /// Saves everything but the memory. The machine can go on afterwards: no kick is used up.
    ///
    /// # Errors
    /// [`SaveError`].
    pub fn save(&self) -> Result<MachineState, SaveError> {
        let machine = self.machine();
        let kept = self.kept()?;
        // Over all of it: nobody sets the clocks between what is read of them.
        let arrival = machine
            .arrival
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let clock = kvmclock::sample(&machine.vm, End::Source).map_err(SaveError::Clock)?;
        let mut vcpus = Vec::with_capacity(machine.board.all().len());
        for (index, saved) in (0..).zip(self.each(move |vcpu| vcpu.save(&kept))) {
            let saved = saved.ok_or(SaveError::Ended)?;
            vcpus.push(saved.map_err(|error| SaveError::Vcpu(index, error))?);
        }
        let board = &machine.board;
        let (serial, devices) = board.ports.save();
        let mut state = MachineState {
            clock,
            vcpus,
            devices: DeviceState {
                serial,
                counter: board.ports.counter.save(),
                user_hypercalls: board.user_hypercalls.load(Relaxed),
            },
            pc: self.save_pc(devices)?,
            xen: board.xen.as_ref().map(|xen| xen.interface.save()),
        };
        if let Some(arrival) = &*arrival {
            arrival.keep_clocks(&mut state);
        }
        Ok(state)
    }

    fn save_pc(&self, devices: Option<PcState>) -> Result<Option<PcMachineState>, SaveError> {
        let machine = self.machine();
        let Some(devices) = devices else {
            return Ok(None);
        };
        let irqchip = IrqchipState::save(&machine.vm).map_err(SaveError::Irqchip)?;
        Ok(Some(PcMachineState { irqchip, devices }))
    }

    /// What there is to save of each vCPU, found once.
    fn kept(&self) -> Result<Arc<Kept>, SaveError> {
        let machine = self.machine();
        if let Some(kept) = machine.kept.get() {
            return Ok(Arc::clone(kept));
        }
        let kvm = host::open_kvm()?;
        let vm = Arc::clone(&machine.vm);
        let lapics = local_apics(machine.blueprint.halt_in);
        let found = self.each(move |vcpu| {
            (vcpu.index().0 == 0).then(|| Kept::find(&kvm, &vm, vcpu.fd(), lapics))
        });
        let found = found.into_iter().flatten().flatten().next();
        let kept = found
            .ok_or(SaveError::Ended)?
            .map_err(|error| SaveError::Vcpu(0, error))?;
        Ok(Arc::clone(machine.kept.get_or_init(|| Arc::new(kept))))
    }
}

/// Who keeps the local APICs.
pub(super) fn local_apics(halt_in: HaltIn) -> LocalApics {
    match halt_in {
        HaltIn::Kvm => LocalApics::Kvm,
        HaltIn::Vmm => LocalApics::Vmm,
    }
}

#[cfg(test)]
#[path = "save_test.rs"]
mod tests;
