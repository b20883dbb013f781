//! The side that the machine leaves.

use std::time::{Duration, Instant};

use super::delivery;
use super::departure::{Departure, Log, PreCopied, Prepared, nanoseconds};
use super::endpoint::Target;
use super::ends::Origin;
use super::error::{Error, SendError};
use super::options::Options;
use super::phase::Phase;
use super::progress::{Progress, Report, Teller};
use super::session::{SourceEvent, SourceSide, SourceStep};
use super::transport::{Dial, Dialer};
use super::wire::Wire;

/// Moves the machine to `target` while it runs. On success it runs there and never again here; on
/// [`SendError::RunsHere`] it runs on here as if nothing had happened.
///
/// # Errors
/// [`SendError`] says who has the machine.
pub fn send(
    origin: &mut dyn Origin,
    target: &Target,
    options: &Options,
    progress: &mut dyn FnMut(&Progress),
) -> Result<Report, SendError> {
    match Dialer::new(target, &options.security) {
        Ok(mut dialer) => migrate(origin, &mut dialer, options, progress),
        Err(why) => Err(SendError::RunsHere {
            target: target.to_string(),
            phase: Phase::Hello,
            why,
        }),
    }
}

/// [`send`] over any connection.
pub(super) fn migrate(
    origin: &mut dyn Origin,
    dial: &mut dyn Dial,
    options: &Options,
    progress: &mut dyn FnMut(&Progress),
) -> Result<Report, SendError> {
    let start = Instant::now();
    let mut departure = Departure {
        origin,
        options,
        tell: Teller::new(progress),
        log: Log::Off,
        paused: None,
        wire: None,
        round_trip: Duration::MAX,
    };
    departure.tell.enter(Phase::Hello);
    let prepared = departure.prepare(dial);
    let event = match prepared {
        Ok(_) => SourceEvent::Ready,
        Err(_) => SourceEvent::Fault,
    };
    match (SourceSide::Owns.on(event), prepared) {
        ((side, SourceStep::LeaveAndCommit), Ok(prepared)) => {
            departure.commit(side, dial, &prepared, start)
        }
        (_, Err(why)) => Err(departure.keep(dial, why)),
        (_, Ok(_)) => Err(departure.keep(dial, Error::Cancelled)),
    }
}

/// What becomes of a machine that is ready to leave, or not.
impl Departure<'_> {
    /// Leaves for good and says so until the target has heard it.
    fn commit(
        mut self,
        side: SourceSide,
        dial: &mut dyn Dial,
        prepared: &Prepared,
        start: Instant,
    ) -> Result<Report, SendError> {
        if let Err(error) = self.origin.leave() {
            return Err(self.keep(dial, Error::Machine("give the machine away", error)));
        }
        self.tell.enter(Phase::Commit);
        let timeouts = delivery::Timeouts {
            peer: self.options.peer_timeout,
            whole: self.options.commit_timeout.max(prepared.hold),
        };
        let bytes = self.wire.as_ref().map_or(0, Wire::moved);
        let delivered =
            delivery::deliver(side, dial, prepared.session, self.wire.take(), timeouts)?;
        let downtime = self
            .paused
            .map_or(Duration::ZERO, |paused| paused.elapsed());
        self.tell.enter(Phase::Done);
        let PreCopied {
            rest,
            rounds,
            why,
            expected_downtime,
        } = &prepared.pre_copied;
        Ok(Report {
            session: prepared.session,
            rounds: *rounds,
            bytes,
            pages: prepared.outgoing.pages,
            zero_pages: prepared.outgoing.zero_pages,
            last_pages: rest.count(),
            state_bytes: prepared.state_bytes,
            seconds: start.elapsed().as_secs_f64(),
            downtime_ns: nanoseconds(downtime),
            expected_downtime_ns: nanoseconds(*expected_downtime),
            why: *why,
            verify: self.options.verify,
            commits_repeated: delivered.repeated,
        })
    }

    /// Goes on here, first of all; then tells the target, as far as it listens.
    fn keep(mut self, dial: &dyn Dial, why: Error) -> SendError {
        if self.paused.is_some() {
            self.origin.resume();
        }
        if self.log == Log::On {
            self.origin.stop_dirty_log();
        }
        let why = match &mut self.wire {
            Some(wire) => delivery::part(wire, why),
            None => why,
        };
        SendError::RunsHere {
            target: dial.target(),
            phase: self.tell.now.phase,
            why,
        }
    }
}
