//! QEMU's devices for images that test a hypervisor: `isa-debug-exit` and `pc-testdev`.
//!
//! | port | bytes | what |
//! |---|---|---|
//! | 0xe0, 0xe8 | 4 | a register that reads back what was written |
//! | 0xe4 | 4 | write: KVM forgets the page at this address, as when the host moves it |
//! | 0xf4 | 1, 2 or 4 | write: ends the machine; the exit code is `(value << 1) \| 1` |
//! | 0x2000 | 1 each | write: interrupt line 0 to 23 high (not 0) or low |
//!
//! Memory from 0xff000000, 64 KiB: reads back what was written, and every access leaves the guest.

use serde::{Deserialize, Serialize};

use super::Asked;
use super::wires::{Level, Wires};

/// First ports of the ranges, and the last of each.
const LATCH: u16 = 0xe0;
const LATCH_LAST: u16 = 0xe3;
const FORGET: u16 = 0xe4;
const FORGET_LAST: u16 = 0xe7;
const BYTE_LATCH: u16 = 0xe8;
const BYTE_LATCH_LAST: u16 = 0xeb;
const EXIT: u16 = 0xf4;
const EXIT_LAST: u16 = 0xf7;
const LINES: u16 = 0x2000;
const LINES_LAST: u16 = 0x2017;

const MEMORY: u64 = 0xff00_0000;
const MEMORY_BYTES: usize = 0x1_0000;
const PAGE_MASK: u32 = 0xffff_f000;

/// The register and the memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestDevice {
    latch: [u8; 4],
    memory: Vec<u8>,
}

impl Default for TestDevice {
    fn default() -> Self {
        Self {
            latch: [0; 4],
            memory: vec![0; MEMORY_BYTES],
        }
    }
}

impl TestDevice {
    /// Whether the device can be in this state.
    pub fn is_valid(&self) -> bool {
        self.memory.len() == MEMORY_BYTES
    }

    /// OUT.
    pub fn write(&mut self, port: u16, data: &[u8], wires: &dyn Wires) -> Option<Asked> {
        match (port, data) {
            (LATCH..=LATCH_LAST | BYTE_LATCH..=BYTE_LATCH_LAST, _) => {
                for (to, from) in self.latch.iter_mut().skip(usize::from(port & 3)).zip(data) {
                    *to = *from;
                }
            }
            (FORGET..=FORGET_LAST, &[a, b, c, d]) => {
                let gpa = u32::from_le_bytes([a, b, c, d]) & PAGE_MASK;
                wires.forget_page(gpa.into());
            }
            (EXIT..=EXIT_LAST, _) => return Some(Asked::DebugExit(little_endian(data)?)),
            (LINES..=LINES_LAST, &[level]) => {
                let level = if level == 0 { Level::Low } else { Level::High };
                wires.set_line((port - LINES).into(), level);
            }
            _ => {}
        }
        None
    }

    /// IN. Where no register is, `data` stays as it is.
    pub fn read(&self, port: u16, data: &mut [u8]) {
        match port {
            LATCH..=LATCH_LAST | BYTE_LATCH..=BYTE_LATCH_LAST => {
                let from = self.latch.iter().skip(usize::from(port & 3));
                data.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
            }
            FORGET..=FORGET_LAST | EXIT..=EXIT_LAST | LINES..=LINES_LAST => data.fill(0),
            _ => {}
        }
    }

    /// The device's memory from guest-physical `address` on, if that is in it.
    pub fn memory_at(&mut self, address: u64) -> Option<&mut [u8]> {
        let offset = usize::try_from(address.checked_sub(MEMORY)?).ok()?;
        self.memory.get_mut(offset..)
    }
}

/// One access of 1, 2 or 4 bytes. KVM hands over string output one element at a time, so two bytes
/// are never two accesses.
fn little_endian(data: &[u8]) -> Option<u32> {
    match *data {
        [a] => Some(a.into()),
        [a, b] => Some(u16::from_le_bytes([a, b]).into()),
        [a, b, c, d] => Some(u32::from_le_bytes([a, b, c, d])),
        _ => None,
    }
}

#[cfg(test)]
#[path = "test_device_test.rs"]
mod tests;
