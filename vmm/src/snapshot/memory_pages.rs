//! Guest memory on its way into a file: what is in use, and no zero page.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use vm_memory::{
    Bytes, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion, GuestRegionMmap,
    MemoryRegionAddress,
};

use super::chunk_crc::ChunkCrc;
use super::limits::{PAGE, PAGE_BYTES};
use super::memory_map::{Chunk, MemoryMap, PlacedChunk};
use super::{Progress, WriteFault};
use crate::memory::{PageSource, PageSources};
use crate::os::sparse;

/// Pages handled at once. They are copied out of guest memory, looked through for zero pages, added
/// to the CRC and written while they are in the second-level cache.
const PIECE_PAGES: usize = 64;
/// How much is written before the disk is told to begin with it. On the development machine this
/// made saving faster than a plain write with fsync; without it the CRC cost a tenth.
const WRITE_BACK_BYTES: u64 = 8 << 20;

/// Writes guest memory into `file`, at the places that `map` gives, and fills in its chunks.
#[derive(Debug)]
pub(super) struct MemoryPages<'a> {
    file: &'a File,
    sources: PageSources,
    piece: Vec<u8>,
    /// What was written since the disk was last told.
    unsent: Range<u64>,
    pages: u64,
}

/// Why pages cannot be saved: the place they come from, or the one they go to.
enum PageFault {
    Read {
        region_offset: u64,
        source: io::Error,
    },
    Write(io::Error),
}

impl<'a> MemoryPages<'a> {
    pub(super) fn new(file: &'a File) -> Self {
        Self {
            file,
            sources: PageSources::open(),
            piece: vec![0; PIECE_PAGES * PAGE],
            unsent: 0..0,
            pages: 0,
        }
    }

    /// Writes `memory`; returns how many pages hold data.
    ///
    /// # Errors
    /// Memory cannot be read, or the file not be written: then `write_fault` says what that means.
    pub(super) fn write(
        mut self,
        memory: &GuestMemoryMmap,
        map: &mut MemoryMap,
        progress: &mut dyn FnMut(Progress),
        write_fault: impl Fn(io::Error) -> WriteFault,
    ) -> Result<u64, WriteFault> {
        let regions: Vec<_> = memory.iter().collect();
        let total_bytes = map.memory_bytes();
        let mut bytes = 0;
        for placed in map.placed_chunks() {
            let (Some(region), Some(entry)) =
                (regions.get(placed.region), map.chunks.get_mut(placed.index))
            else {
                continue;
            };
            *entry = self.chunk(region, &placed).map_err(|fault| match fault {
                PageFault::Write(source) => write_fault(source),
                PageFault::Read {
                    region_offset,
                    source,
                } => WriteFault::Memory {
                    gpa: placed.gpa - placed.region_offset + region_offset,
                    source,
                },
            })?;
            bytes += placed.file.end - placed.file.start;
            progress(Progress { bytes, total_bytes });
        }
        Ok(self.pages)
    }

    fn chunk(
        &mut self,
        region: &GuestRegionMmap,
        placed: &PlacedChunk,
    ) -> Result<Chunk, PageFault> {
        let mut crc = ChunkCrc::default();
        let mut file_offset = placed.file.start;
        let mut region_offset = placed.region_offset;
        while file_offset < placed.file.end {
            let left = (placed.file.end - file_offset) / PAGE_BYTES;
            let count = usize::try_from(left).map_or(PIECE_PAGES, |left| left.min(PIECE_PAGES));
            self.pages_at(region, region_offset, file_offset, count, &mut crc)?;
            let bytes = (count * PAGE) as u64;
            file_offset += bytes;
            region_offset += bytes;
        }
        Ok(Chunk {
            hole: crc.is_hole(),
            crc32: crc.finish(),
        })
    }

    /// `count` pages, a piece at most.
    fn pages_at(
        &mut self,
        region: &GuestRegionMmap,
        mut region_offset: u64,
        mut file_offset: u64,
        count: usize,
        crc: &mut ChunkCrc,
    ) -> Result<(), PageFault> {
        let read_fault = |source| PageFault::Read {
            region_offset,
            source,
        };
        let mut sources = [PageSource::Nowhere; PIECE_PAGES];
        let sources = &mut sources[..count];
        self.sources
            .find(region, region_offset, sources)
            .map_err(read_fault)?;
        for run in sources.chunk_by(|a, b| a == b) {
            let bytes = run.len() * PAGE;
            match run[0] {
                PageSource::Nowhere => crc.zeros(run.len() as u64),
                from => {
                    let mut piece = std::mem::take(&mut self.piece);
                    let copied = copy(from, region, region_offset, &mut piece[..bytes]);
                    let written = match copied {
                        Ok(()) => self
                            .data(&piece[..bytes], file_offset, crc)
                            .map_err(PageFault::Write),
                        Err(source) => Err(PageFault::Read {
                            region_offset,
                            source,
                        }),
                    };
                    self.piece = piece;
                    written?;
                }
            }
            region_offset += bytes as u64;
            file_offset += bytes as u64;
        }
        Ok(())
    }

    /// Writes the pages of `piece` that are not zero.
    fn data(&mut self, piece: &[u8], file_offset: u64, crc: &mut ChunkCrc) -> io::Result<()> {
        let pages: Vec<_> = piece.chunks(PAGE).collect();
        let mut offset = 0;
        for run in pages.chunk_by(|a, b| is_zero(a) == is_zero(b)) {
            let bytes = run.len() * PAGE;
            if is_zero(run[0]) {
                crc.zeros(run.len() as u64);
            } else {
                let data = &piece[offset..offset + bytes];
                crc.data(data);
                self.file.write_all_at(data, file_offset + offset as u64)?;
                self.pages += run.len() as u64;
                self.sent(file_offset + offset as u64..file_offset + (offset + bytes) as u64);
            }
            offset += bytes;
        }
        Ok(())
    }

    fn sent(&mut self, written: Range<u64>) {
        if self.unsent.is_empty() {
            self.unsent = written;
        } else {
            self.unsent.end = written.end;
        }
        if self.unsent.end - self.unsent.start >= WRITE_BACK_BYTES {
            sparse::start_write_back(self.file, std::mem::take(&mut self.unsent));
        }
    }
}

/// Copies pages out of the process, or out of the file below it: through the mapping they would
/// count as this process's memory from then on.
fn copy(
    from: PageSource,
    region: &GuestRegionMmap,
    offset: u64,
    pages: &mut [u8],
) -> io::Result<()> {
    match (from, region.file_offset()) {
        (PageSource::File, Some(below)) => {
            below.file().read_exact_at(pages, below.start() + offset)
        }
        _ => region
            .read_slice(pages, MemoryRegionAddress(offset))
            .map_err(io::Error::other),
    }
}

fn is_zero(page: &[u8]) -> bool {
    // Blocks are long enough for the widest registers, and short enough to stop early.
    page.chunks(256)
        .all(|block| block.iter().fold(0, |bits, byte| bits | byte) == 0)
}
