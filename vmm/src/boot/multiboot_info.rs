//! The multiboot information block: what EBX points to when a multiboot image starts.
//!
//! Format: "Multiboot Specification version 0.6.96", 3.3 "Boot information format". Fields and
//! flags are those that QEMU's loader gives.

use vm_memory::{Bytes, GuestAddress, GuestMemoryError, GuestMemoryMmap};

use super::field::low_word;
use super::memory_map::{MemoryKind, MemoryRange};
use super::module::PlacedModule;
use super::multiboot::Image;
use super::segment::{PlaceError, Segment};
use super::{command_line, layout, module};

/// What of the block is valid: memory, boot device, command line, modules, memory map, loader name.
const FLAGS: u32 = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 3 | 1 << 6 | 1 << 9;
/// The first hard disk, no partition, as QEMU's loader says whatever there is.
const BOOT_DEVICE: u32 = 0x8000_ffff;
const BLOCK_BYTES: usize = 88;
const PAGE_BYTES: u64 = 4096;
/// Behind the information block, on a round address.
const LOADER_NAME: u64 = layout::MULTIBOOT_INFO + 0x60;
const LOADER: &[u8] = b"vmm\0";

/// Why the information cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line cannot be written.
    #[error(transparent)]
    CommandLine(#[from] command_line::Error),
    /// The modules' command lines cannot be written.
    #[error(transparent)]
    Modules(#[from] module::Error),
    /// The image leaves no place for it.
    #[error("the image leaves no place for the multiboot information")]
    Place(#[from] PlaceError),
    /// The memory map is too long.
    #[error("the memory map has {0} entries, more than fit the room of a multiboot guest")]
    MemoryMapTooLong(usize),
    /// They do not reach guest memory.
    #[error("guest memory cannot be written")]
    Memory(#[from] GuestMemoryError),
}

/// Where memory map, information block and module list are, one page-aligned area of
/// [`layout::MULTIBOOT_BYTES`], for a guest with RAM from 0 to `memory_bytes`.
///
/// # Errors
/// [`PlaceError`] where the image leaves no place for it.
pub fn place(image: &Image, memory_bytes: u64) -> Result<u64, PlaceError> {
    let behind = image.end().max(layout::HIGH_RAM);
    layout::MULTIBOOT_PLACES
        .into_iter()
        .chain(behind.checked_next_multiple_of(PAGE_BYTES))
        .find(|&gpa| {
            let end = gpa.saturating_add(layout::MULTIBOOT_BYTES);
            let is_free = |segment: &Segment| segment.end() <= gpa || end <= segment.gpa;
            end <= memory_bytes.min(1 << 32) && image.segments.iter().all(is_free)
        })
        .ok_or(PlaceError::OutsideMemory {
            gpa: behind,
            end: behind.saturating_add(layout::MULTIBOOT_BYTES),
            memory_bytes,
        })
}

/// Writes command line and modules to their places in [`layout`], information block, memory map and
/// module list to `place`, and returns the guest-physical address of the block.
///
/// # Errors
/// [`Error`].
pub fn write(
    memory: &GuestMemoryMmap,
    place: u64,
    memory_ranges: &[MemoryRange],
    command_line: &str,
    modules: &[PlacedModule],
) -> Result<u32, Error> {
    // The block follows the map.
    const MAP_BYTES: u64 = layout::MULTIBOOT_INFO;
    let block_gpa = place + layout::MULTIBOOT_INFO;
    let list_gpa = place + layout::MULTIBOOT_MODULES;
    let name_gpa = place + LOADER_NAME;
    let map: Vec<u8> = memory_ranges.iter().flat_map(map_entry).collect();
    let map_bytes = match u32::try_from(map.len()) {
        Ok(bytes) if u64::from(bytes) <= MAP_BYTES => bytes,
        _ => return Err(Error::MemoryMapTooLong(memory_ranges.len())),
    };
    let count = module::count(modules)?;
    command_line::write(memory, command_line, command_line::ROOM)?;
    let strings = module::write_strings(memory, modules)?;
    let list: Vec<u8> = modules
        .iter()
        .zip(strings)
        .flat_map(|(module, string)| {
            words([
                module.gpa,
                module.gpa.saturating_add(module.bytes),
                string,
                0,
            ])
        })
        .collect();
    memory.write_slice(&list, GuestAddress(list_gpa))?;
    memory.write_slice(&map, GuestAddress(place))?;
    memory.write_slice(LOADER, GuestAddress(name_gpa))?;

    let mut block = [0; BLOCK_BYTES];
    for (offset, value) in [
        (0, FLAGS.into()),
        (4, layout::LOW_RAM_END / 1024),
        (8, upper_kib(memory_ranges)),
        (12, BOOT_DEVICE.into()),
        (16, layout::COMMAND_LINE),
        (20, count.into()),
        (24, list_gpa),
        (44, map_bytes.into()),
        (48, place),
        (64, name_gpa),
    ] {
        block[offset..offset + 4].copy_from_slice(&low_word(value));
    }
    memory.write_slice(&block, GuestAddress(block_gpa))?;
    Ok(u32::from_le_bytes(low_word(block_gpa)))
}

/// A memory map entry: its size without this field, address, length, kind.
fn map_entry(range: &MemoryRange) -> impl Iterator<Item = u8> + use<> {
    const BYTES: u32 = 20;
    let length = range.gpa.end - range.gpa.start;
    BYTES
        .to_le_bytes()
        .into_iter()
        .chain(range.gpa.start.to_le_bytes())
        .chain(length.to_le_bytes())
        .chain((range.kind as u32).to_le_bytes())
}

/// KiB of RAM from 1 MiB to the first hole.
fn upper_kib(memory_ranges: &[MemoryRange]) -> u64 {
    let first = memory_ranges
        .iter()
        .find(|range| range.kind == MemoryKind::Ram && range.gpa.start == layout::HIGH_RAM);
    first.map_or(0, |range| (range.gpa.end - range.gpa.start) / 1024)
}

fn words<const N: usize>(values: [u64; N]) -> impl Iterator<Item = u8> {
    values.into_iter().flat_map(low_word)
}

#[cfg(test)]
#[path = "multiboot_info_test.rs"]
mod tests;
