//! Every interleaving of who gives tokens up and who wants one. Run with `RUSTFLAGS="--cfg loom"`.

use std::time::Duration;

use loom::cell::UnsafeCell;
use loom::sync::Arc as ModelArc;
use loom::thread;

use super::super::config::PolicyKind;
use super::*;
use crate::pv::futex;
use crate::pv::halt::Met;
use crate::sync::{without_recheck, without_release};

/// vCPUs with one token between them, and what only who has it may touch.
struct Model {
    tokens: Tokens,
    seats: Vec<Arc<HaltState>>,
    pcpu: UnsafeCell<u32>,
}

impl Model {
    fn new(vcpus: usize) -> ModelArc<Self> {
        let seats: Vec<_> = (0..vcpus).map(|_| Arc::default()).collect();
        let config = TokenSched {
            policy: PolicyKind::RoundRobin,
            pcpus: 1,
            slice: Duration::from_secs(1),
            seed: 1,
        };
        ModelArc::new(Self {
            tokens: Tokens::new(&config, seats.clone()),
            seats,
            pcpu: UnsafeCell::new(0),
        })
    }

    /// As the run loop does: until there is a token or a request.
    fn get_on(&self, vcpu: usize) -> Went {
        match self.tokens.get_on(vcpu, 1) {
            (Some(_), _) => Went::On,
            (None, _) => self.tokens.sleep(vcpu, || 1),
        }
    }

    fn run(&self) {
        // SAFETY: only with the token; loom checks exactly that.
        self.pcpu.with_mut(|times| unsafe { *times += 1 });
    }

    fn halt(&self, vcpu: usize) -> Wake {
        match self.tokens.halt(vcpu, 1) {
            (true, _) if self.tokens.use_kick(vcpu) => Wake::Kicked,
            _ => self.tokens.sleep_halted(vcpu, || 1),
        }
    }

    fn leave(&self, vcpu: usize) {
        let _ = self.tokens.leave(vcpu, 1);
    }

    fn kick(&self, vcpu: usize) {
        if self.seats[vcpu].kick_asleep() == Met::Halted {
            let _ = self.tokens.kicked(vcpu, 1);
        }
    }

    fn has_free_token(&self) -> bool {
        self.tokens.with(|queue| queue.free() == 1)
    }
}

fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

/// Two vCPUs run one after the other, whoever comes first.
fn take_turns() {
    check(|| {
        let model = Model::new(2);
        let other = ModelArc::clone(&model);
        let thread = thread::spawn(move || {
            assert_eq!(other.get_on(1), Went::On);
            other.run();
            other.leave(1);
        });
        assert_eq!(model.get_on(0), Went::On);
        model.run();
        model.leave(0);
        thread.join().unwrap();
        assert!(model.has_free_token());
    });
}

#[test]
fn one_token_lets_one_vcpu_run_at_a_time_and_is_never_lost() {
    take_turns();
}

#[test]
#[should_panic]
fn without_its_release_a_hand_over_lets_two_run_at_once() {
    without_release(take_turns);
}

#[test]
#[should_panic]
fn sleeping_without_comparing_the_word_loses_a_token() {
    futex::without_comparing(take_turns);
}

#[test]
fn a_vcpu_whose_slice_is_over_gives_its_token_to_who_waits_and_gets_it_back() {
    check(|| {
        let model = Model::new(2);
        assert_eq!(model.get_on(0), Went::On);
        let other = ModelArc::clone(&model);
        let thread = thread::spawn(move || {
            assert_eq!(other.get_on(1), Went::On);
            other.run();
            other.leave(1);
        });
        model.run();
        model.tokens.ask_off(0, Asked::SliceOver);
        assert!(!model.tokens.stays_on(0));
        assert_eq!(model.get_on(0), Went::On);
        model.run();
        assert!(model.tokens.stays_on(0));
        model.leave(0);
        thread.join().unwrap();
        assert!(model.has_free_token());
    });
}

/// A vCPU halts while another thread kicks it. Nobody sleeps, so that a kick that is lost can be
/// seen.
fn halt_while_kicked() {
    check(|| {
        let model = Model::new(1);
        assert_eq!(model.get_on(0), Went::On);
        let kicker = ModelArc::clone(&model);
        let thread = thread::spawn(move || kicker.kick(0));
        if !model.seats[0].try_halt() {
            let _ = model.tokens.halt(0, 1);
        }
        thread.join().unwrap();
        let standing = model.tokens.with(|queue| queue.standing(0));
        assert_eq!(standing, Standing::OnPcpu, "a kick was lost");
    });
}

#[test]
fn a_kick_finds_the_vcpu_halted_or_the_vcpu_finds_the_kick() {
    halt_while_kicked();
}

#[test]
#[should_panic(expected = "a kick was lost")]
fn without_the_second_look_under_the_mutex_a_kick_is_lost() {
    without_recheck(halt_while_kicked);
}

#[test]
fn a_late_kicker_gives_no_token_to_a_halt_that_nobody_kicked() {
    check(|| {
        let model = Model::new(1);
        assert_eq!(model.get_on(0), Went::On);
        let kicker = ModelArc::clone(&model);
        let thread = thread::spawn(move || kicker.kick(0));
        assert_eq!(model.halt(0), Wake::Kicked);
        model.run();
        let (is_on, _) = model.tokens.halt(0, 1);
        assert!(!is_on, "one kick ended two halts");
        thread.join().unwrap();
        let standing = model.tokens.with(|queue| queue.standing(0));
        assert_eq!(standing, Standing::Halted, "a token without a kick");
        assert!(model.has_free_token());
        // The next kick still counts.
        model.kick(0);
        assert_eq!(model.tokens.sleep_halted(0, || 1), Wake::Kicked);
        model.run();
        model.leave(0);
        assert!(model.has_free_token());
    });
}

#[test]
fn a_kicked_vcpu_goes_on_once_there_is_a_token_for_it() {
    check(|| {
        let model = Model::new(2);
        assert_eq!(model.get_on(0), Went::On);
        let other = ModelArc::clone(&model);
        let thread = thread::spawn(move || {
            assert_eq!(other.get_on(1), Went::On);
            other.run();
            // It has the lock; the other waits for it.
            other.kick(0);
            other.run();
            other.leave(1);
        });
        model.run();
        assert_eq!(model.halt(0), Wake::Kicked);
        model.run();
        model.leave(0);
        thread.join().unwrap();
        assert!(model.has_free_token());
    });
}

#[test]
fn a_directed_yield_hands_the_token_over_and_queues_for_it() {
    check(|| {
        let model = Model::new(2);
        assert_eq!(model.get_on(0), Went::On);
        let other = ModelArc::clone(&model);
        let thread = thread::spawn(move || {
            assert_eq!(other.get_on(1), Went::On);
            other.run();
            other.leave(1);
        });
        model.run();
        let yielded = model.tokens.hand_over(0, 1, 1).is_some();
        // The other may have come to its end meanwhile, and the token back.
        if yielded && !model.tokens.stays_on(0) {
            assert_eq!(model.get_on(0), Went::On);
        }
        assert!(model.tokens.stays_on(0));
        model.run();
        model.leave(0);
        thread.join().unwrap();
        assert!(model.has_free_token());
    });
}

#[test]
fn a_request_reaches_who_waits_for_a_token_and_no_token_is_lost() {
    check(|| {
        let model = Model::new(2);
        assert_eq!(model.get_on(0), Went::On);
        let other = ModelArc::clone(&model);
        let thread = thread::spawn(move || {
            // Asked, or on if the token came first: it leaves in either case.
            let went = other.get_on(1);
            if went == Went::On {
                other.run();
            }
            other.leave(1);
        });
        model.seats[1].request();
        model.run();
        model.leave(0);
        thread.join().unwrap();
        assert!(model.has_free_token());
    });
}

#[test]
fn a_halted_vcpu_that_is_paused_while_it_is_kicked_loses_neither_kick_nor_token() {
    check(|| {
        let model = Model::new(1);
        assert_eq!(model.get_on(0), Went::On);
        let outside = ModelArc::clone(&model);
        let thread = thread::spawn(move || {
            outside.seats[0].request();
            outside.kick(0);
        });
        while model.halt(0) == Wake::Request {
            model.leave(0);
        }
        model.run();
        model.leave(0);
        thread.join().unwrap();
        assert!(model.has_free_token());
    });
}
