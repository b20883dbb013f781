//! The scheduler as the rest of the VMM sees it: tokens, a clock, and the watch over the slices.

use std::sync::{Arc, OnceLock};
use std::thread::Thread;
use std::time::{Duration, Instant};

use super::config::{PolicyKind, TokenSched};
use super::decisions::Decisions;
use super::effects::Asked;
use super::stats::HandOverTimes;
use super::tokens::{Timer, Tokens, Went};
use super::view::Standing;
use super::{Pcpus, Yielded};
use crate::pv::halt::{HaltState, Wake};

/// A clock that starts with the machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimeSource(Instant);

impl TimeSource {
    fn start() -> Self {
        Self(Instant::now())
    }

    /// Never 0.
    fn now_ns(self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos())
            .unwrap_or(u64::MAX)
            .max(1)
    }

    /// When it will be `ns`.
    fn until(self, ns: u64) -> Duration {
        Duration::from_nanos(ns.saturating_sub(self.now_ns()))
    }
}

/// What the scheduler has counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figures {
    /// Tokens given to a vCPU that had none.
    pub switches: u64,
    /// Slices that ended and whose tokens went to others.
    pub expired: u64,
    /// Directed yields that handed a token over.
    pub yields: u64,
    /// vCPUs preempted on purpose that lost their tokens by it.
    pub preempted: u64,
    /// Half the hand-overs to a vCPU that was asleep, or found its token just before it slept, took
    /// no longer: from the decision to its thread's going on.
    pub hand_over_p50_ns: Option<u64>,
    /// 99 in a hundred took no longer.
    pub hand_over_p99_ns: Option<u64>,
}

/// Schedules the vCPUs of one machine.
#[derive(Debug)]
pub struct Scheduler {
    config: TokenSched,
    tokens: Tokens,
    clock: TimeSource,
    timer: OnceLock<Thread>,
}

impl Scheduler {
    /// For vCPUs that sleep in `seats`, by index.
    pub fn new(config: TokenSched, seats: Vec<Arc<HaltState>>) -> Self {
        Self {
            tokens: Tokens::new(&config, seats),
            config,
            clock: TimeSource::start(),
            timer: OnceLock::new(),
        }
    }

    /// What was asked for.
    pub fn config(&self) -> &TokenSched {
        &self.config
    }

    fn wake(&self, timer: Timer) {
        if timer == Timer::Wake
            && let Some(timer) = self.timer.get()
        {
            timer.unpark();
        }
    }

    /// Gets `vcpu` a token, or leaves it the one it has. On its own thread, as all that follows up
    /// to [`Self::leave`].
    pub fn get_on(&self, vcpu: usize) -> Went {
        let (went, timer) = self.tokens.get_on(vcpu, self.clock.now_ns());
        self.wake(timer);
        went.unwrap_or_else(|| self.tokens.sleep(vcpu, || self.clock.now_ns()))
    }

    /// Whether `vcpu`, which has a token, may enter the guest with it once more.
    pub fn stays_on(&self, vcpu: usize) -> bool {
        self.tokens.stays_on(vcpu)
    }

    /// Whether somebody waits for a token: who polls on one ends its poll.
    pub fn is_wanted(&self) -> bool {
        self.tokens.is_wanted()
    }

    /// Halts `vcpu`: its token goes to somebody else until it is kicked, unless it has been already.
    /// It has a token after [`Wake::Kicked`].
    pub fn halt(&self, vcpu: usize) -> Wake {
        let (is_on, timer) = self.tokens.halt(vcpu, self.clock.now_ns());
        self.wake(timer);
        if is_on && self.tokens.use_kick(vcpu) {
            return Wake::Kicked;
        }
        self.tokens.sleep_halted(vcpu, || self.clock.now_ns())
    }

    /// `vcpu` waits for SIPI, stands still or ends: its token goes to somebody else.
    pub fn leave(&self, vcpu: usize) {
        self.wake(self.tokens.leave(vcpu, self.clock.now_ns()));
    }

    /// `vcpu` was found halted by [`HaltState::kick_asleep`].
    pub fn kicked(&self, vcpu: usize) {
        self.wake(self.tokens.kicked(vcpu, self.clock.now_ns()));
    }

    /// Has `vcpu` lose its token when it next passes through its run loop, and queue at the back.
    pub fn preempt(&self, vcpu: usize) {
        self.tokens.ask_off(vcpu, Asked::Preempted);
    }

    /// Has `vcpu` let others on when it next passes through its run loop.
    pub fn yield_turn(&self, vcpu: usize) {
        self.tokens.ask_off(vcpu, Asked::Yields);
    }

    /// The decisions so far.
    pub fn decisions(&self) -> Decisions {
        self.tokens.with(|queue| queue.decisions.clone())
    }

    /// Digest of what was drawn for `decisions`; `None` where the policy draws nothing.
    pub fn draws_digest(&self, decisions: &Decisions) -> Option<u64> {
        (self.config.policy == PolicyKind::Random).then(|| decisions.draws_digest())
    }

    /// What was counted so far.
    pub fn figures(&self) -> Figures {
        let times = HandOverTimes::of(self.tokens.hand_overs());
        let counts = self.tokens.with(|queue| queue.counts);
        Figures {
            switches: counts.switches,
            expired: counts.expired,
            yields: counts.yields,
            preempted: counts.preempted,
            hand_over_p50_ns: times.percentile_ns(0.5),
            hand_over_p99_ns: times.percentile_ns(0.99),
        }
    }

    /// The calling thread watches the slices from now on.
    pub(super) fn watch_here(&self) {
        let _ = self.timer.set(std::thread::current());
    }

    /// Ends slices. How long until there are more to end; `None` until somebody unparks the thread.
    pub(super) fn end_slices(&self, sent: &mut Vec<usize>) -> Option<Duration> {
        let next_ns = self.tokens.look_at_slices(self.clock.now_ns(), sent)?;
        Some(self.clock.until(next_ns))
    }
}

impl Pcpus for Scheduler {
    fn count(&self) -> usize {
        self.tokens.with(|queue| queue.vcpus())
    }

    fn standing(&self, vcpu: usize) -> Standing {
        self.tokens.with(|queue| queue.standing(vcpu))
    }

    fn each(&self, look: &mut dyn FnMut(usize, Standing)) {
        self.tokens.with(|queue| {
            (0..queue.vcpus()).for_each(|vcpu| look(vcpu, queue.standing(vcpu)));
        });
    }

    fn yield_to(&self, from: usize, to: usize) -> Yielded {
        match self.tokens.hand_over(from, to, self.clock.now_ns()) {
            Some(timer) => {
                self.wake(timer);
                Yielded::HandedOver
            }
            None => Yielded::NotWaiting,
        }
    }
}

#[cfg(all(test, not(loom)))]
#[path = "scheduler_test.rs"]
mod tests;
