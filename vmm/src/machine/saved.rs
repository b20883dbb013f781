//! A machine on its way to a file or to another process: its build and its state, without its
//! memory.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::blueprint::Blueprint;
use super::extra_parts::{self, ExtraParts};
use super::pause::PausedMachine;
use super::platform::PcMachineState;
use super::save::SaveError;
use super::state::{DeviceState, MachineState};
use crate::cpu::clock::ClockSample;
use crate::cpu::compat::{Capabilities, Capability, HostNeeds};
use crate::cpu::topology::XAPIC_ID_MAX;
use crate::host::Identity;
use crate::pv::xen::HypercallsBy;
use crate::pv::xen::SavedXen;
use crate::pv::{HaltIn, KickBy};
use crate::snapshot::{
    self, CheckedSnapshot, EncodeError, Metadata, Section, SectionFault, SectionKind,
};
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
        let pc = self.description.blueprint.pc.as_ref();
        if let Some(pc) = pc.zip(self.state.pc.as_ref()) {
            sections.push(Section::encode(SectionKind::Pc, 0, &pc)?);
        }
        let xen = self.description.blueprint.xen.as_ref();
        if let Some(xen) = xen.zip(self.state.xen.as_ref()) {
            sections.push(Section::encode(SectionKind::Xen, 0, &xen)?);
        }
        Ok(sections)
    }

    /// From a snapshot, each part of which has been checked.
    ///
    /// # Errors
    /// [`snapshot::Error`], which names file and section.
    pub fn read(snapshot: &CheckedSnapshot) -> Result<Self, snapshot::Error> {
        snapshot.decoded(Self::from_sections)
    }

    /// From a snapshot's sections.
    ///
    /// # Errors
    /// [`SectionFault`], which names the section.
    pub fn from_sections(snapshot: &Metadata) -> Result<Self, SectionFault> {
        let mut blueprint: Blueprint = snapshot.decode(SectionKind::Machine, 0)?;
        let needs: HostNeeds = snapshot.decode(SectionKind::Host, 0)?;
        let clock: ClockSample = snapshot.decode(SectionKind::Clock, 0)?;
        let devices: DeviceState = snapshot.decode(SectionKind::Devices, 0)?;
        // A section that is missing ends this, so a number from the file allocates nothing.
        let vcpus = (0..blueprint.vcpus())
            .map(|index| snapshot.decode(SectionKind::Vcpu, index))
            .collect::<Result<Vec<VcpuState>, _>>()?;
        let (pc_build, pc) = decode_if_there(snapshot, SectionKind::Pc)?.unzip();
        let (xen_build, xen) = decode_if_there(snapshot, SectionKind::Xen)?.unzip();
        (blueprint.pc, blueprint.xen) = (pc_build, xen_build);
        Ok(Self {
            description: Description { blueprint, needs },
            state: MachineState {
                clock,
                vcpus,
                devices,
                pc,
                xen,
            },
        })
    }
}

/// The build of the machine in `snapshot`, with the parts that not every machine has.
///
/// # Errors
/// [`snapshot::Error`], which names file and section.
pub fn blueprint(snapshot: &CheckedSnapshot) -> Result<Blueprint, snapshot::Error> {
    snapshot.decoded(|sections| {
        let mut blueprint: Blueprint = sections.decode(SectionKind::Machine, 0)?;
        let pc: Option<(_, PcMachineState)> = decode_if_there(sections, SectionKind::Pc)?;
        let xen: Option<(_, SavedXen)> = decode_if_there(sections, SectionKind::Xen)?;
        blueprint.pc = pc.map(|(build, _)| build);
        blueprint.xen = xen.map(|(build, _)| build);
        Ok(blueprint)
    })
}

/// A section that not every machine has: a part of the build and a part of the state.
fn decode_if_there<B: DeserializeOwned, S: DeserializeOwned>(
    snapshot: &Metadata,
    kind: SectionKind,
) -> Result<Option<(B, S)>, SectionFault> {
    snapshot
        .section(kind, 0)
        .map(|_| snapshot.decode(kind, 0))
        .transpose()
}

impl Description {
    /// For the wire.
    ///
    /// # Errors
    /// What postcard cannot express.
    pub fn to_wire(&self) -> Result<Vec<u8>, extra_parts::Error> {
        let mut extra = ExtraParts::default();
        extra.add(SectionKind::Pc, self.blueprint.pc.as_ref())?;
        extra.add(SectionKind::Xen, self.blueprint.xen.as_ref())?;
        extra.behind(self)
    }

    /// From the wire.
    ///
    /// # Errors
    /// Bytes that are no description.
    pub fn from_wire(bytes: &[u8]) -> Result<Self, extra_parts::Error> {
        let (mut description, mut extra): (Self, _) = ExtraParts::split(bytes)?;
        description.blueprint.pc = extra.take(SectionKind::Pc)?;
        description.blueprint.xen = extra.take(SectionKind::Xen)?;
        extra.finish()?;
        Ok(description)
    }
}

impl MachineState {
    /// For the wire.
    ///
    /// # Errors
    /// What postcard cannot express.
    pub fn to_wire(&self) -> Result<Vec<u8>, extra_parts::Error> {
        let mut extra = ExtraParts::default();
        extra.add(SectionKind::Pc, self.pc.as_ref())?;
        extra.add(SectionKind::Xen, self.xen.as_ref())?;
        extra.behind(self)
    }

    /// From the wire.
    ///
    /// # Errors
    /// Bytes that are no state.
    pub fn from_wire(bytes: &[u8]) -> Result<Self, extra_parts::Error> {
        let (mut state, mut extra): (Self, _) = ExtraParts::split(bytes)?;
        state.pc = extra.take(SectionKind::Pc)?;
        state.xen = extra.take(SectionKind::Xen)?;
        extra.finish()?;
        Ok(state)
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
        (Capability::Xen, blueprint.xen.is_some()),
        (
            Capability::XenVmcall,
            blueprint
                .xen
                .is_some_and(|xen| xen.hypercalls_by != HypercallsBy::Port),
        ),
    ]
    .into_iter()
    .filter_map(|(capability, needed)| needed.then_some(capability))
    .collect()
}
