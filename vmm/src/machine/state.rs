//! What a machine is in the middle of: everything that is saved and not its build.

use serde::{Deserialize, Serialize};

use super::platform::PcMachineState;
use crate::cpu::clock::ClockSample;
use crate::device::counter::CounterState;
use crate::device::serial_state::SerialState;
use crate::pv::xen::SavedXen;
use crate::vcpu::state::VcpuState;

/// A machine's state. Its parts' postcard forms are part of the snapshot format.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MachineState {
    /// The clocks at the time of saving.
    pub clock: ClockSample,
    /// By index.
    pub vcpus: Vec<VcpuState>,
    /// The devices.
    pub devices: DeviceState,
    /// What a machine for foreign guests has beside. Saved apart, as its build is.
    #[serde(skip)]
    pub pc: Option<PcMachineState>,
    /// Xen's interface, under `--xen`. Encoded behind the rest.
    #[serde(skip)]
    pub xen: Option<SavedXen>,
}

/// The devices' state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceState {
    /// COM1.
    pub serial: SerialState,
    /// The counting device.
    pub counter: CounterState,
    /// A CPL 0 kernel lets its CPL 3 code make hypercalls.
    pub user_hypercalls: bool,
}

impl MachineState {
    /// Kicks that no MP_STATE shows.
    pub fn hidden_kicks(&self) -> u64 {
        let hidden = self.vcpus.iter().filter(|vcpu| vcpu.has_hidden_kick());
        u64::try_from(hidden.count()).unwrap_or(u64::MAX)
    }
}
