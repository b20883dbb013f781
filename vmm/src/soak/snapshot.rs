//! One cycle by a file: saved, and restored in a new process.

use std::time::Instant;

use super::Error;
use super::campaign::{Campaign, Life, Stop};
use super::child::Child;
use crate::control::{SnapshotDone, SnapshotRequest, Then};
use crate::vcpu::state::HiddenKicks;

/// What happens to the source between its snapshot and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// It ends at once.
    Straight,
    /// It was paused before.
    Paused,
    /// It goes on, is saved again, and ends.
    TwiceInARow,
    /// It goes on and ends: what it did since then never was.
    Abandoned,
}

impl Way {
    /// For a number below [`WAYS`]. Most cycles go the straight way, which is what people do.
    fn drawn(number: u64) -> Self {
        match number {
            0 => Self::Paused,
            1 => Self::TwiceInARow,
            2 => Self::Abandoned,
            _ => Self::Straight,
        }
    }
}

/// How many numbers [`Way::drawn`] is drawn from.
const WAYS: u64 = 12;

impl Campaign<'_> {
    /// From a machine that runs to one that runs.
    pub(super) fn snapshot_cycle(&mut self, mut source: Child) -> Result<Child, Stop> {
        self.let_run()?;
        let way = Way::drawn(self.random.below(WAYS));
        if way == Way::Paused {
            source.ask("pause", |client| client.pause())?;
        }
        let mut away_since = Some(Instant::now());
        if matches!(way, Way::Straight | Way::Paused) {
            self.save(&mut source, Then::Stop)?;
            self.leaves(source);
        } else {
            self.save(&mut source, Then::Resume)?;
            if self.look_after(&mut source)? == Life::GetsOn {
                self.tally.sources_went_on += 1;
                if way == Way::TwiceInARow {
                    away_since = Some(Instant::now());
                    self.save(&mut source, Then::Stop)?;
                } else {
                    // It was not away: it comes back from an earlier time.
                    away_since = None;
                    source.ask("stop", |client| client.stop())?;
                }
                self.leaves(source);
            }
        }
        let mut next = self.restore(self.plan.hidden_kicks)?;
        match self.look_after(&mut next)? {
            Life::GetsOn => {
                let away = away_since.map(|since| since.elapsed().as_nanos());
                let away = away.map(|ns| u64::try_from(ns).unwrap_or(u64::MAX));
                self.tally.downtimes_ns.extend(away);
                let (status, _) = next.status()?;
                self.tally.kicks_repaired += status.kicks_repaired;
                Ok(next)
            }
            Life::Hangs => self.go_on_repaired(),
        }
    }

    pub(super) fn save(&mut self, source: &mut Child, then: Then) -> Result<SnapshotDone, Error> {
        let request = SnapshotRequest {
            file: self.file(),
            then,
        };
        let done = source.ask("snapshot", |client| client.snapshot(&request))?;
        self.tally.hidden_kicks += done.hidden_kicks;
        Ok(done)
    }

    fn restore(&mut self, hidden_kicks: HiddenKicks) -> Result<Child, Error> {
        let words = vec![self.file().into_os_string()];
        self.start("restore", words, hidden_kicks)
    }

    /// After a hang, from the same file: the kicks are in it, whoever loses them.
    fn go_on_repaired(&mut self) -> Result<Child, Stop> {
        let mut next = self.restore(HiddenKicks::Repair)?;
        match self.look_after(&mut next)? {
            Life::GetsOn => Ok(next),
            Life::Hangs => Err(Error::HangsRepaired.into()),
        }
    }
}
