//! Port I/O, and memory that is not RAM: the serial port, the counting device and, where the machine
//! has them, the devices of a PC. Everything else reads as all ones and takes writes in silence, as
//! an empty ISA bus does.

use super::Asked;
use super::counter::Counter;
use super::i8042;
use super::pc::{self, PcDevices, PcState};
use super::serial::{SerialPort, Wait};
use super::serial_state::SerialState;

/// First port of the first serial port.
pub const COM1: u16 = 0x3f8;
const COM1_LAST: u16 = COM1 + 7;
/// Its interrupt line.
pub const COM1_IRQ: u8 = 4;

/// All ports but those of the stub page.
#[derive(Debug)]
pub struct Ports {
    /// COM1.
    pub serial: SerialPort,
    /// The counting device. Not behind [`Self::write`] and [`Self::read`]: who asks matters to it, and
    /// only a guest with a stub page has it.
    pub counter: Counter,
    /// What a PC has besides, unless the machine is bare.
    pub pc: Option<PcDevices>,
}

impl Ports {
    /// OUT. String output repeats on one port. `wait` is asked while a reader of the serial port
    /// keeps the thread waiting.
    pub fn write(&self, port: u16, data: &[u8], wait: impl Fn() -> Wait) -> Option<Asked> {
        let asked = match (port, data, &self.pc) {
            (COM1..=COM1_LAST, _, _) => {
                self.serial.write(offset(port), data, wait);
                None
            }
            (_, _, Some(pc)) => pc.write(port, data),
            (i8042::COMMAND, [i8042::RESET], None) => Some(Asked::Reset),
            _ => None,
        };
        match asked {
            Some(Asked::Reset) if self.serial.saw_kernel_panic() => Some(Asked::GuestPanic),
            asked => asked,
        }
    }

    /// IN.
    pub fn read(&self, port: u16, data: &mut [u8]) {
        match (port, data, &self.pc) {
            (COM1..=COM1_LAST, data, _) => data.fill_with(|| self.serial.read(offset(port))),
            (_, data, Some(pc)) => pc.read(port, data),
            (i8042::COMMAND, [byte], None) => *byte = 0, // the i8042's buffers are empty
            (_, data, None) => data.fill(0xff),
        }
    }

    /// A read of memory that is not RAM.
    pub fn mmio_read(&self, address: u64, data: &mut [u8]) {
        match &self.pc {
            Some(pc) => pc.mmio_read(address, data),
            None => data.fill(0xff),
        }
    }

    /// A write to memory that is not RAM.
    pub fn mmio_write(&self, address: u64, data: &[u8]) {
        if let Some(pc) = &self.pc {
            pc.mmio_write(address, data);
        }
    }

    /// The serial port's state, and the PC's beside it; none on a bare machine. No vCPU runs.
    pub fn save(&self) -> (SerialState, Option<PcState>) {
        let (serial, console) = self.serial.save_both();
        let pc = self.pc.as_ref().map(|pc| PcState {
            devices: pc.save(),
            console,
        });
        (serial, pc)
    }

    /// The PC's part of [`Self::save`].
    pub fn save_pc(&self) -> Option<PcState> {
        self.save().1
    }

    /// Goes on from `state`, after the serial port's own. No vCPU runs yet.
    ///
    /// # Errors
    /// [`pc::RestoreError`]; nothing has changed then.
    pub fn restore_pc(&self, state: &PcState) -> Result<(), pc::RestoreError> {
        let pc = self.pc.as_ref().ok_or(pc::RestoreError::OtherDevices)?;
        if !state.console.is_valid() {
            return Err(pc::RestoreError::Impossible("console"));
        }
        pc.restore(&state.devices)?;
        self.serial.restore_console(&state.console);
        Ok(())
    }
}

fn offset(port: u16) -> u8 {
    (port - COM1).to_le_bytes()[0]
}

#[cfg(test)]
#[path = "ports_test.rs"]
mod tests;
