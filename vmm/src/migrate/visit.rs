//! Who has connected to the target, and what for.

use std::time::Duration;

use super::delivery::surprise;
use super::error::Error;
use super::link::Channel;
use super::message::{Message, Purpose, VERSION};
use super::pace::Pace;
use super::session::{Session, TargetEvent, TargetSide, TargetStep};
use super::transport::Accept;
use super::wire::{Wire, WireError};
use crate::error_chain::in_one_line;

/// A visitor who has said what he wants.
#[derive(Debug)]
pub(super) enum Visit {
    /// A source that brings a machine. It has not been welcomed yet.
    Move(Wire, Session),
    /// A source that brings a COMMIT.
    Commit(Wire, Session),
    /// Nobody: closed again without a word, as one does to see whether anybody listens.
    Silent,
    /// Nobody that we know: another protocol, another version, no certificate.
    Stranger(Error),
}

/// Hears what a visitor wants, for as long as `limit` allows.
pub(super) fn greet(accept: &mut dyn Accept, channel: Box<dyn Channel>, limit: Duration) -> Visit {
    let mut wire = match accept.protect(channel, Pace::new(limit)) {
        Ok(wire) => wire,
        Err(Error::Wire(WireError::Closed)) => return Visit::Silent,
        Err(why) => return Visit::Stranger(why),
    };
    match hear(&mut wire) {
        Ok((Purpose::Move, session)) => Visit::Move(wire, session),
        Ok((Purpose::Commit, session)) => Visit::Commit(wire, session),
        Err(Error::Wire(WireError::Closed)) if wire.is_silent() => Visit::Silent,
        Err(why) => {
            wire.send_last(&Message::Failed(in_one_line(&why)));
            Visit::Stranger(why)
        }
    }
}

fn hear(wire: &mut Wire) -> Result<(Purpose, Session), Error> {
    let (purpose, session) = match wire.receive_message("a hello")? {
        Message::Hello {
            version: VERSION,
            purpose,
            session,
        } => (purpose, session),
        Message::Hello { version, .. } => {
            // So that the peer can say it in its own words too.
            wire.send(&Message::Welcome { version: VERSION })?;
            return Err(Error::Version {
                peer: version,
                ours: VERSION,
            });
        }
        other => return Err(surprise(other, "a hello")),
    };
    if purpose == Purpose::Commit {
        wire.send(&Message::Welcome { version: VERSION })?;
        match wire.receive_message("COMMIT")? {
            Message::Commit { session: again } if again == session => {}
            other => return Err(surprise(other, "COMMIT")),
        }
    }
    Ok((purpose, session))
}

/// Answers a COMMIT that came over a connection of its own, where nothing is held any more.
pub(super) fn answer(mut wire: Wire, asked: Session, ran: Option<Session>) {
    let side = match ran {
        Some(session) if session == asked => TargetSide::Runs,
        _ => TargetSide::Empty,
    };
    let message = match side.on(TargetEvent::Commit) {
        (_, TargetStep::AnswerRunning) => Message::Running { session: asked },
        _ => Message::Gone(format!("no machine of session {asked} is held here")),
    };
    // A source that does not hear it comes again.
    drop(wire.send(&message));
}
