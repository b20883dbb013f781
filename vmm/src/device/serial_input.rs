//! What the user sends, on its way to the guest's receiver.
//!
//! A port whose driver is not there yet loses what comes: an operating system that opens a serial
//! port reads once and throws away what it finds. So bytes wait here until the guest listens: it
//! wants an interrupt for received data, or it reads the line status over and over. Nothing
//! overruns the FIFO, and nothing goes into it in loopback mode.

use std::collections::VecDeque;
use std::io::Write;

use serde::{Deserialize, Serialize};
use vm_superio::serial::SerialEvents;
use vm_superio::{Serial, Trigger};
use vmm_sys_util::eventfd::EventFd;

/// More than this is not taken at once.
pub const INPUT_BYTES_AT_ONCE: usize = 4096;
/// What waits for the guest stops growing here.
const WAITING_BYTES_MAX: usize = 16 * INPUT_BYTES_AT_ONCE;
/// And so do breaks.
const WAITING_BREAKS_MAX: usize = 16;

const INTERRUPT_ENABLE: u8 = 1;
const LINE_CONTROL: u8 = 3;
const MODEM_CONTROL: u8 = 4;
const LINE_STATUS: u8 = 5;

const RECEIVED_INTERRUPT: u8 = 1 << 0;
const DIVISOR_LATCH: u8 = 1 << 7;
const LOOPBACK: u8 = 1 << 4;
const BREAK: u8 = 1 << 4;

/// A driver that sends reads the line status once or twice between two of its writes. One that
/// reads it as often as this waits for the receiver.
const LISTENING_READS: u8 = 8;

/// Whether more can be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// At least [`INPUT_BYTES_AT_ONCE`].
    Enough,
    /// Too little. What [`connect_input`](super::serial::SerialPort::connect_input) gave becomes
    /// readable when there is enough.
    None,
}

/// Bytes that wait for the guest.
#[derive(Debug, Default)]
pub(super) struct Input {
    waiting: VecDeque<u8>,
    /// Breaks that wait, each by how many of the bytes in `waiting` come before it. No part of a
    /// snapshot: a key that the user can press again.
    breaks: VecDeque<usize>,
    /// The next byte in the FIFO, a 0, is a break.
    has_break: bool,
    /// Reads of the line status since the guest did anything else.
    status_reads: u8,
    /// Rung when there is room again.
    bell: Option<EventFd>,
    /// Somebody was told that there is no room.
    owes_bell: bool,
}

/// What waits, for a snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct InputState {
    waiting: Vec<u8>,
    has_break: bool,
}

impl InputState {
    pub(super) fn is_valid(&self) -> bool {
        self.waiting.len() <= WAITING_BYTES_MAX
    }
}

impl Input {
    pub(super) fn set_bell(&mut self, bell: EventFd) {
        self.bell = Some(bell);
    }

    /// Takes bytes from the user. More than there is room for would be the user's mistake, and is
    /// dropped.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let room = WAITING_BYTES_MAX.saturating_sub(self.waiting.len());
        self.waiting.extend(bytes.iter().take(room));
    }

    /// Whether more can be taken; whoever is told that it cannot is called.
    pub(super) fn room(&mut self) -> Room {
        if self.has_room() {
            return Room::Enough;
        }
        self.owes_bell = true;
        Room::None
    }

    fn has_room(&self) -> bool {
        self.waiting.len() + INPUT_BYTES_AT_ONCE <= WAITING_BYTES_MAX
    }

    /// The guest wrote some register.
    pub(super) fn guest_wrote(&mut self) {
        self.status_reads = 0;
    }

    /// The guest reads `value` from register `offset`; what it sees is returned.
    pub(super) fn guest_read(&mut self, offset: u8, value: u8) -> u8 {
        if offset != LINE_STATUS {
            self.status_reads = 0;
            return value;
        }
        self.status_reads = self.status_reads.saturating_add(1);
        if std::mem::take(&mut self.has_break) {
            value | BREAK
        } else {
            value
        }
    }

    /// Moves what waits into the receiver's FIFO, as far as it fits.
    pub(super) fn feed<T: Trigger, E: SerialEvents, W: Write>(
        &mut self,
        serial: &mut Serial<T, E, W>,
    ) {
        while !self.is_idle() && !self.has_break && self.is_heard(serial) {
            let before_break = self.breaks.front().copied().unwrap_or(usize::MAX);
            if before_break == 0 {
                // Its mark goes with the next byte that is read.
                if !serial.state().in_buffer.is_empty() {
                    break;
                }
                self.breaks.pop_front();
                self.has_break = serial.enqueue_raw_bytes(&[0]).is_ok();
                continue;
            }
            let (bytes, _) = self.waiting.as_slices();
            let most = serial.fifo_capacity().min(before_break);
            let bytes = &bytes[..bytes.len().min(most)];
            // Full, or a line that cannot be raised: then later.
            let Ok(taken @ 1..) = serial.enqueue_raw_bytes(bytes) else {
                break;
            };
            drop(self.waiting.drain(..taken));
            self.breaks.iter_mut().for_each(|before| *before -= taken);
        }
        if self.owes_bell && self.has_room() {
            self.owes_bell = false;
            if let Some(bell) = &self.bell {
                // Only a counter that is full refuses, and then it is readable.
                let _ = bell.write(1);
            }
        }
    }

    /// A break, after what is on its way. One that nothing comes before is lost on a guest that does
    /// not listen, as on a real line.
    pub(super) fn send_break<T: Trigger, E: SerialEvents, W: Write>(
        &mut self,
        serial: &mut Serial<T, E, W>,
    ) {
        let is_first = self.is_idle() && serial.state().in_buffer.is_empty();
        let is_lost = is_first && !self.is_heard(serial);
        if !is_lost && self.breaks.len() < WAITING_BREAKS_MAX {
            self.breaks.push_back(self.waiting.len());
            self.feed(serial);
        }
    }

    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.breaks.is_empty()
    }

    /// Whether the guest listens. None of these reads changes a register.
    fn is_heard<T: Trigger, E: SerialEvents, W: Write>(
        &self,
        serial: &mut Serial<T, E, W>,
    ) -> bool {
        let loops = serial.read(MODEM_CONTROL) & LOOPBACK != 0;
        let shows_divisor = serial.read(LINE_CONTROL) & DIVISOR_LATCH != 0;
        let by_interrupt =
            !shows_divisor && serial.read(INTERRUPT_ENABLE) & RECEIVED_INTERRUPT != 0;
        !loops && (by_interrupt || self.status_reads >= LISTENING_READS)
    }

    pub(super) fn save(&self) -> InputState {
        InputState {
            waiting: self.waiting.iter().copied().collect(),
            has_break: self.has_break,
        }
    }

    pub(super) fn restore(&mut self, state: &InputState) {
        self.waiting = state.waiting.iter().copied().collect();
        self.has_break = state.has_break;
        self.breaks.clear();
    }
}

#[cfg(test)]
#[path = "serial_input_test.rs"]
mod tests;
