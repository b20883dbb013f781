//! What a machine for foreign guests has beyond a bare one, and what of it is saved.

use serde::{Deserialize, Serialize};

use super::irqchip::IrqchipState;
use crate::device::DeviceSet;
use crate::device::pc::PcState;

/// The build of a PC. Its postcard form is part of the snapshot format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PcBuild {
    /// Its devices.
    pub devices: DeviceSet,
    /// Linear address of the guest's `vmcall` that kicks, where the VMM takes it.
    pub kick_site: Option<u64>,
}

/// Its state. Its postcard form is part of the snapshot format.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PcMachineState {
    /// KVM's devices.
    pub irqchip: IrqchipState,
    /// Ours.
    pub devices: PcState,
}
