//! The devices of a PC beside the serial port: which ports are whose.
//!
//! Interrupt controllers and timer (0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1, 0x40 to 0x43, 0x61, and
//! their memory) are KVM's and never come here.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::acpi_pm::{self, AcpiPm};
use super::cmos::{self, Cmos};
use super::fw_cfg::{self, Contents, FwCfg};
use super::i8042::{self, I8042};
use super::serial_state::ConsoleState;
use super::test_device::TestDevice;
use super::wires::Wires;
use super::{Asked, DeviceSet};
use crate::memory::MemorySize;

/// The reset register: a rising bit 2 restarts the machine.
pub const RESET_CONTROL: u16 = 0xcf9;
const RESET_CPU: u8 = 1 << 2;
/// The value that ACPI tables give for it.
pub const RESET_VALUE: u8 = 0x06;

/// QEMU's panic device: a guest kernel says that it has panicked.
pub const PVPANIC: u16 = 0x505;
const PVPANIC_PANICKED: u8 = 1 << 0;
/// The guest loads a crash kernel and goes on.
const PVPANIC_CRASH_LOADED: u8 = 1 << 1;

/// What the devices are told of their machine.
#[derive(Debug)]
pub struct PcWiring {
    /// Which of them there are.
    pub set: DeviceSet,
    /// vCPUs.
    pub vcpus: u32,
    /// Guest memory.
    pub memory: MemorySize,
    /// Interrupt lines and clocks.
    pub wires: Box<dyn Wires>,
}

/// What a PC's devices are in the middle of, beside the serial port's registers. Its postcard form
/// is part of the snapshot format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PcState {
    pub(super) devices: DevicesState,
    pub(super) console: ConsoleState,
}

/// The state of [`PcDevices`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DevicesState {
    i8042: I8042,
    cmos: Cmos,
    pm: AcpiPm,
    reset_control: u8,
    test: Option<TestImageState>,
}

/// What only a test image has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct TestImageState {
    fw_cfg: FwCfg,
    device: TestDevice,
}

/// Why a state cannot be taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// Another set of devices.
    #[error("the state is of a machine with other devices")]
    OtherDevices,
    /// No such device can be in this state.
    #[error("the state of the {0} is none it can have; it was not saved by this program")]
    Impossible(&'static str),
}

/// The devices.
#[derive(Debug)]
pub struct PcDevices {
    state: Mutex<DevicesState>,
    wires: Box<dyn Wires>,
    contents: Contents,
}

impl PcDevices {
    /// As they are when the machine is switched on.
    pub fn new(wiring: PcWiring) -> Self {
        let is_test = wiring.set == DeviceSet::TestImage;
        Self {
            state: Mutex::new(DevicesState {
                i8042: I8042::default(),
                cmos: Cmos::new(wiring.memory, wiring.vcpus),
                pm: AcpiPm::default(),
                reset_control: 0,
                test: is_test.then(TestImageState::default),
            }),
            wires: wiring.wires,
            contents: Contents {
                memory_bytes: wiring.memory.bytes(),
                vcpus: wiring.vcpus,
            },
        }
    }

    /// A device's state is whole between two accesses, so a thread that panicked spoils nothing.
    fn lock(&self) -> MutexGuard<'_, DevicesState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// OUT.
    pub fn write(&self, port: u16, data: &[u8]) -> Option<Asked> {
        let state = &mut *self.lock();
        let wires = &*self.wires;
        match (port, data) {
            (i8042::DATA, _) => each(data, |byte| state.i8042.write(byte, wires)),
            (i8042::COMMAND, _) => each(data, |byte| state.i8042.command(byte, wires)),
            // One access to both ports, as some firmware does it. Not string output, which KVM
            // hands over one element at a time.
            (cmos::INDEX, &[index, byte]) => {
                state.cmos.select(index);
                state.cmos.write(byte);
                None
            }
            (cmos::INDEX, &[index]) => {
                state.cmos.select(index);
                None
            }
            (cmos::DATA, &[byte]) => {
                state.cmos.write(byte);
                None
            }
            (acpi_pm::FIRST..=acpi_pm::LAST, _) => state.pm.write(port - acpi_pm::FIRST, data),
            (RESET_CONTROL, &[byte]) => {
                let rises = byte & !state.reset_control & RESET_CPU != 0;
                state.reset_control = byte;
                rises.then_some(Asked::Reset)
            }
            (PVPANIC, &[byte]) => (byte & PVPANIC_PANICKED != 0).then_some(Asked::GuestPanic),
            _ => {
                let test = state.test.as_mut()?;
                if let (fw_cfg::SELECT, &[low, high]) = (port, data) {
                    test.fw_cfg.select(u16::from_le_bytes([low, high]));
                }
                test.device.write(port, data, wires)
            }
        }
    }

    /// IN. What nobody answers reads as all ones.
    pub fn read(&self, port: u16, data: &mut [u8]) {
        data.fill(0xff);
        let state = &mut *self.lock();
        let wires = &*self.wires;
        match port {
            i8042::DATA => data.fill_with(|| state.i8042.read(wires)),
            i8042::COMMAND => data.fill(state.i8042.status()),
            cmos::DATA => data.fill(state.cmos.read(wires)),
            acpi_pm::FIRST..=acpi_pm::LAST => {
                state.pm.read(port - acpi_pm::FIRST, data, wires.uptime());
            }
            RESET_CONTROL => data.fill(state.reset_control),
            PVPANIC => data.fill(PVPANIC_PANICKED | PVPANIC_CRASH_LOADED),
            _ => {
                let Some(test) = &mut state.test else { return };
                match port {
                    fw_cfg::SELECT | fw_cfg::DATA => {
                        data.fill_with(|| test.fw_cfg.read(self.contents));
                    }
                    _ => test.device.read(port, data),
                }
            }
        }
    }

    /// A read of memory that is not RAM.
    pub fn mmio_read(&self, address: u64, data: &mut [u8]) {
        data.fill(0xff);
        let test = &mut self.lock().test;
        if let Some(memory) = test
            .as_mut()
            .and_then(|test| test.device.memory_at(address))
        {
            data.iter_mut()
                .zip(memory)
                .for_each(|(to, from)| *to = *from);
        }
    }

    /// A write to memory that is not RAM.
    pub fn mmio_write(&self, address: u64, data: &[u8]) {
        let test = &mut self.lock().test;
        if let Some(memory) = test
            .as_mut()
            .and_then(|test| test.device.memory_at(address))
        {
            memory
                .iter_mut()
                .zip(data)
                .for_each(|(to, from)| *to = *from);
        }
    }

    /// The state. No vCPU runs.
    pub(super) fn save(&self) -> DevicesState {
        self.lock().clone()
    }

    /// Goes on from `state`. No vCPU runs yet.
    ///
    /// # Errors
    /// [`RestoreError`]; nothing has changed then.
    pub(super) fn restore(&self, state: &DevicesState) -> Result<(), RestoreError> {
        let mut here = self.lock();
        if here.test.is_some() != state.test.is_some() {
            return Err(RestoreError::OtherDevices);
        }
        let test_is_valid = state
            .test
            .as_ref()
            .is_none_or(|test| test.device.is_valid());
        for (name, is_valid) in [
            ("keyboard controller", state.i8042.is_valid()),
            ("real-time clock", state.cmos.is_valid()),
            ("test device", test_is_valid),
        ] {
            if !is_valid {
                return Err(RestoreError::Impossible(name));
            }
        }
        here.clone_from(state);
        Ok(())
    }
}

/// String output brings several bytes; the first that asks for something ends it.
fn each(data: &[u8], mut write: impl FnMut(u8) -> Option<Asked>) -> Option<Asked> {
    data.iter().find_map(|&byte| write(byte))
}

#[cfg(test)]
#[path = "pc_test.rs"]
mod tests;
