//! The tokens: who decides is the [`RunQueue`], who sleeps does so in its own seat, a futex word.
//!
//! Invariant: tokens change hands only under the mutex. A vCPU's token is taken from it by its own
//! thread alone; a free one is given by whoever makes a vCPU able to run, as a kicker does or the
//! main loop. So no more vCPUs are in KVM_RUN than there are tokens, and no token is lost: whoever
//! is given one is told in its own word under the same mutex, and woken after it.
//!
//! No kick is lost: the kicker sets the halt word's bit and then takes the mutex; the vCPU that
//! halts takes the mutex and then looks at the bit again. Whoever is second sees what the first
//! has done. And no kick counts twice: a kicker that comes late to the mutex, when the vCPU has used
//! its kick up and halted again, finds the bit gone and leaves it halted. So a halted vCPU that has a
//! token always has its kick too.

use super::config::TokenSched;
use super::effects::{Asked, Effects};
use super::run_queue::RunQueue;
use super::stats::HandOvers;
use super::view::Standing;
use crate::pv::halt::{HaltState, Handed, Seated, Wake};
use crate::sync::Ordering::{Acquire, Relaxed};
use crate::sync::{AtomicBool, AtomicU64, Mutex, release};
use std::sync::atomic::AtomicBool as Hint;
use std::sync::{Arc, PoisonError};

/// How a vCPU's wait for a token ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Went {
    /// It has a token.
    On,
    /// It had a token already, though perhaps without knowing of it, and nobody else was given it.
    Stayed,
    /// The VMM wants its thread's attention. It has no token, or one that it does not know of: it
    /// calls `leave` or comes again.
    Asked,
}

/// One vCPU's.
#[derive(Debug)]
struct Place {
    seat: Arc<HaltState>,
    /// The vCPU is to look at the run queue before it enters the guest again. Changes under the
    /// mutex.
    look: AtomicBool,
    /// When it was given the token that it has not taken up yet, 0 for none. Relaxed: the token's
    /// own hand-over orders it.
    granted_ns: AtomicU64,
    hand_overs: HandOvers,
}

/// N vCPUs, P tokens.
#[derive(Debug)]
pub(super) struct Tokens {
    queue: Mutex<RunQueue>,
    places: Vec<Place>,
    /// Somebody waits for a token. Relaxed and no part of the models: who polls may see it late, and
    /// nothing follows from it but the end of the poll.
    is_wanted: Hint,
}

/// Whether the timer of the slices has to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Timer {
    Wake,
    Leave,
}

impl Tokens {
    /// For vCPUs that sleep in `seats`, by index.
    pub(super) fn new(config: &TokenSched, seats: Vec<Arc<HaltState>>) -> Self {
        let place = |seat| Place {
            seat,
            look: AtomicBool::new(false),
            granted_ns: AtomicU64::new(0),
            hand_overs: HandOvers::default(),
        };
        Self {
            queue: Mutex::new(RunQueue::new(seats.len(), config)),
            places: seats.into_iter().map(place).collect(),
            is_wanted: Hint::new(false),
        }
    }

    fn place(&self, vcpu: usize) -> Option<&Place> {
        self.places.get(vcpu)
    }

    /// The hand-overs' times, by vCPU.
    pub(super) fn hand_overs(&self) -> impl Iterator<Item = &HandOvers> {
        self.places.iter().map(|place| &place.hand_overs)
    }

    /// Looks at the run queue, or changes it without effect.
    pub(super) fn with<T>(&self, look: impl FnOnce(&mut RunQueue) -> T) -> T {
        look(&mut self.queue.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the run queue at `now_ns`, on behalf of `myself`; tells and wakes who was given a
    /// token. How `myself` stands now; [`Standing::Away`] if nobody is meant.
    fn change(
        &self,
        myself: Option<usize>,
        now_ns: u64,
        change: impl FnOnce(&mut RunQueue) -> Effects,
    ) -> (Standing, Timer) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let Effects {
            granted,
            wake_timer,
        } = change(&mut queue);
        let mut to_wake = None;
        if let Some(place) = granted.and_then(|vcpu| self.place(vcpu))
            && granted != myself
        {
            place.granted_ns.store(now_ns, Relaxed);
            // Nobody has told it yet to give this token up.
            place.look.store(false, release());
            if place.seat.grant() == Handed::ToSleeper {
                to_wake = Some(place);
            }
        }
        let standing = myself.map_or(Standing::Away, |vcpu| queue.standing(vcpu));
        if let Some((vcpu, place)) = myself.and_then(|vcpu| Some((vcpu, self.place(vcpu)?))) {
            // It knows of the token now, or has none any more.
            place.seat.take_token();
            place.granted_ns.store(0, Relaxed);
            let looks = standing != Standing::OnPcpu || queue.asked_off(vcpu).is_some();
            place.look.store(looks, release());
        }
        self.is_wanted.store(queue.is_wanted(), Relaxed);
        drop(queue);
        if let Some(place) = to_wake {
            place.seat.wake();
        }
        let timer = match wake_timer {
            true => Timer::Wake,
            false => Timer::Leave,
        };
        (standing, timer)
    }

    /// Whether `vcpu`, which had a token when it looked last, may enter the guest with it. On its
    /// own thread, as all that follows up to [`Self::leave`].
    pub(super) fn stays_on(&self, vcpu: usize) -> bool {
        // Acquire: pairs with the Release of who has it look.
        self.place(vcpu)
            .is_some_and(|place| !place.look.load(Acquire))
    }

    /// Whether somebody waits for a token, or did a moment ago.
    pub(super) fn is_wanted(&self) -> bool {
        self.is_wanted.load(Relaxed)
    }

    /// Gives up a token that it was told to give up, and queues for one if it has none. `None` if it
    /// has none then: it goes to [`Self::sleep`].
    pub(super) fn get_on(&self, vcpu: usize, now_ns: u64) -> (Option<Went>, Timer) {
        let mut went = Went::On;
        let (standing, timer) = self.change(Some(vcpu), now_ns, |queue| {
            if queue.standing(vcpu) == Standing::OnPcpu {
                went = Went::Stayed;
                queue.gives_up(vcpu, now_ns)
            } else {
                queue.can_run(vcpu, Standing::Preempted, now_ns)
            }
        });
        ((standing == Standing::OnPcpu).then_some(went), timer)
    }

    /// Sleeps until it is given a token. `now` is asked only then.
    pub(super) fn sleep(&self, vcpu: usize, now: impl FnOnce() -> u64) -> Went {
        let Some(place) = self.place(vcpu) else {
            return Went::Asked;
        };
        match place.seat.wait_for_token() {
            Seated::Token => {
                place.took_up(now);
                Went::On
            }
            Seated::Request => Went::Asked,
        }
    }

    /// Halts, unless a kick has come: its token goes to somebody else. Whether it has one still or
    /// again; else it goes to [`Self::sleep_halted`].
    pub(super) fn halt(&self, vcpu: usize, now_ns: u64) -> (bool, Timer) {
        if let Some(place) = self.place(vcpu) {
            // Before the look below, so that a kick that comes after it finds the vCPU halted.
            place.seat.announce_halt();
        }
        let (standing, timer) = self.change(Some(vcpu), now_ns, |queue| {
            let kicked = self.place(vcpu).is_some_and(|place| place.seat.is_kicked());
            if kicked {
                queue.can_run(vcpu, Standing::Kicked, now_ns)
            } else {
                queue.cannot_run(vcpu, Standing::Halted, now_ns)
            }
        });
        (standing == Standing::OnPcpu, timer)
    }

    /// Uses up the kick that kept [`Self::halt`] from giving the token up; `false` if INIT came
    /// with it.
    pub(super) fn use_kick(&self, vcpu: usize) -> bool {
        self.place(vcpu).is_some_and(|place| place.seat.try_halt())
    }

    /// Sleeps until it is kicked and has a token, or until INIT or a request.
    pub(super) fn sleep_halted(&self, vcpu: usize, now: impl FnOnce() -> u64) -> Wake {
        let Some(place) = self.place(vcpu) else {
            return Wake::Request;
        };
        let wake = place.seat.halt_for_token();
        if wake == Wake::Kicked {
            place.took_up(now);
        }
        wake
    }

    /// It waits for SIPI, stands still or ends: its token, if it has one, goes to somebody else.
    pub(super) fn leave(&self, vcpu: usize, now_ns: u64) -> Timer {
        let change = |queue: &mut RunQueue| queue.cannot_run(vcpu, Standing::Away, now_ns);
        self.change(Some(vcpu), now_ns, change).1
    }

    /// It was kicked, and [`HaltState::kick_asleep`] found it halted. On any thread, as all that
    /// follows.
    pub(super) fn kicked(&self, vcpu: usize, now_ns: u64) -> Timer {
        let has_kick = || self.place(vcpu).is_some_and(|place| place.seat.is_kicked());
        let change = |queue: &mut RunQueue| match queue.standing(vcpu) {
            // Without its kick this is another halt than the one that was kicked: with a token the
            // vCPU would sleep on, and the next kick would find it on its pCPU.
            Standing::Halted if has_kick() => queue.can_run(vcpu, Standing::Kicked, now_ns),
            // It has seen the kick by itself, or will.
            _ => Effects::default(),
        };
        self.change(None, now_ns, change).1
    }

    /// Hands the token of `from` to `to`, on the thread of `from`; `None` if that does not wait.
    pub(super) fn hand_over(&self, from: usize, to: usize, now_ns: u64) -> Option<Timer> {
        let mut handed = false;
        let change = |queue: &mut RunQueue| match queue.hand_over(from, to, now_ns) {
            Some(effects) => {
                handed = true;
                effects
            }
            None => Effects::default(),
        };
        let (_, timer) = self.change(Some(from), now_ns, change);
        handed.then_some(timer)
    }

    /// Has `vcpu` give its token up when it next looks.
    pub(super) fn ask_off(&self, vcpu: usize, why: Asked) {
        self.with(|queue| {
            if queue.ask_off(vcpu, why)
                && let Some(place) = self.place(vcpu)
            {
                place.look.store(true, release());
            }
        });
    }

    /// Has those whose slices are over give their tokens up; they are appended to `sent` and have
    /// to be sent out of KVM_RUN. When to look again, as [`RunQueue::look_at_slices`] says.
    pub(super) fn look_at_slices(&self, now_ns: u64, sent: &mut Vec<usize>) -> Option<u64> {
        self.with(|queue| {
            let next = queue.look_at_slices(now_ns, sent);
            for place in sent.iter().filter_map(|&vcpu| self.place(vcpu)) {
                place.look.store(true, release());
            }
            next
        })
    }
}

impl Place {
    /// Its thread goes on with the token that it slept for.
    fn took_up(&self, now: impl FnOnce() -> u64) {
        let granted_ns = self.granted_ns.load(Relaxed);
        if granted_ns != 0 {
            self.hand_overs.note(now().saturating_sub(granted_ns));
        }
    }
}

#[cfg(all(test, loom))]
#[path = "tokens_loom_test.rs"]
#[expect(unsafe_code, reason = "loom's cells")]
mod loom_tests;
