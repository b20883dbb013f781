//! What of guest memory is in a file, found without reading it.

use std::fs::File;
use std::io;
use std::ops::Range;

use super::memory_map::MemoryMap;
use crate::os::sparse;

/// How much of a region of guest memory is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RegionUse {
    /// Its chunks.
    pub chunks: u64,
    /// Those that are all hole.
    pub holes: u64,
    /// Bytes of the file that are no hole. All of them where the file system has no holes.
    pub data_bytes: u64,
}

/// By region. What it costs is bounded by the pieces of the file that are there.
///
/// # Errors
/// What lseek says.
pub(super) fn in_use(file: &File, map: &MemoryMap) -> io::Result<Vec<RegionUse>> {
    let mut regions = vec![RegionUse::default(); map.regions.len()];
    for (placed, chunk) in map.placed_chunks().zip(&map.chunks) {
        if let Some(region) = regions.get_mut(placed.region) {
            region.chunks += 1;
            region.holes += u64::from(chunk.hole);
        }
    }
    for (region, at) in regions.iter_mut().zip(&map.regions) {
        region.data_bytes = data_bytes(file, at.file_offset..at.file_offset + at.bytes)?;
    }
    Ok(regions)
}

fn data_bytes(file: &File, range: Range<u64>) -> io::Result<u64> {
    let mut sum = 0;
    let mut start = range.start;
    while let Some(data) = sparse::next_data(file, start..range.end)? {
        sum += data.end - data.start;
        start = data.end;
    }
    Ok(sum)
}
