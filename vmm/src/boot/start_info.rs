//! The PVH start info: what EBX points to when the guest starts.
//!
//! Format: Xen's `xen/include/public/arch-x86/hvm/start_info.h`, version 1.

use std::ops::Range;

use linux_loader::configurator::pvh::PvhBootConfigurator;
use linux_loader::configurator::{BootConfigurator, BootParams};
use linux_loader::loader::elf::start_info::{hvm_memmap_table_entry, hvm_start_info};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use super::layout;

/// `XEN_HVM_START_MAGIC_VALUE`: "xEn3" with bit 7 of the E set.
const MAGIC: u32 = 0x336e_c578;
/// The version that has a memory map.
const VERSION: u32 = 1;

/// What a range of guest memory is, numbered as in the E820 map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum MemoryKind {
    /// `XEN_HVM_MEMMAP_TYPE_RAM`
    Ram = 1,
    /// `XEN_HVM_MEMMAP_TYPE_RESERVED`
    Reserved = 2,
}

/// An entry of the memory map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryRange {
    /// Guest-physical addresses.
    pub gpa: Range<u64>,
    /// What is there.
    pub kind: MemoryKind,
}

/// Why the start info cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line is too long.
    #[error(
        "the guest's command line has {length} bytes; {} are the most, shorten it",
        layout::COMMAND_LINE_BYTES - 1
    )]
    CommandLineTooLong {
        /// Its length.
        length: usize,
    },
    /// The command line ends early.
    #[error(
        "the guest's command line has a NUL at byte {at}, where the guest would end it; remove it"
    )]
    CommandLineNul {
        /// Where.
        at: usize,
    },
    /// The memory map is too long.
    #[error(
        "the memory map has {entries} entries, more than fit {} bytes",
        layout::MEMORY_MAP_BYTES
    )]
    MemoryMapTooLong {
        /// How many it has.
        entries: usize,
    },
    /// The command line does not reach guest memory.
    #[error(
        "guest memory does not reach the command line at {:#x}",
        layout::COMMAND_LINE
    )]
    CommandLine(#[source] vm_memory::GuestMemoryError),
    /// The start info or the memory map does not reach guest memory.
    #[error(
        "guest memory does not reach the start info at {:#x}",
        layout::START_INFO
    )]
    StartInfo(#[source] linux_loader::configurator::Error),
}

/// The memory map of a guest with these ranges of RAM, the first of which starts at 0 and covers
/// the first MiB: of that MiB the BIOS area is left out and the ACPI tables are reserved.
pub fn memory_map(ram: &[Range<u64>]) -> Vec<MemoryRange> {
    let mut map = vec![MemoryRange {
        gpa: layout::ACPI..layout::HIGH_RAM,
        kind: MemoryKind::Reserved,
    }];
    for range in ram {
        let low = range.start..range.end.min(layout::LOW_RAM_END);
        let high = range.start.max(layout::HIGH_RAM)..range.end;
        map.extend(
            [low, high]
                .into_iter()
                .filter(|gpa| !gpa.is_empty())
                .map(|gpa| MemoryRange {
                    gpa,
                    kind: MemoryKind::Ram,
                }),
        );
    }
    map.sort_by_key(|range| range.gpa.start);
    map
}

/// Writes start info, memory map and command line to their places in [`layout`], and returns the
/// guest-physical address of the start info. Nothing is written where the command line is refused.
///
/// # Errors
/// [`Error`].
pub fn write(
    memory: &GuestMemoryMmap,
    memory_ranges: &[MemoryRange],
    command_line: &str,
    rsdp: u64,
) -> Result<u64, Error> {
    let length = command_line.len();
    if length as u64 >= layout::COMMAND_LINE_BYTES {
        return Err(Error::CommandLineTooLong { length });
    }
    if let Some(at) = command_line.bytes().position(|byte| byte == 0) {
        return Err(Error::CommandLineNul { at });
    }
    let map: Vec<hvm_memmap_table_entry> = memory_ranges.iter().map(map_entry).collect();
    let too_long = Error::MemoryMapTooLong { entries: map.len() };
    let map_bytes = size_of_val(map.as_slice()) as u64;
    let memmap_entries = match u32::try_from(map.len()) {
        Ok(entries) if map_bytes <= layout::MEMORY_MAP_BYTES => entries,
        _ => return Err(too_long),
    };

    let mut text = Vec::with_capacity(length + 1);
    text.extend_from_slice(command_line.as_bytes());
    text.push(0);
    memory
        .write_slice(&text, GuestAddress(layout::COMMAND_LINE))
        .map_err(Error::CommandLine)?;

    let start_info = hvm_start_info {
        magic: MAGIC,
        version: VERSION,
        cmdline_paddr: layout::COMMAND_LINE,
        rsdp_paddr: rsdp,
        memmap_paddr: layout::MEMORY_MAP,
        memmap_entries,
        ..Default::default()
    };
    let mut params = BootParams::new(&start_info, GuestAddress(layout::START_INFO));
    params.set_sections(&map, GuestAddress(layout::MEMORY_MAP));
    PvhBootConfigurator::write_bootparams(&params, memory).map_err(Error::StartInfo)?;
    Ok(layout::START_INFO)
}

fn map_entry(range: &MemoryRange) -> hvm_memmap_table_entry {
    hvm_memmap_table_entry {
        addr: range.gpa.start,
        size: range.gpa.end - range.gpa.start,
        type_: range.kind as u32,
        reserved: 0,
    }
}

#[cfg(test)]
#[path = "start_info_test.rs"]
mod tests;
