//! The PVH start info: what EBX points to when the guest starts.
//!
//! Format: Xen's `xen/include/public/arch-x86/hvm/start_info.h`, version 1.

use linux_loader::configurator::pvh::PvhBootConfigurator;
use linux_loader::configurator::{BootConfigurator, BootParams};
use linux_loader::loader::elf::start_info::{
    hvm_memmap_table_entry, hvm_modlist_entry, hvm_start_info,
};
use vm_memory::{GuestAddress, GuestMemoryMmap};

use super::memory_map::MemoryRange;
use super::module::PlacedModule;
use super::{command_line, layout, module};

/// `XEN_HVM_START_MAGIC_VALUE`: "xEn3" with bit 7 of the E set.
const MAGIC: u32 = 0x336e_c578;
/// The version that has a memory map.
const VERSION: u32 = 1;

/// Why the start info cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The memory map is too long.
    #[error(
        "the memory map has {entries} entries, more than fit {} bytes",
        layout::MEMORY_MAP_BYTES
    )]
    MemoryMapTooLong {
        /// How many it has.
        entries: usize,
    },
    /// The command line cannot be written.
    #[error(transparent)]
    CommandLine(#[from] command_line::Error),
    /// The modules' command lines cannot be written.
    #[error(transparent)]
    Modules(#[from] module::Error),
    /// The start info or the memory map does not reach guest memory.
    #[error(
        "guest memory does not reach the start info at {:#x}",
        layout::START_INFO
    )]
    StartInfo(#[source] linux_loader::configurator::Error),
}

/// Writes start info, memory map, command line and module list to their places in [`layout`], and
/// returns the guest-physical address of the start info. Nothing is written where the command line
/// is refused.
///
/// # Errors
/// [`Error`].
pub fn write(
    memory: &GuestMemoryMmap,
    memory_ranges: &[MemoryRange],
    command_line: &str,
    modules: &[PlacedModule],
    rsdp: u64,
) -> Result<u64, Error> {
    let map: Vec<hvm_memmap_table_entry> = memory_ranges.iter().map(map_entry).collect();
    let too_long = Error::MemoryMapTooLong { entries: map.len() };
    let map_bytes = size_of_val(map.as_slice()) as u64;
    let memmap_entries = match u32::try_from(map.len()) {
        Ok(entries) if map_bytes <= layout::MEMORY_MAP_BYTES => entries,
        _ => return Err(too_long),
    };
    command_line::write(memory, command_line, command_line::ROOM)?;

    let strings = module::write_strings(memory, modules)?;
    let list: Vec<hvm_modlist_entry> = modules
        .iter()
        .zip(strings)
        .map(|(module, cmdline_paddr)| hvm_modlist_entry {
            paddr: module.gpa,
            size: module.bytes,
            cmdline_paddr,
            reserved: 0,
        })
        .collect();
    let start_info = hvm_start_info {
        magic: MAGIC,
        version: VERSION,
        nr_modules: module::count(modules)?,
        modlist_paddr: if list.is_empty() {
            0
        } else {
            layout::PVH_MODULES
        },
        cmdline_paddr: layout::COMMAND_LINE,
        rsdp_paddr: rsdp,
        memmap_paddr: layout::MEMORY_MAP,
        memmap_entries,
        ..Default::default()
    };
    let mut params = BootParams::new(&start_info, GuestAddress(layout::START_INFO));
    params.set_sections(&map, GuestAddress(layout::MEMORY_MAP));
    if !list.is_empty() {
        params.set_modules(&list, GuestAddress(layout::PVH_MODULES));
    }
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
