//! Yields, preemption on purpose, and the watch over slices.

use super::super::super::config::{Adversary, PolicyKind, PreemptAt};
use super::*;

#[test]
fn a_directed_yield_brings_no_new_slice_and_is_refused_at_its_end() {
    let mut driven = Driven::new(PolicyKind::RoundRobin, 3, 1);
    (0..3).for_each(|vcpu| driven.happen(Event::CanRun(vcpu)));
    driven.happen(Event::Time(SLICE_NS - 1));
    driven.happen(Event::YieldsTo(0, 2));
    driven.happen(Event::Time(1));
    assert_eq!(driven.sent, [2]);
    driven.happen(Event::YieldsTo(2, 0));
    driven.happen(Event::Looks(2));
    assert_eq!(driven.queue.standing(1), Standing::OnPcpu);
}

#[test]
fn who_is_told_off_and_picked_again_at_once_was_not_preempted() {
    let mut driven = Driven::new(PolicyKind::RoundRobin, 2, 2);
    (0..2).for_each(|vcpu| driven.happen(Event::CanRun(vcpu)));
    driven.happen(Event::Preempt(0));
    driven.happen(Event::Looks(0));
    let counts = driven.queue.counts;
    assert_eq!((counts.preempted, counts.switches), (0, 2));
}

#[test]
fn whoever_is_preempted_on_purpose_runs_after_everybody_else() {
    let adversary = Adversary {
        at: PreemptAt::Acquire,
        rate: 1.0,
    };
    let mut driven = Driven::new(PolicyKind::Adversarial(adversary), 4, 2);
    (0..4).for_each(|vcpu| driven.happen(Event::CanRun(vcpu)));
    driven.happen(Event::Preempt(0));
    driven.happen(Event::Looks(0));
    // 1 and 2 are on, 3 and 0 wait, in this order; and 1 still goes before 0.
    driven.happen(Event::Preempt(2));
    let mut order = Vec::new();
    driven.happen(Event::YieldsTurn(1));
    driven.happen(Event::Looks(1));
    for _ in 0..2 {
        let mut on = (0..4).filter(|&vcpu| driven.queue.standing(vcpu) == Standing::OnPcpu);
        let last = on.next_back().unwrap();
        order.push(last);
        driven.happen(Event::Halts(last));
    }
    assert_eq!(order, [3, 2]);
    assert_eq!(driven.queue.standing(1), Standing::OnPcpu);
}

#[test]
fn slices_are_not_watched_while_nobody_waits() {
    let mut driven = Driven::new(PolicyKind::RoundRobin, 2, 2);
    assert!(!driven.queue.can_run(0, Standing::Preempted, 1).wake_timer);
    assert!(!driven.queue.can_run(1, Standing::Preempted, 1).wake_timer);
    assert_eq!(
        driven.queue.look_at_slices(10 * SLICE_NS, &mut driven.sent),
        None
    );
    assert!(driven.sent.is_empty());
}

#[test]
fn who_begins_to_wait_late_in_an_old_slice_waits_for_a_whole_one() {
    let mut driven = Driven::new(PolicyKind::RoundRobin, 2, 1);
    driven.happen(Event::CanRun(0));
    driven.now_ns = 1_000_000;
    assert!(
        driven
            .queue
            .can_run(1, Standing::Preempted, driven.now_ns)
            .wake_timer
    );
    let next = driven.queue.look_at_slices(driven.now_ns, &mut driven.sent);
    assert_eq!(next, Some(driven.now_ns + SLICE_NS));
    assert!(driven.sent.is_empty());
}
