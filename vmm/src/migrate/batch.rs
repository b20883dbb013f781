//! The body of a Pages frame: pages from anywhere in memory, as runs; zeros without data.
//!
//! `u32` runs, `u32` pages with data, the runs (`u64` page, `u32` pages, `u32` content), a mark for
//! each page with data, then the pages themselves. All little endian.

use super::PAGE_BYTES;
use super::digest::{self, Mark};
use super::page_set::Run;

/// Pages with data in a frame. 1 MiB: fewer system calls, and the buffer still fits a CPU's cache.
pub(super) const DATA_PAGES_MAX: usize = 256;
/// Runs in a frame.
pub(super) const RUNS_MAX: usize = 512;
/// Pages in a frame, zeros included: the source is never silent for longer than it takes to look
/// at so many.
pub(super) const PAGES_MAX: u64 = 16384;
const COUNTS_BYTES: usize = 8;
const RUN_BYTES: usize = 16;
const MARK_BYTES: usize = 4;
/// The longest body.
pub(super) const BODY_BYTES_MAX: usize =
    COUNTS_BYTES + RUNS_MAX * RUN_BYTES + DATA_PAGES_MAX * (MARK_BYTES + PAGE_BYTES);

/// What the pages of a run hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// Zeros, not sent.
    Zeros,
    /// Anything, sent.
    Data,
}

/// A frame in the making.
#[derive(Debug)]
pub(super) struct Batch {
    runs: Vec<(Run, Content)>,
    marks: Vec<Mark>,
    data: Vec<u8>,
    pages: u64,
}

impl Batch {
    /// An empty one, with room for the most.
    pub(super) fn new() -> Self {
        Self {
            runs: Vec::with_capacity(RUNS_MAX),
            marks: Vec::with_capacity(DATA_PAGES_MAX),
            data: vec![0; DATA_PAGES_MAX * PAGE_BYTES],
            pages: 0,
        }
    }

    /// How many more pages fit, whatever they hold.
    pub(super) fn room(&self) -> usize {
        let pages = usize::try_from(PAGES_MAX - self.pages).unwrap_or(usize::MAX);
        (DATA_PAGES_MAX - self.marks.len())
            .min(RUNS_MAX - self.runs.len())
            .min(pages)
    }

    /// Pages in it, and those of them without data.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.pages, self.pages - self.marks.len() as u64)
    }

    /// Takes `pages` pages from `first_page` on, at most [`Batch::room`]. `read` fills the buffer
    /// from guest memory; what it has read is what is checked, marked and sent, though the guest
    /// may write the pages meanwhile. `seen` learns each page's mark.
    pub(super) fn take<E>(
        &mut self,
        first_page: u64,
        pages: usize,
        read: impl FnOnce(&mut [u8]) -> Result<(), E>,
        mut seen: impl FnMut(u64, Mark),
    ) -> Result<(), E> {
        let pages = pages.min(self.room());
        let start = self.marks.len() * PAGE_BYTES;
        read(&mut self.data[start..start + pages * PAGE_BYTES])?;
        let mut kept = start;
        for (page, offset) in (first_page..).zip((start..).step_by(PAGE_BYTES).take(pages)) {
            let mark = digest::mark(&self.data[offset..offset + PAGE_BYTES]);
            seen(page, mark);
            if mark == 0 {
                self.push(page, Content::Zeros);
                continue;
            }
            if kept != offset {
                self.data.copy_within(offset..offset + PAGE_BYTES, kept);
            }
            kept += PAGE_BYTES;
            self.marks.push(mark);
            self.push(page, Content::Data);
        }
        Ok(())
    }

    fn push(&mut self, page: u64, content: Content) {
        self.pages += 1;
        match self.runs.last_mut() {
            Some((run, last)) if *last == content && run.first_page + run.pages == page => {
                run.pages += 1;
            }
            _ => self.runs.push((
                Run {
                    first_page: page,
                    pages: 1,
                },
                content,
            )),
        }
    }

    /// The body without the data, appended to `head`; and the data.
    pub(super) fn encode(&self, head: &mut Vec<u8>) -> &[u8] {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
        head.extend(count(self.runs.len()));
        head.extend(count(self.marks.len()));
        for (run, content) in &self.runs {
            head.extend(run.first_page.to_le_bytes());
            head.extend(u32::try_from(run.pages).unwrap_or(u32::MAX).to_le_bytes());
            head.extend(match content {
                Content::Zeros => 0u32.to_le_bytes(),
                Content::Data => 1u32.to_le_bytes(),
            });
        }
        for mark in &self.marks {
            head.extend(mark.to_le_bytes());
        }
        &self.data[..self.marks.len() * PAGE_BYTES]
    }

    /// Empties it.
    pub(super) fn clear(&mut self) {
        self.runs.clear();
        self.marks.clear();
        self.pages = 0;
    }
}

/// Why a Pages frame is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadBatch {
    /// More than allowed, or a body of another length than its counts say.
    #[error("a frame of pages whose counts do not fit its length")]
    Counts,
    /// A run without pages, of no known content, or with other numbers than the data.
    #[error("a frame of pages with an impossible run")]
    Run,
    /// A page outside memory.
    #[error("pages from {0:#x} on, which is outside this machine's memory")]
    Outside(u64),
    /// A page with another content than it had when it was sent.
    #[error("page {0:#x} arrived damaged")]
    Damaged(u64),
    /// More pages than memory has.
    #[error("more pages in a round than the machine has")]
    TooMany,
}

/// The counts at the start of a body: what follows them, and how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counts {
    runs: usize,
    data_pages: usize,
}

impl Counts {
    /// Bytes of the counts.
    pub(super) const BYTES: usize = COUNTS_BYTES;

    /// Reads the first bytes of a body of `length`.
    pub(super) fn parse(bytes: [u8; COUNTS_BYTES], length: usize) -> Result<Self, BadBatch> {
        let [a, b, c, d, e, f, g, h] = bytes;
        let count = |bytes| usize::try_from(u32::from_le_bytes(bytes)).unwrap_or(usize::MAX);
        let counts = Self {
            runs: count([a, b, c, d]),
            data_pages: count([e, f, g, h]),
        };
        if counts.runs > RUNS_MAX
            || counts.data_pages > DATA_PAGES_MAX
            || counts.runs == 0
            || length != COUNTS_BYTES + counts.table_bytes() + counts.data_pages * PAGE_BYTES
        {
            return Err(BadBatch::Counts);
        }
        Ok(counts)
    }

    /// Bytes of the runs and marks.
    pub(super) fn table_bytes(self) -> usize {
        self.runs * RUN_BYTES + self.data_pages * MARK_BYTES
    }

    /// Reads the runs and marks.
    pub(super) fn table(self, bytes: &[u8]) -> Result<Table, BadBatch> {
        let (runs, marks) = bytes
            .split_at_checked(self.runs * RUN_BYTES)
            .ok_or(BadBatch::Counts)?;
        let mut data_pages = 0u64;
        let runs = runs.as_chunks::<RUN_BYTES>().0.iter().map(|bytes| {
            let [a, b, c, d, e, f, g, h, i, j, k, l, content @ ..] = *bytes;
            let run = Run {
                first_page: u64::from_le_bytes([a, b, c, d, e, f, g, h]),
                pages: u32::from_le_bytes([i, j, k, l]).into(),
            };
            let content = match u32::from_le_bytes(content) {
                0 => Content::Zeros,
                1 => Content::Data,
                _ => return Err(BadBatch::Run),
            };
            if run.pages == 0 || run.pages > PAGES_MAX {
                return Err(BadBatch::Run);
            }
            if content == Content::Data {
                data_pages += run.pages;
            }
            Ok((run, content))
        });
        let runs = runs.collect::<Result<Vec<_>, _>>()?;
        if data_pages != self.data_pages as u64 {
            return Err(BadBatch::Run);
        }
        let marks = marks.as_chunks::<MARK_BYTES>().0.iter();
        Ok(Table {
            runs,
            marks: marks.map(|mark| Mark::from_le_bytes(*mark)).collect(),
        })
    }
}

/// What a Pages frame announces before its data.
#[derive(Debug)]
pub(super) struct Table {
    /// The runs in the order of their data.
    pub(super) runs: Vec<(Run, Content)>,
    /// One mark for each page with data, in their order.
    pub(super) marks: Vec<Mark>,
}

#[cfg(test)]
#[path = "batch_test.rs"]
mod tests;
