//! What a PC's firmware leaves behind below 1 MiB, beside tables: kernels look here for the EBDA,
//! the end of base memory and the first serial port.

use vm_memory::{Bytes, GuestAddress, GuestMemoryError, GuestMemoryMmap};

use super::layout;
use super::mp_table::MpTable;
use super::platform::COM1_PORT;

/// The port of COM1.
const COM1_AT: u64 = layout::BIOS_DATA;
/// Segment of the EBDA.
const EBDA_AT: u64 = layout::BIOS_DATA + 0x0e;
/// KiB of base memory.
const BASE_MEMORY_AT: u64 = layout::BIOS_DATA + 0x13;

/// Writes BIOS data area, EBDA and MP table of a PC with CPUs of these APIC IDs.
///
/// # Errors
/// [`GuestMemoryError`] where memory does not reach so far.
pub fn write(memory: &GuestMemoryMmap, apic_ids: &[u32]) -> Result<(), GuestMemoryError> {
    let words = [
        (COM1_AT, u64::from(COM1_PORT)),
        (EBDA_AT, layout::LOW_RAM_END >> 4),
        (BASE_MEMORY_AT, layout::LOW_RAM_END >> 10),
        // Its own size in KiB.
        (
            layout::LOW_RAM_END,
            (layout::EBDA_END - layout::LOW_RAM_END) >> 10,
        ),
    ];
    for (gpa, value) in words {
        let [low, high, ..] = value.to_le_bytes();
        memory.write_slice(&[low, high], GuestAddress(gpa))?;
    }
    let mp = MpTable::build(apic_ids);
    memory.write_slice(&mp.pointer, GuestAddress(MpTable::POINTER))?;
    memory.write_slice(&mp.table, GuestAddress(layout::MP_TABLE))
}

#[cfg(test)]
#[path = "bios_area_test.rs"]
mod tests;
