//! The halt word as a vCPU's seat under the VMM's scheduler: it sleeps there for a token, and a
//! halted one for a kick *and* a token, so that a kick costs one wake-up and not two.
//!
//! Who has a token is decided under the scheduler's mutex; [`TOKEN`] is only how the sleeper hears
//! of it. It is set and cleared under that mutex, or cleared by the vCPU's own thread that takes the
//! token up.

use super::{HALTED, HaltState, INIT, PV_UNHALTED, QUEUED, REQUEST, TOKEN, Wake};
use crate::sync::Ordering::{AcqRel, Acquire, Relaxed};
use crate::sync::release;
use std::time::Duration;

/// Whether a thread sleeps, or is about to, in the seat that a token was given to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handed {
    /// [`HaltState::wake`] is due.
    ToSleeper,
    /// It finds the token by itself.
    ToAwake,
}

/// Why a thread gets up from its seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seated {
    /// It has a token.
    Token,
    /// The VMM wants its attention.
    Request,
}

impl HaltState {
    /// Gives the vCPU a token. Under the scheduler's mutex; [`Self::wake`] comes after it.
    ///
    /// Release: what the giver did with its token is over; pairs with the Acquire of who takes it.
    pub fn grant(&self) -> Handed {
        if self.word.fetch_or(TOKEN, release()) & (HALTED | QUEUED) == 0 {
            Handed::ToAwake
        } else {
            Handed::ToSleeper
        }
    }

    /// Wakes the sleeper of [`Handed::ToSleeper`].
    pub fn wake(&self) {
        self.word.wake_one();
    }

    /// The token is taken up, or back, without sleeping. Under the scheduler's mutex.
    pub fn take_token(&self) {
        self.word.fetch_and(!TOKEN, AcqRel);
    }

    /// Sleeps until there is a token or a request.
    pub fn wait_for_token(&self) -> Seated {
        self.word.fetch_or(QUEUED, Relaxed);
        loop {
            // Acquire: pairs with the Release of `grant` and `request`.
            let word = self.word.load(Acquire);
            let (keep, why) = if word & TOKEN != 0 {
                (!(TOKEN | QUEUED), Seated::Token)
            } else if word & REQUEST != 0 {
                (!(REQUEST | QUEUED), Seated::Request)
            } else {
                self.word.wait_while(word);
                continue;
            };
            if self.consume(word, word & keep) {
                return why;
            }
        }
    }

    /// The vCPU halts and still has its pCPU: looks for a kick, INIT or a request for as long as
    /// `poll`, or until it `must_end`. [`Self::try_halt`] says what has come.
    pub fn poll_halted(&self, poll: Duration, must_end: impl Fn() -> bool) {
        if poll.is_zero() {
            return;
        }
        self.announce_halt();
        self.poll(poll, must_end);
    }

    /// The vCPU halts and still has its pCPU. Whether a kick has come, now or before; it is used up
    /// then and the vCPU goes on.
    pub fn try_halt(&self) -> bool {
        self.announce_halt();
        // Acquire: pairs with the Release of `kick`.
        let mut word = self.word.load(Acquire);
        while word & (INIT | PV_UNHALTED) == PV_UNHALTED {
            if self.consume(word, word & !(PV_UNHALTED | HALTED)) {
                return true;
            }
            word = self.word.load(Acquire);
        }
        false
    }

    /// The vCPU halts: from now on a kick tells its kicker so.
    pub fn announce_halt(&self) {
        self.word.fetch_or(HALTED, Relaxed);
    }

    /// Whether a kick has come that no halt has used up. Under the scheduler's mutex, which the
    /// kicker takes after it has set the bit: either this sees it or the kicker finds the vCPU
    /// halted.
    pub fn is_kicked(&self) -> bool {
        // Relaxed: the mutex orders it.
        self.word.load(Relaxed) & PV_UNHALTED != 0 && !crate::sync::skips_recheck()
    }

    /// Having said so with [`Self::announce_halt`], halts until a kick *and* a token, INIT or a
    /// request. After INIT or a request the token, if there is one, is still the vCPU's to give back.
    pub fn halt_for_token(&self) -> Wake {
        self.sleep_until(TOKEN | PV_UNHALTED)
    }
}
