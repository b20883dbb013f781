//! A machine that leaves, up to READY.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::PAGE_BYTES;
use super::convergence::{self, Convergence, Limits, Next, Observed, Why};
use super::delivery;
use super::digest::Verify;
use super::ends::Origin;
use super::error::Error;
use super::incoming::time_to_read;
use super::message::{
    DESCRIPTION_BYTES_MAX, Message, Purpose, RoundKind, STATE_BYTES_MAX, STATE_CHUNK_BYTES,
};
use super::options::{MAX_ROUNDS_ACCEPTED, Options};
use super::outgoing::{Outgoing, Which};
use super::pace::Pace;
use super::page_set::PageSet;
use super::phase::Phase;
use super::progress::Teller;
use super::session::Session;
use super::transport::Dial;
use super::wire::{Wire, WireError};

/// Whether writes are being logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Log {
    Off,
    On,
}

/// A machine that is leaving.
pub(super) struct Departure<'a> {
    pub(super) origin: &'a mut dyn Origin,
    pub(super) options: &'a Options,
    pub(super) tell: Teller<'a>,
    pub(super) log: Log,
    /// When the vCPUs were told to stand still.
    pub(super) paused: Option<Instant>,
    pub(super) wire: Option<Wire>,
    /// The shortest that an answer has taken. One that was late, as the first is while the target
    /// wakes up, says nothing about those that follow.
    pub(super) round_trip: Duration,
}

/// What is left when pre-copy ends.
pub(super) struct PreCopied {
    pub(super) rest: PageSet,
    pub(super) rounds: u32,
    pub(super) why: Why,
    pub(super) expected_downtime: Duration,
}

/// A machine that the target could run, paused here.
pub(super) struct Prepared {
    pub(super) session: Session,
    /// How long the target holds it.
    pub(super) hold: Duration,
    pub(super) pre_copied: PreCopied,
    pub(super) state_bytes: u64,
    pub(super) outgoing: Outgoing,
}

impl Departure<'_> {
    /// All phases up to READY.
    pub(super) fn prepare(&mut self, dial: &mut dyn Dial) -> Result<Prepared, Error> {
        let session = Session::random().map_err(Error::Random)?;
        let pace = Pace::new(self.options.peer_timeout);
        // Kept even on failure: its last words may say why.
        let wire = self
            .wire
            .insert(dial.dial(self.options.peer_timeout, pace)?);
        self.round_trip = delivery::hello(wire, session, Purpose::Move)?;
        // Not before somebody listens: describing makes the guest stand still for a moment.
        let description = self
            .origin
            .description()
            .map_err(|error| Error::Machine("describe the machine", error))?;
        let mut outgoing = Outgoing::new(self.origin.memory());
        describe(wire, &outgoing, self.options, description)?;
        let mut pre_copied = self.pre_copy(&mut outgoing)?;

        self.tell.enter(Phase::Pause);
        self.paused = Some(Instant::now());
        self.origin
            .pause()
            .map_err(|error| Error::Machine("pause the vCPUs", error))?;
        // Saving may write to guest memory, so the log is read after it.
        let state = self
            .origin
            .save()
            .map_err(|error| Error::Machine("save the state", error))?;
        let late = outgoing.ask(self.origin, Which::Dirty)?;
        pre_copied.rest.merge(&late);

        self.tell.enter(Phase::LastPages);
        let number = pre_copied.rounds + 1;
        self.round(&mut outgoing, &pre_copied.rest, number, RoundKind::Last)?;
        self.tell.enter(Phase::State);
        self.state(&state)?;
        self.tell.enter(Phase::Digest);
        let hold = self.agree(&outgoing, session)?;
        self.tell.enter(Phase::Ready);
        Ok(Prepared {
            session,
            hold,
            pre_copied,
            state_bytes: state.len() as u64,
            outgoing,
        })
    }

    fn wire(&mut self) -> Result<&mut Wire, Error> {
        self.wire.as_mut().ok_or(Error::Wire(WireError::Closed))
    }

    /// Sends memory until the rest is worth a pause.
    fn pre_copy(&mut self, outgoing: &mut Outgoing) -> Result<PreCopied, Error> {
        // Set before the call: a log that fails half way is ended too.
        self.log = Log::On;
        self.origin
            .start_dirty_log()
            .map_err(|error| Error::Machine("log the pages that the guest writes", error))?;
        let mut set = outgoing.ask(self.origin, Which::InUse)?;
        let mut convergence = Convergence::new(limits(self.options));
        let mut round = 0;
        loop {
            round += 1;
            self.tell.enter(Phase::PreCopy { round });
            let (start, before) = (Instant::now(), self.wire()?.moved());
            self.round(outgoing, &set, round, RoundKind::PreCopy)?;
            let time = start.elapsed();
            set = outgoing.ask(self.origin, Which::Dirty)?;

            let bytes = self.wire()?.moved() - before;
            let round_trip = self.round_trip;
            // The answer's way is no part of the rate, as far as it can be told apart.
            let sending = time.saturating_sub(round_trip).max(time / 4);
            let seen = Observed {
                round,
                bytes_left: set.count() * PAGE_BYTES as u64,
                rate: convergence::rate(bytes, sending),
                round_trip,
            };
            let next = convergence.after(seen);
            let expected_downtime =
                convergence::expected_downtime(seen.bytes_left, seen.rate, round_trip);
            let now = &mut self.tell.now;
            now.rate = seen.rate;
            now.dirty_rate = convergence::rate(seen.bytes_left, time);
            now.expected_downtime_ns = nanoseconds(expected_downtime);
            now.outlook = convergence.outlook();
            if let Next::SwitchOver(why) = next {
                return Ok(PreCopied {
                    rest: set,
                    rounds: round,
                    why,
                    expected_downtime,
                });
            }
        }
    }

    /// Sends the pages of `set`.
    fn round(
        &mut self,
        outgoing: &mut Outgoing,
        set: &PageSet,
        number: u32,
        kind: RoundKind,
    ) -> Result<(), Error> {
        let (tell, cancel) = (&mut self.tell, &self.options.cancel);
        let wire = self.wire.as_mut().ok_or(Error::Wire(WireError::Closed))?;
        tell.now.bytes_total = set.count() * PAGE_BYTES as u64;
        tell.now.bytes_done = 0;
        wire.send(&Message::Round { number, kind })?;
        outgoing.send(wire, set, &mut |pages, wire| {
            tell.now.bytes_done += pages * PAGE_BYTES as u64;
            tell.now.bytes_sent = wire.moved();
            tell.tick();
            if cancel.load(Relaxed) {
                return Err(Error::Cancelled);
            }
            Ok(())
        })?;
        wire.send(&Message::RoundEnd {
            number,
            pages: set.count(),
        })?;
        if kind == RoundKind::PreCopy {
            wire.pace().renew();
            let asked = Instant::now();
            match wire.receive_message("the end of a round")? {
                Message::RoundDone { number: done } if done == number => {
                    self.round_trip = self.round_trip.min(asked.elapsed());
                }
                other => return Err(delivery::surprise(other, "the end of a round")),
            }
        }
        tell.now.bytes_sent = wire.moved();
        Ok(())
    }

    fn state(&mut self, state: &[u8]) -> Result<(), Error> {
        let total = state.len() as u64;
        if total > STATE_BYTES_MAX {
            return Err(Error::TooLarge {
                what: "the machine's state",
                bytes: total,
                most: STATE_BYTES_MAX,
            });
        }
        let mut offset = 0;
        for chunk in state.chunks(STATE_CHUNK_BYTES) {
            self.wire()?.send(&Message::State {
                total,
                offset,
                bytes: chunk.to_vec(),
            })?;
            offset += chunk.len() as u64;
        }
        Ok(())
    }

    /// Sends the digest and waits for READY: how long the target holds the machine.
    fn agree(&mut self, outgoing: &Outgoing, session: Session) -> Result<Duration, Error> {
        if self.options.verify == Verify::Whole {
            outgoing.verify()?;
        }
        let more = time_to_read(outgoing.layout().pages(), self.options.verify);
        let wire = self.wire()?;
        wire.send(&Message::Digest {
            sum: outgoing.sum(),
        })?;
        wire.pace().allow(more);
        match wire.receive_message("READY")? {
            Message::Ready {
                session: theirs,
                hold_ms,
            } if theirs == session => {
                // A target's number must not keep us for weeks.
                let most = self.options.commit_timeout * 4;
                Ok(Duration::from_millis(hold_ms.into()).min(most))
            }
            other => Err(delivery::surprise(other, "READY")),
        }
    }
}

/// The limits asked for, as far as a target takes them.
fn limits(options: &Options) -> Limits {
    Limits {
        max_rounds: options.limits.max_rounds.clamp(1, MAX_ROUNDS_ACCEPTED),
        ..options.limits
    }
}

fn describe(
    wire: &mut Wire,
    outgoing: &Outgoing,
    options: &Options,
    description: Vec<u8>,
) -> Result<(), Error> {
    let bytes = description.len() as u64;
    if bytes > DESCRIPTION_BYTES_MAX {
        return Err(Error::TooLarge {
            what: "the machine's description",
            bytes,
            most: DESCRIPTION_BYTES_MAX,
        });
    }
    wire.send(&Message::Machine {
        layout: outgoing.layout().clone(),
        max_rounds: limits(options).max_rounds,
        verify: options.verify,
        description,
    })?;
    match wire.receive_message("the target's judgement")? {
        Message::Accepted => Ok(()),
        other => Err(delivery::surprise(other, "the target's judgement")),
    }
}

pub(super) fn nanoseconds(time: Duration) -> u64 {
    time.as_nanos().try_into().unwrap_or(u64::MAX)
}
