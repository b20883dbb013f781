//! The memory map that a guest is given, whatever its boot protocol: the E820 map of a PC.

use std::ops::Range;

use super::{Platform, layout};

/// What a range of guest memory is, numbered as in the E820 map (ACPI 6.5, 15.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum MemoryKind {
    /// `AddressRangeMemory`
    Ram = 1,
    /// `AddressRangeReserved`
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

/// The memory map of a guest with these ranges of RAM, the first of which starts at 0 and covers
/// the first MiB: of that MiB the BIOS area is left out and what we write there is reserved.
pub fn memory_map(ram: &[Range<u64>], platform: Platform) -> Vec<MemoryRange> {
    let reserved = |gpa| MemoryRange {
        gpa,
        kind: MemoryKind::Reserved,
    };
    let mut map = vec![reserved(layout::ACPI..layout::HIGH_RAM)];
    if platform == Platform::Pc {
        map.push(reserved(layout::LOW_RAM_END..layout::EBDA_END));
    }
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

#[cfg(test)]
#[path = "memory_map_test.rs"]
mod tests;
