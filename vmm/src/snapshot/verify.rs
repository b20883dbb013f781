//! Reading guest memory through, against its CRCs.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use super::Progress;
use super::chunk_crc::ChunkCrc;
use super::limits::PAGE_BYTES;
use super::memory_map::MemoryMap;
use crate::os::sparse;

const PIECE_BYTES: usize = 256 << 10;

/// What is wrong with guest memory.
#[derive(Debug, thiserror::Error)]
pub enum VerifyFault {
    /// The CRC of a chunk differs.
    #[error(
        "memory at {gpa:#x} (chunk {chunk}): CRC {found:08x} expected {expected:08x}; the file is damaged"
    )]
    Damaged {
        /// Guest-physical address of the chunk.
        gpa: u64,
        /// Its index.
        chunk: usize,
        /// Of what is there.
        found: u32,
        /// Of what was written.
        expected: u32,
    },
    /// A chunk cannot be read.
    #[error("memory at {gpa:#x} (chunk {chunk}) cannot be read; the disk or the file is damaged")]
    Read {
        /// Guest-physical address of the chunk.
        gpa: u64,
        /// Its index.
        chunk: usize,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Reads every chunk of `file`. Holes are zeros without being read.
pub(super) fn verify(
    file: &File,
    map: &MemoryMap,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), VerifyFault> {
    let total_bytes = map.memory_bytes();
    let mut bytes = 0;
    let mut piece = vec![0; PIECE_BYTES];
    for (placed, chunk) in map.placed_chunks().zip(&map.chunks) {
        bytes += placed.file.end - placed.file.start;
        let found = read(file, placed.file, &mut piece).map_err(|source| VerifyFault::Read {
            gpa: placed.gpa,
            chunk: placed.index,
            source,
        })?;
        let good = match chunk.hole {
            // Its CRC was checked with the map: it is that of zeros.
            true if found.is_hole() => true,
            _ => found.clone().finish() == chunk.crc32,
        };
        if !good {
            return Err(VerifyFault::Damaged {
                gpa: placed.gpa,
                chunk: placed.index,
                found: found.finish(),
                expected: chunk.crc32,
            });
        }
        progress(Progress { bytes, total_bytes });
    }
    Ok(())
}

/// The CRC of `range`, which is whole pages.
fn read(file: &File, range: Range<u64>, piece: &mut [u8]) -> io::Result<ChunkCrc> {
    let mut crc = ChunkCrc::default();
    let mut offset = range.start;
    while offset < range.end {
        let rest = offset..range.end;
        let data = sparse::next_data(file, rest)?.unwrap_or(range.end..range.end);
        // Blocks of the file system can be smaller than pages.
        let start = data.start / PAGE_BYTES * PAGE_BYTES;
        let end = data.end.next_multiple_of(PAGE_BYTES);
        crc.zeros((start - offset) / PAGE_BYTES);
        offset = start;
        while offset < end {
            let left = usize::try_from(end - offset).unwrap_or(usize::MAX);
            let bytes = left.min(piece.len());
            let part = &mut piece[..bytes];
            file.read_exact_at(part, offset)?;
            crc.data(part);
            offset += bytes as u64;
        }
    }
    Ok(crc)
}
