//! How far a migration is, and how it went.

use std::time::{Duration, Instant};

use super::convergence::Outlook;
use super::digest::Verify;
use super::phase::Phase;
use super::session::Session;

/// At least so long between two reports within a phase.
const EVERY: Duration = Duration::from_millis(100);

/// How far a migration is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What it is doing.
    pub phase: Phase,
    /// The round of pre-copy, from 1; 0 before the first.
    pub round: u32,
    /// Bytes sent or received so far, everything included.
    pub bytes_sent: u64,
    /// Bytes of memory that this round is to move, zeros included.
    pub bytes_total: u64,
    /// Bytes of them moved so far.
    pub bytes_done: u64,
    /// Bytes of memory moved in a second.
    pub rate: u64,
    /// Bytes of memory that the guest wrote in a second, in the last finished round.
    pub dirty_rate: u64,
    /// How long the guest would stand still if it were paused now, in ns.
    pub expected_downtime_ns: u64,
    /// Whether the rounds get anywhere.
    pub outlook: Outlook,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            phase: Phase::Hello,
            round: 0,
            bytes_sent: 0,
            bytes_total: 0,
            bytes_done: 0,
            rate: 0,
            dirty_rate: 0,
            expected_downtime_ns: 0,
            outlook: Outlook::Converging,
        }
    }
}

/// Tells a callback, at every change of phase and now and then in between.
pub(super) struct Teller<'a> {
    callback: &'a mut dyn FnMut(&Progress),
    /// What is told next.
    pub(super) now: Progress,
    last: Instant,
}

impl<'a> Teller<'a> {
    pub(super) fn new(callback: &'a mut dyn FnMut(&Progress)) -> Self {
        Self {
            callback,
            now: Progress::default(),
            last: Instant::now(),
        }
    }

    /// `phase` begins.
    pub(super) fn enter(&mut self, phase: Phase) {
        self.now.phase = phase;
        if let Phase::PreCopy { round } = phase {
            self.now.round = round;
        }
        self.last = Instant::now();
        (self.callback)(&self.now);
    }

    /// Something moved.
    pub(super) fn tick(&mut self) {
        if self.last.elapsed() >= EVERY {
            self.last = Instant::now();
            (self.callback)(&self.now);
        }
    }
}

/// How a migration went, at the source.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Report {
    /// The session.
    pub session: Session,
    /// Rounds of pre-copy.
    pub rounds: u32,
    /// Bytes sent, everything included.
    pub bytes: u64,
    /// Pages sent, each time counted, zeros included.
    pub pages: u64,
    /// Those of them that were zeros.
    pub zero_pages: u64,
    /// Pages sent while the guest stood still.
    pub last_pages: u64,
    /// Bytes of state.
    pub state_bytes: u64,
    /// All of it.
    pub seconds: f64,
    /// From the pause at the source to the target's RUNNING.
    pub downtime_ns: u64,
    /// What was expected when the guest was paused, without the state.
    pub expected_downtime_ns: u64,
    /// Whether the rest fitted the limit, or the rounds were used up.
    pub why: super::convergence::Why,
    /// What was compared.
    pub verify: Verify,
    /// Times the COMMIT was sent over a new connection.
    pub commits_repeated: u32,
}

/// What arrived, at the target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Received {
    /// The session.
    pub session: Session,
    /// Rounds of pre-copy.
    pub rounds: u32,
    /// Bytes received, everything included.
    pub bytes: u64,
    /// Pages received, each time counted, zeros included.
    pub pages: u64,
    /// From the first connection to the start of the machine.
    pub seconds: f64,
}
