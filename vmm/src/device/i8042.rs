//! The keyboard controller, with nothing plugged in.
//!
//! | port | read | write |
//! |---|---|---|
//! | 0x60 | output buffer | the parameter of a command, or a byte for the keyboard |
//! | 0x64 | status | command |
//!
//! Operating systems look for it, and many restart a PC through it. What is sent to a keyboard is
//! answered as the controller does when no keyboard pulls its clock line: 0xfe and the status's
//! time-out bit, so that nobody waits for it (IBM PS/2 Hardware Interface Technical Reference,
//! "Keyboard and auxiliary device controller").

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::Asked;
use super::wires::Wires;

/// First port.
pub const DATA: u16 = 0x60;
/// Second port.
pub const COMMAND: u16 = 0x64;

const KEYBOARD_LINE: u32 = 1;
const AUX_LINE: u32 = 12;

/// Answers nobody has read: a guest that reads none makes no more of them.
const OUTPUT_BYTES_MAX: usize = 16;

const STATUS_OUTPUT_FULL: u8 = 1 << 0;
const STATUS_SYSTEM: u8 = 1 << 2;
/// The keyboard lock is open.
const STATUS_UNLOCKED: u8 = 1 << 4;
const STATUS_AUX: u8 = 1 << 5;
const STATUS_TIMEOUT: u8 = 1 << 6;

const MODE_KEYBOARD_INTERRUPT: u8 = 1 << 0;
const MODE_AUX_INTERRUPT: u8 = 1 << 1;
const MODE_SYSTEM: u8 = 1 << 2;
const MODE_TRANSLATE: u8 = 1 << 6;

const READ_MODE: u8 = 0x20;
const WRITE_MODE: u8 = 0x60;
const AUX_TEST: u8 = 0xa9;
const SELF_TEST: u8 = 0xaa;
const KEYBOARD_TEST: u8 = 0xab;
const READ_OUTPUT_PORT: u8 = 0xd0;
const WRITE_OUTPUT_PORT: u8 = 0xd1;
const WRITE_KEYBOARD_BUFFER: u8 = 0xd2;
const WRITE_AUX_BUFFER: u8 = 0xd3;
const WRITE_AUX: u8 = 0xd4;
const PULSE_FIRST: u8 = 0xf0;
/// Its command that pulses the reset line.
pub const RESET: u8 = 0xfe;

const SELF_TEST_PASSED: u8 = 0x55;
const LINE_WORKS: u8 = 0x00;
/// A clock line that nobody pulls up.
const CLOCK_STUCK_LOW: u8 = 0x01;
const RESEND: u8 = 0xfe;

/// Bit 0 of the output port, and of the pulse command: the processor's reset line, active low.
const NO_RESET: u8 = 1 << 0;
/// Bit 1: address line 20.
const A20: u8 = 1 << 1;

/// Where an answer seems to come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum From {
    Controller,
    /// A device that did not answer.
    Keyboard,
    Aux,
}

/// The controller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct I8042 {
    mode: u8,
    output_port: u8,
    /// The command whose parameter comes next.
    command: Option<u8>,
    output: VecDeque<(From, u8)>,
}

impl Default for I8042 {
    fn default() -> Self {
        Self {
            mode: MODE_SYSTEM | MODE_TRANSLATE,
            output_port: NO_RESET | A20,
            command: None,
            output: VecDeque::new(),
        }
    }
}

impl I8042 {
    /// Whether a controller can be in this state.
    pub fn is_valid(&self) -> bool {
        self.output.len() <= OUTPUT_BYTES_MAX
    }

    /// IN from 0x64.
    pub fn status(&self) -> u8 {
        let flags = match self.output.front() {
            None => 0,
            Some((From::Controller, _)) => STATUS_OUTPUT_FULL,
            Some((From::Keyboard, _)) => STATUS_OUTPUT_FULL | STATUS_TIMEOUT,
            Some((From::Aux, _)) => STATUS_OUTPUT_FULL | STATUS_TIMEOUT | STATUS_AUX,
        };
        flags | STATUS_UNLOCKED | (self.mode & STATUS_SYSTEM)
    }

    /// IN from 0x60.
    pub fn read(&mut self, wires: &dyn Wires) -> u8 {
        let Some((_, byte)) = self.output.pop_front() else {
            return 0;
        };
        self.tell(wires);
        byte
    }

    /// OUT to 0x64.
    pub fn command(&mut self, command: u8, wires: &dyn Wires) -> Option<Asked> {
        self.command = None;
        match command {
            READ_MODE => self.answer(From::Controller, self.mode, wires),
            AUX_TEST => self.answer(From::Controller, CLOCK_STUCK_LOW, wires),
            KEYBOARD_TEST => self.answer(From::Controller, LINE_WORKS, wires),
            SELF_TEST => self.answer(From::Controller, SELF_TEST_PASSED, wires),
            READ_OUTPUT_PORT => self.answer(From::Controller, self.output_port, wires),
            WRITE_MODE
            | WRITE_OUTPUT_PORT
            | WRITE_KEYBOARD_BUFFER
            | WRITE_AUX_BUFFER
            | WRITE_AUX => {
                self.command = Some(command);
            }
            PULSE_FIRST.. if command & NO_RESET == 0 => return Some(Asked::Reset),
            _ => {}
        }
        None
    }

    /// OUT to 0x60.
    pub fn write(&mut self, byte: u8, wires: &dyn Wires) -> Option<Asked> {
        match self.command.take() {
            Some(WRITE_MODE) => self.mode = byte,
            Some(WRITE_OUTPUT_PORT) if byte & NO_RESET == 0 => return Some(Asked::Reset),
            Some(WRITE_OUTPUT_PORT) => self.output_port = byte,
            // Without a mouse port the byte does not come back as the mouse's.
            Some(WRITE_KEYBOARD_BUFFER | WRITE_AUX_BUFFER) => {
                self.answer(From::Controller, byte, wires);
            }
            Some(WRITE_AUX) => self.answer(From::Aux, RESEND, wires),
            _ => self.answer(From::Keyboard, RESEND, wires),
        }
        None
    }

    fn answer(&mut self, from: From, byte: u8, wires: &dyn Wires) {
        if self.output.len() >= OUTPUT_BYTES_MAX {
            return;
        }
        self.output.push_back((from, byte));
        if self.output.len() == 1 {
            self.tell(wires);
        }
    }

    /// An edge for the byte that can be read now.
    fn tell(&self, wires: &dyn Wires) {
        match self.output.front() {
            Some((From::Keyboard | From::Controller, _))
                if self.mode & MODE_KEYBOARD_INTERRUPT != 0 =>
            {
                wires.pulse(KEYBOARD_LINE);
            }
            Some((From::Aux, _)) if self.mode & MODE_AUX_INTERRUPT != 0 => wires.pulse(AUX_LINE),
            _ => {}
        }
    }
}

#[cfg(test)]
#[path = "i8042_test.rs"]
mod tests;
