//! Guest memory on its way out.

use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use super::PAGE_BYTES;
use super::batch::Batch;
use super::digest::{self, Digest};
use super::ends::Origin;
use super::error::Error;
use super::layout::Layout;
use super::page_set::PageSet;
use super::wire::Wire;

/// What has been sent of a machine's memory.
#[derive(Debug)]
pub(super) struct Outgoing {
    memory: GuestMemoryMmap,
    layout: Layout,
    digest: Digest,
    batch: Batch,
    /// Pages sent, each time counted.
    pub(super) pages: u64,
    /// Those of them without data.
    pub(super) zero_pages: u64,
}

/// Which pages of each region are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// Those that may hold something.
    InUse,
    /// Those written since the last time.
    Dirty,
}

impl Outgoing {
    pub(super) fn new(memory: &GuestMemoryMmap) -> Self {
        let layout = Layout::of(memory);
        let pages = usize::try_from(layout.pages()).unwrap_or(usize::MAX);
        Self {
            memory: memory.clone(),
            digest: Digest::new(pages),
            layout,
            batch: Batch::new(),
            pages: 0,
            zero_pages: 0,
        }
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The digest of what was sent.
    pub(super) fn sum(&self) -> u64 {
        self.digest.sum()
    }

    /// Asks the machine which pages to send.
    pub(super) fn ask(&self, origin: &mut dyn Origin, which: Which) -> Result<PageSet, Error> {
        let mut set = PageSet::new(&self.layout);
        let mut bitmap = Vec::new();
        for region in 0..self.layout.regions().len() {
            let result = match which {
                Which::InUse => origin.pages_in_use(region, &mut bitmap),
                Which::Dirty => origin.take_dirty(region, &mut bitmap),
            };
            result.map_err(|error| Error::Machine("read the log of written pages", error))?;
            set.add(region, &bitmap);
        }
        Ok(set)
    }

    /// Sends the pages of `set`; `each` is told after every frame how many pages it had.
    pub(super) fn send(
        &mut self,
        wire: &mut Wire,
        set: &PageSet,
        each: &mut dyn FnMut(u64, &Wire) -> Result<(), Error>,
    ) -> Result<(), Error> {
        for run in set.runs() {
            let (mut page, mut left) = (run.first_page, run.pages);
            while left > 0 {
                if self.batch.room() == 0 {
                    self.flush(wire, each)?;
                }
                let room = self.batch.room() as u64;
                let pages = left.min(room);
                self.take(page, pages)?;
                page += pages;
                left -= pages;
            }
        }
        self.flush(wire, each)
    }

    fn take(&mut self, first_page: u64, pages: u64) -> Result<(), Error> {
        let start = self.layout.index_of(first_page, pages).unwrap_or(0);
        let (memory, digest) = (&self.memory, &mut self.digest);
        let address = GuestAddress(first_page * PAGE_BYTES as u64);
        self.batch
            .take(
                first_page,
                usize::try_from(pages).unwrap_or(0),
                |bytes| memory.read_slice(bytes, address),
                |page, mark| {
                    let offset = usize::try_from(page - first_page).unwrap_or(usize::MAX);
                    digest.set(start + offset, page, mark);
                },
            )
            .map_err(|error| Error::Machine("read guest memory", error.into()))
    }

    fn flush(
        &mut self,
        wire: &mut Wire,
        each: &mut dyn FnMut(u64, &Wire) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let (pages, zeros) = self.batch.counts();
        if pages == 0 {
            return Ok(());
        }
        wire.send_pages(&self.batch)?;
        self.batch.clear();
        self.pages += pages;
        self.zero_pages += zeros;
        each(pages, wire)
    }

    /// Reads all memory once more: `Err` names the first page that was not sent as it is now.
    pub(super) fn verify(&self) -> Result<(), Error> {
        for_each_mark(&self.memory, &self.layout, |index, page, mark| {
            if self.digest.mark(index) == mark {
                return Ok(());
            }
            Err(Error::Differs(format!(
                "page {:#x} is not as it was sent: a write went past the dirty log",
                page * PAGE_BYTES as u64
            )))
        })
    }
}

/// Reads all of `memory`: place among all pages, number, mark of each page.
pub(super) fn for_each_mark(
    memory: &GuestMemoryMmap,
    layout: &Layout,
    mut each: impl FnMut(usize, u64, digest::Mark) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut bytes = [0; PAGE_BYTES];
    let pages = layout
        .regions()
        .iter()
        .flat_map(|region| region.first_page..region.first_page + region.pages);
    for (index, page) in pages.enumerate() {
        memory
            .read_slice(&mut bytes, GuestAddress(page * PAGE_BYTES as u64))
            .map_err(|error| Error::Machine("read guest memory", error.into()))?;
        each(index, page, digest::mark(&bytes))?;
    }
    Ok(())
}
