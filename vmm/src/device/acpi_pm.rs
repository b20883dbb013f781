//! ACPI's fixed power management registers (ACPI specification 6.5, section 4.8).
//!
//! | port | bytes | what |
//! |---|---|---|
//! | 0x600 | 2 | PM1a status: nothing ever happens, reads 0 |
//! | 0x602 | 2 | PM1a enable: keeps what the guest writes |
//! | 0x604 | 2 | PM1a control: bit 0 (SCI_EN) reads 1; SLP_EN with SLP_TYP 5, or 0, switches off |
//! | 0x608 | 4 | PM timer: 24 bits at 3.579545 MHz |
//!
//! No event ever comes, so the SCI (line 9) is never asserted. SLP_TYP 5 is what this machine's
//! tables give for S5. SLP_TYP 0 is what QEMU's give, and what small guests write without reading
//! any table.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Asked;

/// First port.
pub const FIRST: u16 = 0x600;
/// The PM1a event block: status and enable, two bytes each.
pub const PM1A_EVENT: u16 = FIRST;
/// The PM1a control register, two bytes.
pub const PM1A_CONTROL: u16 = FIRST + 4;
/// The PM timer, four bytes.
pub const PM_TIMER: u16 = FIRST + 8;
/// The interrupt of ACPI events (SCI).
pub const SCI_IRQ: u8 = 9;
/// Last port.
pub const LAST: u16 = 0x60b;

/// The SLP_TYP that switches off.
pub const SLP_TYP_OFF: u8 = 5;

const ENABLE: usize = 2;
const CONTROL: usize = 4;
const TIMER: usize = 8;

const SCI_EN: u16 = 1 << 0;
const SLP_TYP_SHIFT: u32 = 10;
const SLP_TYP_MASK: u16 = 7;
const SLP_EN: u16 = 1 << 13;

const TIMER_HZ: u128 = 3_579_545;
const TIMER_MASK: u32 = 0xff_ffff;

/// The registers that keep something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcpiPm {
    enable: u16,
    control: u16,
}

impl AcpiPm {
    fn bytes(&self, uptime: Duration) -> [u8; 12] {
        let mut bytes = [0; 12];
        let parts: [(usize, &[u8]); 3] = [
            (ENABLE, &self.enable.to_le_bytes()),
            (CONTROL, &(self.control | SCI_EN).to_le_bytes()),
            (TIMER, &timer(uptime).to_le_bytes()),
        ];
        for (at, part) in parts {
            for (to, from) in bytes.iter_mut().skip(at).zip(part) {
                *to = *from;
            }
        }
        bytes
    }

    /// IN of the ports from `offset` on.
    pub fn read(&self, offset: u16, data: &mut [u8], uptime: Duration) {
        data.fill(0xff);
        let bytes = self.bytes(uptime);
        for (to, from) in data.iter_mut().zip(bytes.iter().skip(offset.into())) {
            *to = *from;
        }
    }

    /// OUT to the ports from `offset` on.
    pub fn write(&mut self, offset: u16, data: &[u8]) -> Option<Asked> {
        let mut bytes = self.bytes(Duration::ZERO);
        for (to, from) in bytes.iter_mut().skip(offset.into()).zip(data) {
            *to = *from;
        }
        let [_, _, enable0, enable1, control0, control1, ..] = bytes;
        self.enable = u16::from_le_bytes([enable0, enable1]);
        let control = u16::from_le_bytes([control0, control1]);
        // SLP_EN reads 0, and SCI_EN is not ours to keep.
        self.control = control & !(SLP_EN | SCI_EN);
        let sleep_type = (control >> SLP_TYP_SHIFT) & SLP_TYP_MASK;
        let is_off = [0, u16::from(SLP_TYP_OFF)].contains(&sleep_type);
        (control & SLP_EN != 0 && is_off).then_some(Asked::PowerOff)
    }
}

/// The PM timer after `uptime`.
fn timer(uptime: Duration) -> u32 {
    let ticks = uptime.as_nanos() * TIMER_HZ / 1_000_000_000;
    u32::try_from(ticks & u128::from(TIMER_MASK)).unwrap_or(0)
}

#[cfg(test)]
#[path = "acpi_pm_test.rs"]
mod tests;
