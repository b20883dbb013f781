//! A machine that is ready and waits for the source's decision, over whatever connection it comes.

use std::time::{Duration, Instant};

use super::message::Message;
use super::pace::SLICE;
use super::session::{Session, TargetEvent, TargetSide, TargetStep};
use super::transport::Accept;
use super::visit::{self, Visit};
use super::wire::Wire;

/// How long a visitor may take to say what he wants: the source may be waiting behind him.
pub(super) const VISITOR_LIMIT: Duration = Duration::from_secs(2);

/// What the source decided.
#[derive(Debug)]
pub(super) enum Decision {
    /// To commit; the answer goes over this connection.
    Commit(Wire),
    /// Against it, or nothing in time.
    Drop,
}

/// Waits for the decision on `session`, at most for `limit`.
pub(super) fn hold(
    accept: &mut dyn Accept,
    wire: Wire,
    session: Session,
    limit: Duration,
    peer_limit: Duration,
) -> Decision {
    let deadline = Instant::now() + limit;
    let mut side = TargetSide::Holds;
    let mut first = Some(wire);
    loop {
        let (event, from) = if Instant::now() >= deadline {
            (Some(TargetEvent::TimeOver), None)
        } else if let Some(wire) = &mut first {
            // On a connection that broke unnoticed nothing comes: the other ear is open too.
            match heard(wire, session) {
                None => came(accept, session, peer_limit),
                Some(event) => (Some(event), first.take()),
            }
        } else {
            let visitor = came(accept, session, peer_limit);
            if visitor.0.is_none() {
                accept.wait(SLICE);
            }
            visitor
        };
        let Some(event) = event else { continue };
        let (next, step) = side.on(event);
        side = next;
        match (step, from) {
            (TargetStep::RunAndAnswer, Some(wire)) => return Decision::Commit(wire),
            (TargetStep::Discard, _) => return Decision::Drop,
            // The connection is dropped with `from`; another may come.
            _ => {}
        }
    }
}

/// What came over the first connection within a slice.
fn heard(wire: &mut Wire, session: Session) -> Option<TargetEvent> {
    match wire.poll_message("COMMIT") {
        Ok(None) => None,
        Ok(Some(Message::Commit { session: theirs })) if theirs == session => {
            Some(TargetEvent::Commit)
        }
        Ok(Some(Message::Abort(_))) => Some(TargetEvent::Abort),
        Ok(Some(_)) | Err(_) => Some(TargetEvent::Fault),
    }
}

/// Whether somebody came with the COMMIT over a connection of his own.
fn came(
    accept: &mut dyn Accept,
    session: Session,
    peer_limit: Duration,
) -> (Option<TargetEvent>, Option<Wire>) {
    let Ok(Some(channel)) = accept.accept() else {
        return (None, None);
    };
    match visit::greet(accept, channel, peer_limit.min(VISITOR_LIMIT)) {
        Visit::Commit(wire, theirs) if theirs == session => (Some(TargetEvent::Commit), Some(wire)),
        Visit::Commit(wire, theirs) => {
            visit::answer(wire, theirs, None);
            (None, None)
        }
        Visit::Move(mut wire, _) => {
            drop(wire.send(&Message::Failed(
                "another machine is arriving here; try again later".to_owned(),
            )));
            (None, None)
        }
        Visit::Silent | Visit::Stranger(_) => (None, None),
    }
}
