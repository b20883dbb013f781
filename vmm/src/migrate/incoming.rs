//! Guest memory and state on their way in. Nothing that a peer says is believed.

use std::time::Duration;

use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use super::PAGE_BYTES;
use super::batch::{BadBatch, Content, DATA_PAGES_MAX, Table};
use super::digest::{self, Digest, Verify};
use super::error::Error;
use super::layout::Layout;
use super::message::{RoundKind, STATE_BYTES_MAX};
use super::outgoing;
use super::wire::{Wire, WireError};

/// Bytes of memory that a side reads in a second, at the least, when it compares all of it.
const READ_RATE_MIN: u64 = 100 << 20;

/// How much longer a peer may be silent for reading `pages` pages once more.
pub(super) fn time_to_read(pages: u64, verify: Verify) -> Duration {
    match verify {
        Verify::Sent => Duration::ZERO,
        Verify::Whole => {
            Duration::from_secs(pages.saturating_mul(PAGE_BYTES as u64) / READ_RATE_MIN + 1)
        }
    }
}

/// A round that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Round {
    pub(super) number: u32,
    pub(super) kind: RoundKind,
    /// Pages that have arrived in it.
    pub(super) pages: u64,
}

/// What has arrived of a machine.
#[derive(Debug)]
pub(super) struct Incoming {
    memory: GuestMemoryMmap,
    layout: Layout,
    digest: Digest,
    verify: Verify,
    max_rounds: u32,
    data: Vec<u8>,
    round: Option<Round>,
    /// Rounds that are over.
    pub(super) rounds: u32,
    last_is_over: bool,
    /// Pages that have arrived, each time counted.
    pub(super) pages: u64,
    state: Vec<u8>,
    state_total: Option<u64>,
}

fn unexpected(what: &'static str, kind: super::frame::Kind) -> Error {
    Error::Wire(WireError::Unexpected {
        found: kind.number(),
        wanted: what,
    })
}

impl Incoming {
    /// Into `memory`, all zero.
    pub(super) fn new(memory: GuestMemoryMmap, verify: Verify, max_rounds: u32) -> Self {
        let layout = Layout::of(&memory);
        let pages = usize::try_from(layout.pages()).unwrap_or(usize::MAX);
        Self {
            memory,
            digest: Digest::new(pages),
            layout,
            verify,
            max_rounds,
            data: vec![0; DATA_PAGES_MAX * PAGE_BYTES],
            round: None,
            rounds: 0,
            last_is_over: false,
            pages: 0,
            state: Vec::new(),
            state_total: None,
        }
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    pub(super) fn verify(&self) -> Verify {
        self.verify
    }

    /// A round begins. There are at most as many as were agreed, the last one included.
    pub(super) fn begin(&mut self, number: u32, kind: RoundKind) -> Result<(), Error> {
        let due = self.rounds + 1;
        let most = match kind {
            RoundKind::PreCopy => self.max_rounds,
            RoundKind::Last => self.max_rounds.saturating_add(1),
        };
        if self.round.is_some() || self.last_is_over || number != due || number > most {
            return Err(unexpected(
                "the round in its turn",
                super::frame::Kind::Round,
            ));
        }
        self.round = Some(Round {
            number,
            kind,
            pages: 0,
        });
        Ok(())
    }

    /// Pages come: reads their data and puts them into memory.
    pub(super) fn fill(&mut self, wire: &mut Wire, table: &Table) -> Result<(), Error> {
        let kind = super::frame::Kind::Pages;
        let round = self.round.as_mut().ok_or(unexpected("a round", kind))?;
        for (run, _) in &table.runs {
            round.pages += run.pages;
            self.pages += run.pages;
            self.layout
                .index_of(run.first_page, run.pages)
                .ok_or(WireError::Batch(BadBatch::Outside(run.first_page)))?;
        }
        // No page is sent twice in a round, which also bounds how long one can take.
        if round.pages > self.layout.pages() {
            return Err(WireError::Batch(BadBatch::TooMany).into());
        }
        wire.pace().earn(
            table
                .runs
                .iter()
                .map(|(run, _)| run.pages * PAGE_BYTES as u64)
                .sum(),
        );
        let bytes = table.marks.len() * PAGE_BYTES;
        let data = self
            .data
            .get_mut(..bytes)
            .ok_or(WireError::Batch(BadBatch::Counts))?;
        wire.read_data(data)?;
        self.put(table)
    }

    fn put(&mut self, table: &Table) -> Result<(), Error> {
        let mut marks = table.marks.iter();
        let mut data = &self.data[..];
        for (run, content) in &table.runs {
            let index = self
                .layout
                .index_of(run.first_page, run.pages)
                .ok_or(WireError::Batch(BadBatch::Outside(run.first_page)))?;
            let pages = run.first_page..run.first_page + run.pages;
            match content {
                Content::Zeros => {
                    for (index, page) in (index..).zip(pages) {
                        // A page that is zero stays untouched: it costs no memory.
                        if self.digest.mark(index) != 0 {
                            write(&self.memory, page, &[0; PAGE_BYTES])?;
                            self.digest.set(index, page, 0);
                        }
                    }
                }
                Content::Data => {
                    let bytes = usize::try_from(run.pages).unwrap_or(0) * PAGE_BYTES;
                    let (run_data, rest) = data
                        .split_at_checked(bytes)
                        .ok_or(WireError::Batch(BadBatch::Counts))?;
                    data = rest;
                    let contents = run_data.chunks_exact(PAGE_BYTES).zip(&mut marks);
                    for ((index, page), (bytes, mark)) in (index..).zip(pages).zip(contents) {
                        if digest::mark(bytes) != *mark {
                            return Err(WireError::Batch(BadBatch::Damaged(page)).into());
                        }
                        self.digest.set(index, page, *mark);
                    }
                    write(&self.memory, run.first_page, run_data)?;
                }
            }
        }
        Ok(())
    }

    /// A round is over. What kind it was.
    pub(super) fn end(&mut self, number: u32, pages: u64) -> Result<RoundKind, Error> {
        match self.round.take() {
            Some(round) if (round.number, round.pages) == (number, pages) => {
                self.rounds = number;
                self.last_is_over = round.kind == RoundKind::Last;
                Ok(round.kind)
            }
            _ => Err(unexpected(
                "the end of the round with all its pages",
                super::frame::Kind::RoundEnd,
            )),
        }
    }

    /// State comes, in pieces that follow each other.
    pub(super) fn take_state(
        &mut self,
        total: u64,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), Error> {
        let arrived = self.state.len() as u64;
        if total > STATE_BYTES_MAX {
            return Err(Error::TooLarge {
                what: "the machine's state",
                bytes: total,
                most: STATE_BYTES_MAX,
            });
        }
        if !self.last_is_over
            || *self.state_total.get_or_insert(total) != total
            || bytes.is_empty()
            || offset != arrived
            || arrived + bytes.len() as u64 > total
        {
            return Err(unexpected("state in its order", super::frame::Kind::State));
        }
        self.state.extend_from_slice(bytes);
        Ok(())
    }

    /// Compares with the source's digest. The state, which is complete.
    pub(super) fn agree(&mut self, theirs: u64) -> Result<Vec<u8>, Error> {
        let arrived = self.state.len() as u64;
        if !self.last_is_over || self.state_total.unwrap_or(0) != arrived {
            return Err(unexpected(
                "all pages and all state",
                super::frame::Kind::Digest,
            ));
        }
        if self.digest.sum() != theirs {
            return Err(Error::Differs(format!(
                "memory differs at the switchover: digest {theirs:016x} sent, {:016x} received",
                self.digest.sum()
            )));
        }
        if self.verify == Verify::Whole {
            outgoing::for_each_mark(&self.memory, &self.layout, |index, page, mark| {
                if self.digest.mark(index) == mark {
                    return Ok(());
                }
                Err(Error::Differs(format!(
                    "page {:#x} is not as it arrived: something else writes to this memory",
                    page * PAGE_BYTES as u64
                )))
            })?;
        }
        Ok(std::mem::take(&mut self.state))
    }
}

fn write(memory: &GuestMemoryMmap, first_page: u64, bytes: &[u8]) -> Result<(), Error> {
    memory
        .write_slice(bytes, GuestAddress(first_page * PAGE_BYTES as u64))
        .map_err(|error| Error::Machine("write guest memory", error.into()))
}
