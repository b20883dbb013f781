//! Every interleaving of halt and kick. Run with `RUSTFLAGS="--cfg loom"`.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use super::*;
use crate::pv::futex;
use crate::sync::without_release;

/// What the kicker did before its kick, the halted one sees after its halt.
fn hand_over() {
    loom::model(|| {
        let shared = Arc::new((HaltState::default(), UnsafeCell::new(0)));
        let kicker = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            // SAFETY: the other thread reads only after the kick.
            kicker.1.with_mut(|data| unsafe { *data = 7 });
            kicker.0.kick();
        });
        assert_eq!(shared.0.halt(Duration::ZERO), Wake::Kicked);
        // SAFETY: the only writer is done; loom checks exactly that.
        shared.1.with(|data| assert_eq!(unsafe { *data }, 7));
        thread.join().unwrap();
    });
}

#[test]
fn no_kick_is_lost_and_it_hands_over_what_came_before_it() {
    hand_over();
}

#[test]
#[should_panic]
fn without_its_release_the_kick_hands_over_nothing() {
    without_release(hand_over);
}

#[test]
#[should_panic]
fn parking_without_comparing_the_word_loses_a_kick() {
    futex::without_comparing(hand_over);
}

#[test]
fn a_request_and_a_kick_at_once_are_both_seen() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let vcpu = Arc::new(HaltState::default());
        let (kicker, machine) = (Arc::clone(&vcpu), Arc::clone(&vcpu));
        let threads = [
            thread::spawn(move || {
                kicker.kick();
            }),
            thread::spawn(move || machine.request()),
        ];
        let mut requests = 0;
        while vcpu.halt(Duration::ZERO) == Wake::Request {
            requests += 1;
        }
        assert!(requests <= 1);
        for thread in threads {
            thread.join().unwrap();
        }
        if requests == 0 {
            assert_eq!(vcpu.halt(Duration::ZERO), Wake::Request);
        }
    });
}

#[test]
fn sipi_after_init_always_starts_the_vcpu() {
    loom::model(|| {
        let vcpu = Arc::new(HaltState::default());
        let sender = Arc::clone(&vcpu);
        let thread = thread::spawn(move || {
            sender.init();
            sender.sipi(8);
        });
        assert_eq!(vcpu.halt(Duration::ZERO), Wake::Init);
        assert_eq!(vcpu.wait_for_sipi(), Start::Sipi(8));
        thread.join().unwrap();
    });
}

#[test]
fn the_last_sipi_of_two_rounds_starts_the_vcpu_last() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let vcpu = Arc::new(HaltState::default());
        let sender = Arc::clone(&vcpu);
        let thread = thread::spawn(move || {
            sender.init();
            sender.sipi(8);
            sender.init();
            sender.sipi(9);
        });
        assert_eq!(vcpu.halt(Duration::ZERO), Wake::Init);
        let mut start = vcpu.wait_for_sipi();
        if start == Start::Sipi(8) {
            assert_eq!(vcpu.halt(Duration::ZERO), Wake::Init);
            start = vcpu.wait_for_sipi();
        }
        assert_eq!(start, Start::Sipi(9));
        thread.join().unwrap();
    });
}
