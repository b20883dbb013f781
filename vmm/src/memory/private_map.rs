//! Guest memory that begins as parts of a file and is nobody else's from the first write on.

use std::fs::File;
use std::sync::Arc;

use vm_memory::mmap::MmapRegionError;
use vm_memory::{FileOffset, GuestAddress, GuestMemoryMmap, GuestRegionMmap, MmapRegion};

/// A part of a file as guest memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrivateRange {
    /// Guest-physical address.
    pub gpa: u64,
    /// Length, whole pages.
    pub bytes: u64,
    /// Where it begins in the file, a multiple of the page size.
    pub file_offset: u64,
}

/// Why a file cannot be mapped.
#[derive(Debug, thiserror::Error)]
pub enum PrivateMapError {
    /// The host refuses.
    #[error(
        "{bytes} bytes of guest memory at {gpa:#x} cannot be mapped; the host has no room for them"
    )]
    Map {
        /// Guest-physical address.
        gpa: u64,
        /// Length.
        bytes: u64,
        /// Why.
        #[source]
        source: MmapRegionError,
    },
    /// Ranges that overlap, are out of order, or end behind all addresses.
    #[error("guest memory at {0:#x} cannot be placed there")]
    Place(u64),
}

/// Maps `ranges` of `file`. Nothing is read until the guest touches it, and nothing the guest
/// writes reaches the file. The file must not change in place while the mapping lives: pages not
/// touched yet would change with it, and a page cut off raises SIGBUS. Replacing it by rename is
/// harmless.
///
/// # Errors
/// [`PrivateMapError`].
pub fn map_privately(
    file: &Arc<File>,
    ranges: &[PrivateRange],
) -> Result<GuestMemoryMmap, PrivateMapError> {
    let mut regions = Vec::with_capacity(ranges.len());
    for &PrivateRange {
        gpa,
        bytes,
        file_offset,
    } in ranges
    {
        let size = usize::try_from(bytes).map_err(|_| PrivateMapError::Place(gpa))?;
        let mapping = MmapRegion::build(
            Some(FileOffset::from_arc(Arc::clone(file), file_offset)),
            size,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_NORESERVE,
        )
        .map_err(|source| PrivateMapError::Map { gpa, bytes, source })?;
        let region = GuestRegionMmap::new(mapping, GuestAddress(gpa));
        regions.push(region.ok_or(PrivateMapError::Place(gpa))?);
    }
    let first = ranges.first().map_or(0, |range| range.gpa);
    GuestMemoryMmap::from_regions(regions).map_err(|_| PrivateMapError::Place(first))
}
