//! The memory map: where each region of guest memory lies in the file, and a CRC for each chunk.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use vm_memory::{Address, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion};

use super::chunk_crc::zeros_crc32;
use super::limits::{
    CHUNK_BYTES_MAX, CHUNK_BYTES_MIN, CHUNKS_MAX, GPA_END_MAX, PAGE_BYTES, REGIONS_MAX,
};

/// Chunks of a machine of ordinary size.
const CHUNK_BYTES: u32 = 1 << 20;
/// Above so many, chunks are made larger, so that the map stays small.
const CHUNKS_WANTED: u64 = 1 << 16;

/// A region of guest memory in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct MemoryRegion {
    /// Guest-physical address of its first byte.
    #[serde(with = "postcard::fixint::le")]
    pub gpa: u64,
    /// Its length.
    #[serde(with = "postcard::fixint::le")]
    pub bytes: u64,
    /// Where its first byte is in the file.
    #[serde(with = "postcard::fixint::le")]
    pub file_offset: u64,
}

/// A chunk of a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Chunk {
    /// All its bytes are zero, and none takes space on the disk.
    pub(super) hole: bool,
    /// CRC-32 of its bytes, also of those in holes.
    #[serde(with = "postcard::fixint::le")]
    pub(super) crc32: u32,
}

/// The content of the section. All its numbers have a fixed width, so that its length is known
/// before memory has been read.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct MemoryMap {
    #[serde(with = "postcard::fixint::le")]
    pub(super) chunk_bytes: u32,
    pub(super) regions: Vec<MemoryRegion>,
    pub(super) chunks: Vec<Chunk>,
}

/// A chunk and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PlacedChunk {
    /// Index, over all regions.
    pub(super) index: usize,
    /// Index of its region.
    pub(super) region: usize,
    /// Guest-physical address.
    pub(super) gpa: u64,
    /// Where it begins in its region.
    pub(super) region_offset: u64,
    /// Where it lies in the file.
    pub(super) file: Range<u64>,
}

/// What is wrong with a memory map, or with memory that should get one.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum MemoryMapFault {
    /// None, or more than there can be.
    #[error("memory map: {0} regions; a machine has 1 to {REGIONS_MAX}")]
    Regions(usize),
    /// A region that is not whole pages, or that ends behind all addresses.
    #[error("memory map: the region at {gpa:#x} of {bytes:#x} bytes is not whole pages below 2^52")]
    Range {
        /// Its address.
        gpa: u64,
        /// Its length.
        bytes: u64,
    },
    /// Not behind the one before.
    #[error("memory map: the region at {0:#x} begins before the one listed before it ends")]
    Order(u64),
    /// Somewhere else in the file, over other data or behind a gap.
    #[error(
        "memory map: the region at {gpa:#x} is at offset {found:#x} of the file, not {expected:#x}"
    )]
    Offset {
        /// Its guest-physical address.
        gpa: u64,
        /// Where it says it is.
        found: u64,
        /// Where it must be.
        expected: u64,
    },
    /// The regions end before or after the file.
    #[error("memory map: the regions end at {regions:#x}, the file at {file:#x}")]
    End {
        /// End of the last region.
        regions: u64,
        /// Length of the file.
        file: u64,
    },
    /// Chunks of no permitted size.
    #[error("memory map: chunks of {0} bytes; they are a power of two from 4 KiB to 1 GiB")]
    ChunkBytes(u32),
    /// Not one for each part of memory.
    #[error("memory map: {found} chunks for memory that has {expected}")]
    Chunks {
        /// Listed.
        found: u64,
        /// Needed.
        expected: u64,
    },
    /// A hole with a CRC that is not that of zeros.
    #[error("memory map: chunk {0} is a hole, but its CRC is not that of zeros")]
    Hole(usize),
}

impl MemoryMap {
    /// A map for `memory`, with its regions not placed yet and every chunk a hole.
    ///
    /// # Errors
    /// Memory that a snapshot cannot hold.
    pub(super) fn for_memory(memory: &GuestMemoryMmap) -> Result<Self, MemoryMapFault> {
        let regions: Vec<_> = memory
            .iter()
            .map(|region| MemoryRegion {
                gpa: region.start_addr().raw_value(),
                bytes: region.len(),
                file_offset: 0,
            })
            .collect();
        check_ranges(&regions)?;
        let mut chunk_bytes = CHUNK_BYTES;
        while chunk_count(&regions, chunk_bytes) > CHUNKS_WANTED && chunk_bytes < CHUNK_BYTES_MAX {
            chunk_bytes *= 2;
        }
        let mut map = Self {
            chunk_bytes,
            regions,
            chunks: Vec::new(),
        };
        let expected = chunk_count(&map.regions, chunk_bytes);
        if expected > CHUNKS_MAX {
            return Err(MemoryMapFault::Chunks { found: 0, expected });
        }
        let mut zeros = ZeroCrc::default();
        map.chunks = map
            .placed_chunks()
            .map(|chunk| zeros.hole(&chunk))
            .collect();
        Ok(map)
    }

    /// Puts the regions into the file one after the other, behind `metadata_bytes`; returns the
    /// length of the file.
    pub(super) fn place(&mut self, metadata_bytes: u64) -> u64 {
        let mut end = memory_start(metadata_bytes);
        for region in &mut self.regions {
            region.file_offset = end;
            end += region.bytes;
        }
        end
    }

    /// Checks a map that was read from a file of `file_bytes`, of which state takes
    /// `metadata_bytes`.
    ///
    /// # Errors
    /// Anything that could not be mapped or verified as it says.
    pub(super) fn check(&self, metadata_bytes: u64, file_bytes: u64) -> Result<(), MemoryMapFault> {
        check_ranges(&self.regions)?;
        let mut end = memory_start(metadata_bytes);
        for region in &self.regions {
            if region.file_offset != end {
                return Err(MemoryMapFault::Offset {
                    gpa: region.gpa,
                    found: region.file_offset,
                    expected: end,
                });
            }
            end += region.bytes;
        }
        if end != file_bytes {
            return Err(MemoryMapFault::End {
                regions: end,
                file: file_bytes,
            });
        }
        let size = self.chunk_bytes;
        if !size.is_power_of_two() || !(CHUNK_BYTES_MIN..=CHUNK_BYTES_MAX).contains(&size) {
            return Err(MemoryMapFault::ChunkBytes(size));
        }
        let found = self.chunks.len() as u64;
        let expected = chunk_count(&self.regions, size);
        if found != expected || found > CHUNKS_MAX {
            return Err(MemoryMapFault::Chunks { found, expected });
        }
        let mut zeros = ZeroCrc::default();
        for (placed, chunk) in self.placed_chunks().zip(&self.chunks) {
            if chunk.hole && *chunk != zeros.hole(&placed) {
                return Err(MemoryMapFault::Hole(placed.index));
            }
        }
        Ok(())
    }

    /// Guest memory in bytes.
    pub(super) fn memory_bytes(&self) -> u64 {
        self.regions.iter().map(|region| region.bytes).sum()
    }

    /// The chunks in their order. None spans two regions; the last of a region may be short.
    pub(super) fn placed_chunks(&self) -> impl Iterator<Item = PlacedChunk> + use<> {
        let step = u64::from(self.chunk_bytes);
        let regions = self.regions.clone();
        regions
            .into_iter()
            .enumerate()
            .flat_map(move |(region, at)| {
                (0..at.bytes.div_ceil(step)).map(move |index| {
                    let offset = index * step;
                    let end = (offset + step).min(at.bytes);
                    (region, at, offset, end)
                })
            })
            .enumerate()
            .map(|(index, (region, at, offset, end))| PlacedChunk {
                index,
                region,
                gpa: at.gpa + offset,
                region_offset: offset,
                file: at.file_offset + offset..at.file_offset + end,
            })
    }
}

/// The CRC of zeros, for chunks that nearly all have one length: what a restore costs must not grow
/// with memory.
#[derive(Debug, Default)]
struct ZeroCrc {
    bytes: u64,
    crc32: u32,
}

impl ZeroCrc {
    fn hole(&mut self, chunk: &PlacedChunk) -> Chunk {
        let bytes = chunk.file.end - chunk.file.start;
        if bytes != self.bytes {
            let crc32 = zeros_crc32(bytes / PAGE_BYTES);
            *self = Self { bytes, crc32 };
        }
        Chunk {
            hole: true,
            crc32: self.crc32,
        }
    }
}

/// Where memory begins behind `metadata_bytes` of state.
pub(super) fn memory_start(metadata_bytes: u64) -> u64 {
    metadata_bytes.next_multiple_of(PAGE_BYTES)
}

fn chunk_count(regions: &[MemoryRegion], chunk_bytes: u32) -> u64 {
    regions
        .iter()
        .map(|region| region.bytes.div_ceil(chunk_bytes.into()))
        .sum()
}

/// After this, no sum of addresses, lengths or offsets overflows: [`REGIONS_MAX`] regions below
/// [`GPA_END_MAX`] stay far below 2^64.
fn check_ranges(regions: &[MemoryRegion]) -> Result<(), MemoryMapFault> {
    if regions.is_empty() || regions.len() > REGIONS_MAX {
        return Err(MemoryMapFault::Regions(regions.len()));
    }
    let mut end = 0;
    for &MemoryRegion { gpa, bytes, .. } in regions {
        let good = gpa.is_multiple_of(PAGE_BYTES)
            && bytes.is_multiple_of(PAGE_BYTES)
            && bytes > 0
            && gpa.checked_add(bytes).is_some_and(|end| end <= GPA_END_MAX);
        if !good {
            return Err(MemoryMapFault::Range { gpa, bytes });
        }
        if gpa < end {
            return Err(MemoryMapFault::Order(gpa));
        }
        end = gpa + bytes;
    }
    Ok(())
}
