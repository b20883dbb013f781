//! The MP table, for kernels that are built without ACPI.
//!
//! Format: Intel's "MultiProcessor Specification", version 1.4, chapter 4.

use super::layout;
use super::platform::{IO_APIC_GPA, IO_APIC_ID, LOCAL_APIC_GPA, PIT_GSI, SCI_IRQ};
use crate::cpu::topology::XAPIC_ID_MAX;

const POINTER_BYTES: u8 = 16;
const HEADER_BYTES: usize = 44;
const REVISION: u8 = 4;
const OEM_ID: &[u8; 8] = b"VMM     ";
const PRODUCT_ID: &[u8; 12] = b"VMM         ";

/// Entry types (4.3).
const PROCESSOR: u8 = 0;
const BUS: u8 = 1;
const IO_APIC: u8 = 2;
const IO_INTERRUPT: u8 = 3;
const LOCAL_INTERRUPT: u8 = 4;

/// Version of an integrated local APIC, as KVM's.
const LOCAL_APIC_VERSION: u8 = 0x14;
/// Version of KVM's I/O APIC.
const IO_APIC_VERSION: u8 = 0x11;
const ENABLED: u8 = 1 << 0;
const BOOT_PROCESSOR: u8 = 1 << 1;
/// CPUID.1 as far as the entry has it: family 6; FPU and APIC. Kernels ask CPUID itself.
const SIGNATURE: u32 = 0x600;
const FEATURES: u32 = 1 << 0 | 1 << 9;

const ISA_BUS_ID: u8 = 0;
/// Interrupt types.
const INT: u8 = 0;
const NMI: u8 = 1;
const EXT_INT: u8 = 3;
/// Polarity and trigger mode as the bus has them, or given: high, level.
const CONFORMS: u16 = 0;
const ACTIVE_HIGH_LEVEL: u16 = 0xd;
/// All local APICs.
const EVERY_APIC: u8 = 0xff;

/// The table and the structure that points to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MpTable {
    /// The floating pointer structure, to be placed at [`MpTable::POINTER`].
    pub pointer: [u8; 16],
    /// The table, to be placed at [`layout::MP_TABLE`].
    pub table: Vec<u8>,
}

impl MpTable {
    /// Where the floating pointer structure is: in the first KiB of the EBDA, which is also the
    /// last of the first 640 KiB. The EBDA's first byte is its size.
    pub const POINTER: u64 = layout::LOW_RAM_END + 0x10;

    /// Describes CPUs of these APIC IDs, the boot processor first, and the interrupts of a PC. CPUs
    /// whose ID has more than 8 bits are left out: the format has no room for them.
    pub fn build(apic_ids: &[u32]) -> Self {
        let mut entries = Entries::default();
        for (index, &id) in apic_ids.iter().enumerate() {
            if let (Ok(id), true) = (u8::try_from(id), id <= XAPIC_ID_MAX) {
                let boot = if index == 0 { BOOT_PROCESSOR } else { 0 };
                entries.processor(id, ENABLED | boot);
            }
        }
        entries.push(BUS, &[ISA_BUS_ID, b'I', b'S', b'A', b' ', b' ', b' ']);
        let [a, b, c, d] = IO_APIC_GPA.to_le_bytes();
        entries.push(IO_APIC, &[IO_APIC_ID, IO_APIC_VERSION, ENABLED, a, b, c, d]);
        // Where the PIT's interrupt arrives there is none of the cascaded PIC's.
        for irq in (0..16).filter(|irq| *irq != PIT_GSI) {
            let pin = if irq == 0 { PIT_GSI } else { irq };
            let flags = if irq == SCI_IRQ {
                ACTIVE_HIGH_LEVEL
            } else {
                CONFORMS
            };
            entries.interrupt(IO_INTERRUPT, INT, flags, irq, [IO_APIC_ID, pin]);
        }
        entries.interrupt(LOCAL_INTERRUPT, EXT_INT, CONFORMS, 0, [EVERY_APIC, 0]);
        entries.interrupt(LOCAL_INTERRUPT, NMI, CONFORMS, 0, [EVERY_APIC, 1]);
        Self {
            pointer: pointer(),
            table: entries.finish(),
        }
    }
}

#[derive(Default)]
struct Entries {
    count: u16,
    bytes: Vec<u8>,
}

impl Entries {
    fn push(&mut self, kind: u8, body: &[u8]) {
        self.count += 1;
        self.bytes.push(kind);
        self.bytes.extend_from_slice(body);
    }

    fn processor(&mut self, id: u8, flags: u8) {
        let mut body = vec![id, LOCAL_APIC_VERSION, flags];
        body.extend_from_slice(&SIGNATURE.to_le_bytes());
        body.extend_from_slice(&FEATURES.to_le_bytes());
        body.extend_from_slice(&[0; 8]);
        self.push(PROCESSOR, &body);
    }

    fn interrupt(&mut self, entry: u8, kind: u8, flags: u16, irq: u8, destination: [u8; 2]) {
        let [low, high] = flags.to_le_bytes();
        let [apic, pin] = destination;
        self.push(entry, &[kind, low, high, ISA_BUS_ID, irq, apic, pin]);
    }

    fn finish(self) -> Vec<u8> {
        const CHECKSUM_AT: usize = 7;
        // 255 CPUs take 5.3 KiB.
        let length = u16::try_from(HEADER_BYTES + self.bytes.len()).unwrap_or(u16::MAX);
        let mut table = Vec::with_capacity(HEADER_BYTES + self.bytes.len());
        table.extend_from_slice(b"PCMP");
        table.extend_from_slice(&length.to_le_bytes());
        table.extend_from_slice(&[REVISION, 0]);
        table.extend_from_slice(OEM_ID);
        table.extend_from_slice(PRODUCT_ID);
        // No table of the OEM's.
        table.extend_from_slice(&[0; 6]);
        table.extend_from_slice(&self.count.to_le_bytes());
        table.extend_from_slice(&LOCAL_APIC_GPA.to_le_bytes());
        // No extended table.
        table.extend_from_slice(&[0; 4]);
        table.extend_from_slice(&self.bytes);
        table[CHECKSUM_AT] = checksum(&table);
        table
    }
}

/// The floating pointer structure (4.1). Its features are 0: a configuration table is there, and
/// no IMCR.
fn pointer() -> [u8; 16] {
    const CHECKSUM_AT: usize = 10;
    let mut pointer = [0; POINTER_BYTES as usize];
    pointer[..4].copy_from_slice(b"_MP_");
    let [a, b, c, d, ..] = layout::MP_TABLE.to_le_bytes();
    pointer[4..8].copy_from_slice(&[a, b, c, d]);
    // Length in units of 16 bytes.
    pointer[8] = POINTER_BYTES / 16;
    pointer[9] = REVISION;
    pointer[CHECKSUM_AT] = checksum(&pointer);
    pointer
}

/// What makes the sum of all bytes 0, where the checksum is still 0.
fn checksum(bytes: &[u8]) -> u8 {
    bytes
        .iter()
        .fold(0_u8, |sum, byte| sum.wrapping_add(*byte))
        .wrapping_neg()
}

#[cfg(test)]
#[path = "mp_table_test.rs"]
mod tests;
