//! Which pages of guest memory hold anything, found without touching them: reading a page that the
//! guest never used would have the host make one.
//!
//! Source: Linux, Documentation/admin-guide/mm/pagemap.rst.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use vm_memory::GuestRegionMmap;

use super::PAGE_BYTES;
use crate::os::sparse;

/// Where the bytes of a page are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageSource {
    /// Nowhere: it was never touched and is zero.
    Nowhere,
    /// In this process, in RAM or swapped out.
    Process,
    /// In the file below a private mapping, of which the guest has not changed them.
    File,
}

const PRESENT: u64 = 1 << 63;
const SWAPPED: u64 = 1 << 62;
/// Of a present page: it belongs to a file, so a private mapping has not been written to there.
const FILE_PAGE: u64 = 1 << 61;
const ENTRY_BYTES: usize = 8;
/// 32 MiB of guest memory at a time.
const ENTRIES: usize = 8192;

/// `/proc/self/pagemap`, read ahead.
#[derive(Debug)]
pub struct PageSources {
    /// `None` where there is no procfs: then every page counts as in use, which is slower and
    /// right.
    pagemap: Option<File>,
    buffer: Vec<u8>,
    /// Page numbers of this process that `buffer` is about.
    read: Range<u64>,
}

impl PageSources {
    /// Opens the map of this process.
    pub fn open() -> Self {
        Self {
            pagemap: File::open("/proc/self/pagemap").ok(),
            buffer: Vec::new(),
            read: 0..0,
        }
    }

    /// Says where the pages of `region` from `offset` on are, one for each of `sources`. Ask in
    /// ascending order, while no vCPU runs.
    ///
    /// # Errors
    /// The map, or the file below the region, cannot be read.
    pub fn find(
        &mut self,
        region: &GuestRegionMmap,
        offset: u64,
        sources: &mut [PageSource],
    ) -> io::Result<()> {
        let first = region.as_ptr() as u64 / PAGE_BYTES + offset / PAGE_BYTES;
        let untouched = match region.file_offset() {
            Some(_) => PageSource::File,
            // What others wrote into shared memory shows only when it is read.
            None if region.flags() & libc::MAP_SHARED != 0 => PageSource::Process,
            None => PageSource::Nowhere,
        };
        for (page, source) in (first..).zip(sources.iter_mut()) {
            *source = match self.entry(page)? {
                Some(entry) if entry & (PRESENT | SWAPPED) == 0 => untouched,
                Some(entry) if entry & SWAPPED == 0 && entry & FILE_PAGE != 0 => match untouched {
                    PageSource::File => PageSource::File,
                    PageSource::Nowhere | PageSource::Process => PageSource::Process,
                },
                Some(_) | None => PageSource::Process,
            };
        }
        if let Some(below) = region.file_offset() {
            let start = below.start() + offset;
            clear_holes(below.file(), start, sources)?;
        }
        Ok(())
    }

    /// The entry of a page of this process, if there is a map.
    fn entry(&mut self, page: u64) -> io::Result<Option<u64>> {
        let Some(pagemap) = &self.pagemap else {
            return Ok(None);
        };
        if !self.read.contains(&page) {
            self.buffer.resize(ENTRIES * ENTRY_BYTES, 0);
            let bytes = pagemap.read_at(&mut self.buffer, page * ENTRY_BYTES as u64)?;
            self.read = page..page + (bytes / ENTRY_BYTES) as u64;
        }
        let index = usize::try_from(page - self.read.start).unwrap_or(usize::MAX);
        let entry = self.buffer.chunks_exact(ENTRY_BYTES).nth(index);
        match entry.and_then(|bytes| bytes.try_into().ok()) {
            Some(bytes) if self.read.contains(&page) => Ok(Some(u64::from_ne_bytes(bytes))),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// Pages that are holes of the file are nowhere.
fn clear_holes(file: &File, start: u64, sources: &mut [PageSource]) -> io::Result<()> {
    let end = start + sources.len() as u64 * PAGE_BYTES;
    let mut hole = start;
    while hole < end {
        let data = sparse::next_data(file, hole..end)?.unwrap_or(end..end);
        // A page with any data is data.
        let pages = (hole - start).div_ceil(PAGE_BYTES)..(data.start - start) / PAGE_BYTES;
        for page in pages {
            let source = usize::try_from(page)
                .ok()
                .and_then(|page| sources.get_mut(page));
            if let Some(source @ PageSource::File) = source {
                *source = PageSource::Nowhere;
            }
        }
        hole = data.end;
    }
    Ok(())
}

#[cfg(test)]
#[path = "in_use_test.rs"]
mod tests;
