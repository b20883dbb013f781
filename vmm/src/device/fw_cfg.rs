//! QEMU's firmware configuration device, as far as test images read it.
//!
//! | port | read | write |
//! |---|---|---|
//! | 0x510 | the item's next byte | 2 bytes: which item |
//! | 0x511 | the item's next byte | nothing |
//!
//! | item | bytes | what |
//! |---|---|---|
//! | 0x00 | 4 | `QEMU` |
//! | 0x01 | 4 | 1: the ports only, no DMA |
//! | 0x02 | 16 | UUID: 0 |
//! | 0x03 | 8 | bytes of memory |
//! | 0x04 | 2 | 1: no graphics |
//! | 0x05 | 2 | CPUs |
//! | 0x0f | 2 | CPUs at most: as many |
//! | 0x19 | 4 | 0 files |
//!
//! Any other item, and the bytes behind an item's end, read 0 (QEMU, docs/specs/fw_cfg.rst).

use serde::{Deserialize, Serialize};

/// First port.
pub const SELECT: u16 = 0x510;
/// Second port.
pub const DATA: u16 = 0x511;

const SIGNATURE: u16 = 0x00;
const INTERFACES: u16 = 0x01;
const RAM_BYTES: u16 = 0x03;
const NO_GRAPHICS: u16 = 0x04;
const CPUS: u16 = 0x05;
const CPUS_MAX: u16 = 0x0f;

/// What it tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contents {
    /// Bytes of guest memory.
    pub memory_bytes: u64,
    /// vCPUs.
    pub vcpus: u32,
}

/// Where the guest reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FwCfg {
    item: u16,
    offset: u32,
}

impl FwCfg {
    /// OUT of 2 bytes to 0x510.
    pub fn select(&mut self, item: u16) {
        *self = Self { item, offset: 0 };
    }

    /// IN of a byte.
    pub fn read(&mut self, contents: Contents) -> u8 {
        let cpus = u16::try_from(contents.vcpus).unwrap_or(u16::MAX);
        let byte_of = |bytes: &[u8]| {
            usize::try_from(self.offset)
                .ok()
                .and_then(|offset| bytes.get(offset))
                .copied()
        };
        let byte = match self.item {
            SIGNATURE => byte_of(b"QEMU"),
            INTERFACES => byte_of(&1_u32.to_le_bytes()),
            RAM_BYTES => byte_of(&contents.memory_bytes.to_le_bytes()),
            NO_GRAPHICS => byte_of(&1_u16.to_le_bytes()),
            CPUS | CPUS_MAX => byte_of(&cpus.to_le_bytes()),
            _ => None,
        };
        self.offset = self.offset.saturating_add(1);
        byte.unwrap_or(0)
    }
}

#[cfg(test)]
#[path = "fw_cfg_test.rs"]
mod tests;
