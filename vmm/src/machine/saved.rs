//! A machine on its way to a file or to another process: its build and its state, without its
//! memory.

use serde::{Deserialize, Serialize};

use super::blueprint::Blueprint;
use super::pause::PausedMachine;
use super::save::SaveError;
use super::state::{DeviceState, MachineState};
use crate::cpu::clock::ClockSample;
use crate::cpu::compat::{Capabilities, Capability, HostNeeds};
use crate::cpu::topology::XAPIC_ID_MAX;
use crate::host::Identity;
use crate::pv::{HaltIn, KickBy};
use crate::snapshot::{self, CheckedSnapshot, EncodeError, Section, SectionKind};
use crate::vcpu::state::VcpuState;

/// What another process has to know before it takes a machine: its build, and what that stands on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// Its build.
    pub blueprint: Blueprint,
    /// What it needs of a host.
    pub needs: HostNeeds,
}

/// Everything but the memory.
#[derive(Clone, Debug, PartialEq)]
pub struct SavedMachine {
    /// What it is.
    pub description: Description,
    /// Its state.
    pub state: MachineState,
}

impl SavedMachine {
    /// Saves a machine that stands still.
    ///
    /// # Errors
    /// [`SaveError`]; it can go on.
    pub fn of(paused: &PausedMachine<'_>) -> Result<Self, SaveError> {
        let state = paused.save()?;
        let blueprint = paused.machine().blueprint.clone();
        let host = Identity::detect();
        let vcpus = state.vcpus.iter().map(|vcpu| &vcpu.kvm);
        let needs = HostNeeds::of(vcpus, host.kind, &host.kernel, capabilities(&blueprint));
        Ok(Self {
            description: Description { blueprint, needs },
            state,
        })
    }

    /// As sections of a snapshot.
    ///
    /// # Errors
    /// [`EncodeError`].
    pub fn sections(&self) -> Result<Vec<Section>, EncodeError> {
        let mut sections = vec![
            Section::encode(SectionKind::Machine, 0, &self.description.blueprint)?,
            Section::encode(SectionKind::Host, 0, &self.description.needs)?,
            Section::encode(SectionKind::Clock, 0, &self.state.clock)?,
            Section::encode(SectionKind::Devices, 0, &self.state.devices)?,
        ];
        for (index, vcpu) in (0..).zip(&self.state.vcpus) {
            sections.push(Section::encode(SectionKind::Vcpu, index, vcpu)?);
        }
        Ok(sections)
    }

    /// From a snapshot, each part of which has been checked.
    ///
    /// # Errors
    /// [`snapshot::Error`], which names the section.
    pub fn read(snapshot: &CheckedSnapshot) -> Result<Self, snapshot::Error> {
        let blueprint: Blueprint = snapshot.decode(SectionKind::Machine, 0)?;
        let needs: HostNeeds = snapshot.decode(SectionKind::Host, 0)?;
        let clock: ClockSample = snapshot.decode(SectionKind::Clock, 0)?;
        let devices: DeviceState = snapshot.decode(SectionKind::Devices, 0)?;
        // A section that is missing ends this, so a number from the file allocates nothing.
        let vcpus = (0..blueprint.vcpus())
            .map(|index| snapshot.decode(SectionKind::Vcpu, index))
            .collect::<Result<Vec<VcpuState>, _>>()?;
        Ok(Self {
            description: Description { blueprint, needs },
            state: MachineState {
                clock,
                vcpus,
                devices,
            },
        })
    }
}

/// What a machine with this build stands on besides its CPUID.
fn capabilities(blueprint: &Blueprint) -> Capabilities {
    let wide_ids = blueprint
        .topology()
        .is_ok_and(|topology| topology.max_apic_id() > XAPIC_ID_MAX);
    [
        (Capability::LocalApicInKvm, blueprint.halt_in == HaltIn::Kvm),
        (Capability::UserSpaceMsrs, blueprint.halt_in == HaltIn::Vmm),
        (
            Capability::VmcallCompletes,
            // A guest that is not told of PV_UNHALT runs where no `vmcall` completes too.
            blueprint.kick_by == KickBy::Kvm && blueprint.shows_pv_unhalt,
        ),
        (Capability::WideApicIds, wide_ids),
    ]
    .into_iter()
    .filter_map(|(capability, needed)| needed.then_some(capability))
    .collect()
}
