//! What the source says to be heard: hello, commit until it is acknowledged, or a parting word.

use std::thread;
use std::time::{Duration, Instant};

use super::error::{Error, SendError};
use super::message::{Message, Purpose, VERSION};
use super::pace::Pace;
use super::session::{Session, SourceEvent, SourceSide, SourceStep};
use super::tls;
use super::transport::Dial;
use super::wire::{Wire, WireError};
use crate::error_chain::in_one_line;

/// The first and the longest pause between two connections that bring a COMMIT.
const PAUSES: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(500)];

/// Says who we are and what for. How long the answer took.
pub(super) fn hello(
    wire: &mut Wire,
    session: Session,
    purpose: Purpose,
) -> Result<Duration, Error> {
    let asked = Instant::now();
    wire.send(&Message::Hello {
        version: VERSION,
        purpose,
        session,
    })?;
    match wire.receive_message("a welcome")? {
        Message::Welcome { version: VERSION } => Ok(asked.elapsed()),
        Message::Welcome { version } => Err(Error::Version {
            peer: version,
            ours: VERSION,
        }),
        other => Err(surprise(other, "a welcome")),
    }
}

/// What a message means that is not the one that was due.
pub(super) fn surprise(message: Message, wanted: &'static str) -> Error {
    match message {
        Message::Refused(refusal) => Error::Refused(refusal),
        Message::Failed(text) | Message::Gone(text) | Message::Abort(text) => Error::Peer(text),
        other => Error::Wire(WireError::Unexpected {
            found: other.kind().number(),
            wanted,
        }),
    }
}

/// Before the commit: tells the target that we go on here, or learns why it has hung up.
pub(super) fn part(wire: &mut Wire, why: Error) -> Error {
    match why {
        // It went away: what it said last explains it better. It is here already, if at all.
        Error::Wire(WireError::Closed | WireError::Io(_)) => last_words(wire).unwrap_or(why),
        Error::Refused(_) | Error::Peer(_) => why,
        why => {
            // Whether it hears this or the end of the connection is the same to it.
            drop(wire.send(&Message::Abort(in_one_line(&why))));
            why
        }
    }
}

fn last_words(wire: &mut Wire) -> Option<Error> {
    // A target sends nothing unasked but the end of one round before its last words.
    for _ in 0..2 {
        match wire.poll_message("last words") {
            Ok(Some(Message::RoundDone { .. })) => {}
            Ok(Some(message)) => return Some(surprise(message, "last words")),
            // A TLS alert, say.
            Err(WireError::Io(error)) => return Some(tls::explain(error)),
            Ok(None) | Err(_) => return None,
        }
    }
    None
}

/// How long to try.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    /// One connection.
    pub(super) peer: Duration,
    /// All of them.
    pub(super) whole: Duration,
}

/// A COMMIT that arrived.
#[derive(Clone, Copy, Debug)]
pub(super) struct Delivered {
    /// Connections it took beyond the first.
    pub(super) repeated: u32,
}

/// Sends COMMIT over `first`, then over new connections, until the target answers or time is over.
pub(super) fn deliver(
    mut side: SourceSide,
    dial: &mut dyn Dial,
    session: Session,
    first: Option<Wire>,
    timeouts: Timeouts,
) -> Result<Delivered, SendError> {
    let deadline = Instant::now() + timeouts.whole;
    let mut first = first;
    let mut repeated = 0;
    let [mut pause, longest_pause] = PAUSES;
    loop {
        let answer = match first.take() {
            Some(mut wire) => commit(&mut wire, session),
            None => {
                let left = deadline.saturating_duration_since(Instant::now());
                again(dial, session, left.min(timeouts.peer))
            }
        };
        let (event, why) = match answer {
            Ok(()) => (SourceEvent::Running, Error::Wire(WireError::Closed)),
            Err(Answer::Gone(text)) => (SourceEvent::Gone, Error::Peer(text)),
            Err(Answer::None(why)) if Instant::now() >= deadline => (SourceEvent::TimeOver, why),
            Err(Answer::None(why)) => (SourceEvent::Fault, why),
        };
        let (next, step) = side.on(event);
        side = next;
        let target = dial.target();
        match (side, step) {
            (SourceSide::Moved, _) => return Ok(Delivered { repeated }),
            (SourceSide::Lost, _) => {
                return Err(SendError::Lost {
                    target,
                    session,
                    why,
                });
            }
            (_, SourceStep::CommitAgain) => {
                repeated += 1;
                thread::sleep(pause.min(deadline.saturating_duration_since(Instant::now())));
                pause = (pause * 2).min(longest_pause);
            }
            _ => {
                return Err(SendError::Unconfirmed {
                    target,
                    session,
                    seconds: timeouts.whole.as_secs(),
                    why,
                });
            }
        }
    }
}

/// What came instead of RUNNING.
enum Answer {
    /// The target has nothing.
    Gone(String),
    /// No answer.
    None(Error),
}

impl From<WireError> for Answer {
    fn from(error: WireError) -> Self {
        Self::None(Error::Wire(error))
    }
}

fn commit(wire: &mut Wire, session: Session) -> Result<(), Answer> {
    wire.pace().renew();
    wire.send(&Message::Commit { session })?;
    match wire.receive_message("RUNNING")? {
        Message::Running { session: theirs } if theirs == session => Ok(()),
        Message::Gone(text) => Err(Answer::Gone(text)),
        other => Err(Answer::None(surprise(other, "RUNNING"))),
    }
}

fn again(dial: &mut dyn Dial, session: Session, limit: Duration) -> Result<(), Answer> {
    let mut wire = dial.dial(limit, Pace::new(limit)).map_err(Answer::None)?;
    hello(&mut wire, session, Purpose::Commit).map_err(Answer::None)?;
    commit(&mut wire, session)
}
