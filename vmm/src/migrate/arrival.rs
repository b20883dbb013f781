//! A machine that arrives, up to READY.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::PAGE_BYTES;
use super::delivery::surprise;
use super::ends::{Destination, Refusal};
use super::error::{Error, ReceiveError};
use super::incoming::{Incoming, time_to_read};
use super::message::{Message, RoundKind, VERSION};
use super::options::MAX_ROUNDS_ACCEPTED;
use super::phase::Phase;
use super::progress::Teller;
use super::wire::{self, Wire};
use crate::error_chain::in_one_line;

/// A machine that is arriving.
pub(super) struct Arrival<'a> {
    pub(super) destination: &'a mut dyn Destination,
    pub(super) tell: Teller<'a>,
    pub(super) cancel: &'a AtomicBool,
    pub(super) wire: Wire,
    /// Whether the destination has anything to drop.
    pub(super) has_machine: bool,
}

impl Arrival<'_> {
    /// All phases up to READY.
    pub(super) fn take(&mut self) -> Result<Incoming, Error> {
        self.wire.send(&Message::Welcome { version: VERSION })?;
        let mut incoming = self.judge()?;
        loop {
            if self.cancel.load(Relaxed) {
                return Err(Error::Cancelled);
            }
            match self.wire.receive()? {
                wire::Incoming::Pages(table) => {
                    incoming.fill(&mut self.wire, &table)?;
                    let pages = table.runs.iter().map(|(run, _)| run.pages).sum::<u64>();
                    self.tell.now.bytes_done += pages * PAGE_BYTES as u64;
                    self.tell.now.bytes_sent = self.wire.moved();
                    self.tell.tick();
                }
                wire::Incoming::Message(Message::Round { number, kind }) => {
                    incoming.begin(number, kind)?;
                    self.wire.pace().renew();
                    self.tell.now.bytes_done = 0;
                    self.tell.enter(match kind {
                        RoundKind::PreCopy => Phase::PreCopy { round: number },
                        RoundKind::Last => Phase::LastPages,
                    });
                }
                wire::Incoming::Message(Message::RoundEnd { number, pages }) => {
                    match incoming.end(number, pages)? {
                        RoundKind::PreCopy => self.wire.send(&Message::RoundDone { number })?,
                        RoundKind::Last => {
                            self.tell.enter(Phase::State);
                            let pages = incoming.layout().pages();
                            self.wire
                                .pace()
                                .allow(time_to_read(pages, incoming.verify()));
                        }
                    }
                }
                wire::Incoming::Message(Message::State {
                    total,
                    offset,
                    bytes,
                }) => incoming.take_state(total, offset, &bytes)?,
                wire::Incoming::Message(Message::Digest { sum }) => {
                    self.tell.enter(Phase::Digest);
                    let state = incoming.agree(sum)?;
                    self.destination.load(&state).map_err(Error::Refuses)?;
                    return Ok(incoming);
                }
                wire::Incoming::Message(other) => {
                    return Err(surprise(other, "pages, state or digest"));
                }
            }
        }
    }

    /// Whether the machine can run here, and its memory if so.
    fn judge(&mut self) -> Result<Incoming, Error> {
        let (layout, max_rounds, verify, description) =
            match self.wire.receive_message("a machine's description")? {
                Message::Machine {
                    layout,
                    max_rounds,
                    verify,
                    description,
                } => (layout, max_rounds, verify, description),
                other => return Err(surprise(other, "a machine's description")),
            };
        if max_rounds == 0 || max_rounds > MAX_ROUNDS_ACCEPTED {
            return Err(Error::Refuses(Refusal::because(format!(
                "{max_rounds} rounds of pre-copy; from 1 to {MAX_ROUNDS_ACCEPTED} are taken here"
            ))));
        }
        let memory = self
            .destination
            .accept(&description)
            .map_err(Error::Refuses)?;
        self.has_machine = true;
        let incoming = Incoming::new(memory, verify, max_rounds);
        if *incoming.layout() != layout {
            return Err(Error::Refuses(Refusal::because(format!(
                "{} pages of memory in {} regions there, {} in {} here",
                layout.pages(),
                layout.regions().len(),
                incoming.layout().pages(),
                incoming.layout().regions().len(),
            ))));
        }
        self.wire.send(&Message::Accepted)?;
        Ok(incoming)
    }

    /// Drops everything and says so.
    pub(super) fn give_up(mut self, why: Error) -> ReceiveError {
        if self.has_machine {
            self.destination.discard();
        }
        let message = match &why {
            Error::Refuses(refusal) => Message::Refused(refusal.clone()),
            why => Message::Failed(in_one_line(why)),
        };
        self.wire.send_last(&message);
        ReceiveError::HoldsNothing {
            phase: self.tell.now.phase,
            why,
        }
    }
}
