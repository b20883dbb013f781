//! What answers on the ports, and on memory that is not RAM.

pub mod acpi_pm;
pub mod cmos;
pub mod counter;
pub mod fw_cfg;
pub mod i8042;
pub mod panic_line;
pub mod pc;
pub mod ports;
pub mod serial;
pub mod serial_input;
pub mod serial_state;
pub mod test_device;
#[cfg(test)]
mod test_wires;
pub mod wires;

use serde::{Deserialize, Serialize};

/// Which devices a machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceSet {
    /// What the payload needs: the serial port without interrupt, the counting device, and a reset.
    Bare,
    /// What an operating system expects of a PC.
    Pc,
    /// The same, and what images expect that test a hypervisor.
    TestImage,
}

/// What a guest asks of the machine through a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Start again.
    Reset,
    /// Switch off.
    PowerOff,
    /// It says that it cannot go on.
    GuestPanic,
    /// End with this value (the debug-exit port).
    DebugExit(u32),
}
