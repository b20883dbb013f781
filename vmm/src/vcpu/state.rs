//! One vCPU in a snapshot: KVM's part and, under `--halt vmm`, ours.

use kvm_ioctls::VcpuFd;
use serde::{Deserialize, Serialize};

use super::inspect::Activity;
use super::run::Vcpu;
use crate::cpu::lapic::{LocalApic, SavedLapic};
use crate::cpu::state::{self, Kept, KvmVcpuState, TscOutcome};
use crate::pv::halt::{Doing, SavedHalt};

/// Everything one vCPU has to know in another process. Its postcard form is part of the snapshot
/// format.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VcpuState {
    /// Its x2APIC ID.
    pub apic_id: u32,
    /// What KVM keeps.
    pub kvm: KvmVcpuState,
    /// What we keep, under `--halt vmm`.
    pub own: Option<OwnState>,
}

/// What the VMM keeps of a vCPU under `--halt vmm`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnState {
    /// MP_STATE.
    pub activity: Activity,
    /// `pv_unhalted`, and INIT and SIPI that the vCPU has not seen yet.
    pub halt: SavedHalt,
    /// The local APIC.
    pub lapic: SavedLapic,
}

/// What becomes of a kick that no MP_STATE shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HiddenKicks {
    /// The restored vCPU gets it.
    Repair,
    /// It is lost, as where only MP_STATE is saved.
    Lose,
}

/// Why a vCPU cannot take over a state.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It is another vCPU's.
    #[error("the state is of APIC ID {saved}, the vCPU has {here}")]
    OtherVcpu {
        /// APIC ID in the state.
        saved: u32,
        /// APIC ID of the vCPU.
        here: u32,
    },
    /// It has no local APIC for `--halt vmm`, or one too many.
    #[error("the state is not one of --halt {0}")]
    OtherHalt(crate::pv::HaltIn),
    /// KVM's part.
    #[error(transparent)]
    Kvm(#[from] state::Error),
}

impl VcpuState {
    /// What it does while it is not paused.
    pub fn activity(&self) -> Activity {
        self.own
            .as_ref()
            .map_or(self.kvm.mp_state.into(), |own| own.activity)
    }

    /// A kick waits to be consumed.
    pub fn pv_unhalted(&self) -> bool {
        self.own
            .as_ref()
            .map_or(self.kvm.pv_unhalted, |own| own.halt.pv_unhalted())
    }

    /// A kick waits to be consumed, and MP_STATE alone does not tell.
    pub fn has_hidden_kick(&self) -> bool {
        self.pv_unhalted() && self.activity() == Activity::Running
    }

    /// The state as it is where only MP_STATE is saved.
    #[must_use]
    pub fn without_hidden_kick(mut self) -> Self {
        if self.has_hidden_kick() {
            self.kvm.pv_unhalted = false;
            if let Some(own) = &mut self.own {
                own.halt = own.halt.without_kick();
            }
        }
        self
    }
}

impl Vcpu {
    /// Saves the vCPU. Only while all vCPUs stand still; a kick that KVM hides is used up by
    /// looking for it, and given back here.
    ///
    /// # Errors
    /// [`state::Error`].
    pub fn save(&mut self, kept: &Kept) -> Result<VcpuState, state::Error> {
        let kvm = state::save(&self.fd, kept)?;
        if kvm.pv_unhalted {
            self.give_back_kick()?;
        }
        Ok(VcpuState {
            apic_id: self.shared.apic_id,
            kvm,
            own: self.lapic.as_ref().map(|lapic| OwnState {
                activity: self.activity,
                halt: self.shared.halt.save(),
                lapic: lapic.save(),
            }),
        })
    }

    /// Takes over what was saved, but for a kick that waits in KVM: nobody can be kicked before
    /// all have their local APICs.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn load(&mut self, state: &VcpuState, kept: &Kept) -> Result<TscOutcome, LoadError> {
        if state.apic_id != self.shared.apic_id {
            return Err(LoadError::OtherVcpu {
                saved: state.apic_id,
                here: self.shared.apic_id,
            });
        }
        let other_halt = || LoadError::OtherHalt(self.board.halt_in);
        let own = match (&state.own, &self.lapic) {
            (Some(own), Some(_)) => Some((
                LocalApic::restored(state.apic_id, &own.lapic).ok_or_else(other_halt)?,
                own,
            )),
            (None, None) => None,
            _ => return Err(other_halt()),
        };
        let tsc = state::restore(&self.fd, &state.kvm, kept)?;
        if let Some((lapic, own)) = own {
            self.shared.set_apic_mode(lapic.mode());
            self.lapic = Some(lapic);
            self.shared.halt.load(own.halt);
            if own.halt.pv_unhalted() {
                self.board.trace.rekick();
            }
            self.activity = own.activity;
        }
        self.shared.set_known(Some(match state.activity() {
            Activity::Running => Doing::Runs,
            Activity::Halted => Doing::Halted,
            Activity::WaitingForSipi => Doing::WaitsForSipi,
        }));
        Ok(tsc)
    }

    /// KVM's descriptor and this vCPU's place, for what the machine does to all of them.
    pub fn kvm(&self) -> (&VcpuFd, crate::pv::apic_id::VcpuIndex) {
        (&self.fd, self.index)
    }
}
