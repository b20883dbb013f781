//! The real-time clock and its battery-backed memory (MC146818A).
//!
//! | port | read | write |
//! |---|---|---|
//! | 0x70 | all ones | index of a register; bit 7 masks NMIs, which this machine has none of |
//! | 0x71 | the register | the register |
//!
//! | register | what |
//! |---|---|
//! | 0x00, 0x02, 0x04, 0x06 to 0x09, 0x32 | the host's time, UTC. Writes change nothing |
//! | 0x0a | divider; bit 7 ("update in progress") in the last 244 µs of a second |
//! | 0x0b | 24 hours, BCD; what the guest writes holds |
//! | 0x0c | no interrupt is pending: none ever comes |
//! | 0x0d | the battery is good |
//! | 0x0f | shutdown status, the guest's own |
//! | 0x14 | equipment: a coprocessor |
//! | 0x15, 0x16 | KiB of memory below 640 KiB |
//! | 0x17, 0x18 and 0x30, 0x31 | KiB above 1 MiB, at most 65535 |
//! | 0x34, 0x35 | 64 KiB units above 16 MiB and below 4 GiB |
//! | 0x5b to 0x5d | 64 KiB units above 4 GiB |
//! | 0x5f | CPUs less one |
//!
//! The memory and CPU registers are those that QEMU's firmware reads.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::wires::Wires;
use crate::memory::MemorySize;

/// First port.
pub const INDEX: u16 = 0x70;
/// Second port.
pub const DATA: u16 = 0x71;

const REGISTERS: usize = 128;

const SECONDS: u8 = 0x00;
const MINUTES: u8 = 0x02;
const HOURS: u8 = 0x04;
const WEEKDAY: u8 = 0x06;
const DAY: u8 = 0x07;
const MONTH: u8 = 0x08;
const YEAR: u8 = 0x09;
const STATUS_A: u8 = 0x0a;
const STATUS_B: u8 = 0x0b;
const STATUS_C: u8 = 0x0c;
const STATUS_D: u8 = 0x0d;
const EQUIPMENT: u8 = 0x14;
/// Where the century is.
pub const CENTURY: u8 = 0x32;
/// The clock's interrupt, which a guest is told of and never gets.
pub const IRQ: u8 = 8;

/// A 32,768 Hz crystal and a 1,024 Hz periodic rate, as after power-on on a PC.
const A_DIVIDER: u8 = 0x26;
const A_UPDATE_IN_PROGRESS: u8 = 1 << 7;
const B_24_HOURS: u8 = 1 << 1;
const B_BINARY: u8 = 1 << 2;
const D_BATTERY_GOOD: u8 = 1 << 7;
const COPROCESSOR: u8 = 1 << 1;
const AFTERNOON: u8 = 1 << 7;

/// How long before the second the update is announced (MC146818A data sheet, t_BUC).
const UPDATE_ANNOUNCED: Duration = Duration::from_micros(244);
const SECOND: Duration = Duration::from_secs(1);

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// The clock and its memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cmos {
    index: u8,
    registers: Vec<u8>,
}

impl Cmos {
    /// Of a machine with `memory` and `vcpus`.
    pub fn new(memory: MemorySize, vcpus: u32) -> Self {
        let mut cmos = Self {
            index: 0,
            registers: vec![0; REGISTERS],
        };
        let (below, above) =
            memory
                .ranges()
                .iter()
                .fold((0, 0), |(below, above), range| match range.start {
                    0 => (range.end, above),
                    _ => (below, range.end - range.start),
                });
        let word = |number: u64| u16::try_from(number).unwrap_or(u16::MAX).to_le_bytes();
        let extended = word(below.saturating_sub(MIB) >> 10);
        let [high0, high1, high2, ..] = (above >> 16).min(0xff_ffff).to_le_bytes();
        let known = [
            (STATUS_A, &[A_DIVIDER, B_24_HOURS, 0, D_BATTERY_GOOD][..]),
            (EQUIPMENT, &[COPROCESSOR]),
            (0x15, &word((below >> 10).min(640))),
            (0x17, &extended),
            (0x30, &extended),
            (
                0x34,
                &word(below.min(4 * GIB).saturating_sub(16 * MIB) >> 16),
            ),
            (0x5b, &[high0, high1, high2]),
            (
                0x5f,
                &[u8::try_from(vcpus.saturating_sub(1)).unwrap_or(u8::MAX)],
            ),
        ];
        for (first, bytes) in known {
            for (register, byte) in (first..).zip(bytes) {
                cmos.set(register, *byte);
            }
        }
        cmos
    }

    /// Whether a clock can be in this state.
    pub fn is_valid(&self) -> bool {
        self.registers.len() == REGISTERS
    }

    fn get(&self, register: u8) -> u8 {
        self.registers
            .get(usize::from(register))
            .copied()
            .unwrap_or(0)
    }

    fn set(&mut self, register: u8, byte: u8) {
        if let Some(value) = self.registers.get_mut(usize::from(register)) {
            *value = byte;
        }
    }

    /// OUT to 0x70.
    pub fn select(&mut self, index: u8) {
        self.index = index & 0x7f;
    }

    /// OUT to 0x71.
    pub fn write(&mut self, byte: u8) {
        match self.index {
            SECONDS | MINUTES | HOURS | WEEKDAY..=YEAR | CENTURY | STATUS_C | STATUS_D => {}
            STATUS_A => self.set(STATUS_A, byte & !A_UPDATE_IN_PROGRESS),
            index => self.set(index, byte),
        }
    }

    /// IN from 0x71.
    pub fn read(&self, wires: &dyn Wires) -> u8 {
        match self.index {
            index @ (SECONDS | MINUTES | HOURS | WEEKDAY..=YEAR | CENTURY) => {
                self.time(index, wires.time_of_day())
            }
            STATUS_A => self.get(STATUS_A) | update_in_progress(wires.time_of_day()),
            index => self.get(index),
        }
    }

    /// The register `index` of the clock at `since_1970`.
    fn time(&self, index: u8, since_1970: Duration) -> u8 {
        let seconds = i64::try_from(since_1970.as_secs()).unwrap_or(i64::MAX);
        // Only years above 9999 are refused.
        let now =
            OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let year = u16::try_from(now.year()).unwrap_or(0);
        let part = |number: u16| u8::try_from(number % 100).unwrap_or(0);
        match index {
            SECONDS => self.number(now.second()),
            MINUTES => self.number(now.minute()),
            HOURS => self.hours(now.hour()),
            WEEKDAY => self.number(now.weekday().number_from_sunday()),
            DAY => self.number(now.day()),
            MONTH => self.number(now.month().into()),
            YEAR => self.number(part(year)),
            _ => self.number(part(year / 100)),
        }
    }

    fn hours(&self, hours: u8) -> u8 {
        if self.get(STATUS_B) & B_24_HOURS != 0 {
            return self.number(hours);
        }
        let half = if hours >= 12 { AFTERNOON } else { 0 };
        let twelfth = match hours % 12 {
            0 => 12,
            hours => hours,
        };
        self.number(twelfth) | half
    }

    fn number(&self, number: u8) -> u8 {
        if self.get(STATUS_B) & B_BINARY != 0 {
            number
        } else {
            ((number / 10) << 4) | (number % 10)
        }
    }
}

fn update_in_progress(since_1970: Duration) -> u8 {
    let into_second = Duration::from_nanos(since_1970.subsec_nanos().into());
    if into_second + UPDATE_ANNOUNCED >= SECOND {
        A_UPDATE_IN_PROGRESS
    } else {
        0
    }
}

#[cfg(test)]
#[path = "cmos_test.rs"]
mod tests;
