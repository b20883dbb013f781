//! What a serial port is made of between two accesses, as a snapshot keeps it.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use vm_superio::serial::SerialState as Registers;

use super::panic_line::PanicLine;
use super::serial_input::InputState;

/// Room of the receiver's FIFO in the device model.
const RECEIVED_BYTES_MAX: usize = 64;
/// What no reader took before the vCPU had to go stops growing here. A pause adds one OUT per vCPU.
pub(super) const UNSENT_BYTES_MAX: usize = 1 << 20;

/// Registers and bytes of a serial port. Registers are named as in the 16550A's data sheet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SerialState {
    /// Divisor latch, low and high byte.
    pub divisor_latch: [u8; 2],
    /// IER.
    pub interrupt_enable: u8,
    /// IIR.
    pub interrupt_identification: u8,
    /// LCR.
    pub line_control: u8,
    /// LSR.
    pub line_status: u8,
    /// MCR.
    pub modem_control: u8,
    /// MSR.
    pub modem_status: u8,
    /// SCR.
    pub scratch: u8,
    /// What the guest has not read yet.
    pub received: Vec<u8>,
    /// What the guest has sent and no reader has taken yet.
    pub unsent: Vec<u8>,
}

/// What is between a serial port and its user, beside [`SerialState`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsoleState {
    pub(super) input: InputState,
    pub(super) panic_line: PanicLine,
}

impl ConsoleState {
    /// Whether a console can be in this state.
    pub fn is_valid(&self) -> bool {
        self.input.is_valid()
    }
}

/// Whether a guest's driver may be waiting for an interrupt of a port in this state: for room to
/// send, or for bytes to read.
pub(super) fn waits_for_interrupt(registers: &Registers) -> bool {
    /// IER: received data available.
    const RECEIVED: u8 = 1 << 0;
    /// IIR: nothing pending.
    const NOTHING: u8 = 1 << 0;
    let reads = registers.interrupt_enable & RECEIVED != 0 && !registers.in_buffer.is_empty();
    reads || registers.interrupt_identification & NOTHING == 0
}

/// Why a state cannot be taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// No serial port has that much.
    #[error(
        "the serial port's state has {bytes} {what} bytes, more than the {most} it can have; \
         it was not saved by this program"
    )]
    TooMuch {
        /// `received` or `unsent`.
        what: &'static str,
        /// How many there are.
        bytes: usize,
        /// How many there can be.
        most: usize,
    },
}

impl SerialState {
    pub(super) fn new(registers: Registers, unsent: &VecDeque<u8>) -> Self {
        Self {
            divisor_latch: [registers.baud_divisor_low, registers.baud_divisor_high],
            interrupt_enable: registers.interrupt_enable,
            interrupt_identification: registers.interrupt_identification,
            line_control: registers.line_control,
            line_status: registers.line_status,
            modem_control: registers.modem_control,
            modem_status: registers.modem_status,
            scratch: registers.scratch,
            received: registers.in_buffer,
            unsent: unsent.iter().copied().collect(),
        }
    }

    /// The device model's own state, if this can be one.
    pub(super) fn registers(&self) -> Result<Registers, RestoreError> {
        let limits = [
            ("received", self.received.len(), RECEIVED_BYTES_MAX),
            ("unsent", self.unsent.len(), UNSENT_BYTES_MAX),
        ];
        for (what, bytes, most) in limits {
            if bytes > most {
                return Err(RestoreError::TooMuch { what, bytes, most });
            }
        }
        let [baud_divisor_low, baud_divisor_high] = self.divisor_latch;
        Ok(Registers {
            baud_divisor_low,
            baud_divisor_high,
            interrupt_enable: self.interrupt_enable,
            interrupt_identification: self.interrupt_identification,
            line_control: self.line_control,
            line_status: self.line_status,
            modem_control: self.modem_control,
            modem_status: self.modem_status,
            scratch: self.scratch,
            in_buffer: self.received.clone(),
        })
    }
}
