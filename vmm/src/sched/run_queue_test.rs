//! The scheduler as a state machine, driven by random events under every policy.
#![expect(clippy::unwrap_used, reason = "a test says so where it fails")]

#[path = "run_queue_test/yields.rs"]
mod yields;

use std::collections::HashMap;
use std::time::Duration;

use proptest::prelude::*;

use super::super::config::{Adversary, PolicyKind, PreemptAt};
use super::*;

const SLICE_NS: u64 = 1000;

/// Something that can happen to a vCPU, or to all.
#[derive(Clone, Copy, Debug)]
enum Event {
    CanRun(usize),
    Halts(usize),
    IsKicked(usize),
    Leaves(usize),
    /// It passes through its run loop.
    Looks(usize),
    Preempt(usize),
    YieldsTurn(usize),
    YieldsTo(usize, usize),
    /// So much time goes by, and the slices are looked at.
    Time(u64),
}

fn events(vcpus: usize) -> impl Strategy<Value = Event> {
    let vcpu = || 0..vcpus;
    prop_oneof![
        3 => vcpu().prop_map(Event::CanRun),
        2 => vcpu().prop_map(Event::Halts),
        2 => vcpu().prop_map(Event::IsKicked),
        1 => vcpu().prop_map(Event::Leaves),
        6 => vcpu().prop_map(Event::Looks),
        1 => vcpu().prop_map(Event::Preempt),
        1 => vcpu().prop_map(Event::YieldsTurn),
        2 => (vcpu(), vcpu()).prop_map(|(from, to)| Event::YieldsTo(from, to)),
        3 => (1..3 * SLICE_NS).prop_map(Event::Time),
    ]
}

fn policies() -> impl Strategy<Value = PolicyKind> {
    let adversarial = PolicyKind::Adversarial(Adversary {
        at: PreemptAt::Acquire,
        rate: 0.5,
    });
    let plain = proptest::sample::select(PolicyKind::PLAIN.to_vec());
    prop_oneof![4 => plain, 1 => Just(adversarial)]
}

fn queue(policy: PolicyKind, vcpus: usize, pcpus: u32) -> RunQueue {
    let config = TokenSched {
        policy,
        pcpus,
        slice: Duration::from_nanos(SLICE_NS),
        seed: 7,
    };
    RunQueue::new(vcpus, &config)
}

/// A run queue and what must be true of it.
struct Driven {
    queue: RunQueue,
    tokens: usize,
    now_ns: u64,
    sent: Vec<usize>,
}

impl Driven {
    fn new(policy: PolicyKind, vcpus: usize, pcpus: u32) -> Self {
        Self {
            queue: queue(policy, vcpus, pcpus),
            tokens: usize::try_from(pcpus).unwrap().min(vcpus),
            now_ns: 1,
            sent: Vec::new(),
        }
    }

    fn count(&self, of: impl Fn(Standing) -> bool) -> usize {
        let all = 0..self.queue.vcpus();
        all.filter(|&vcpu| of(self.queue.standing(vcpu))).count()
    }

    fn check(&self, event: Event) {
        let on = self.count(|standing| standing == Standing::OnPcpu);
        assert!(on <= self.tokens, "{on} tokens are held after {event:?}");
        assert_eq!(on + self.queue.free(), self.tokens, "after {event:?}");
        assert_eq!(
            self.queue.waiting,
            self.count(Standing::waits),
            "after {event:?}"
        );
        assert!(
            self.queue.free() == 0 || self.queue.waiting == 0,
            "a token is free while somebody waits, after {event:?}"
        );
        for vcpu in 0..self.queue.vcpus() {
            let is_on = self.queue.standing(vcpu) == Standing::OnPcpu;
            assert!(is_on || self.queue.asked_off(vcpu).is_none());
        }
    }

    fn happen(&mut self, event: Event) {
        let before: Vec<_> = (0..self.queue.vcpus())
            .map(|vcpu| self.queue.standing(vcpu))
            .collect();
        let now_ns = self.now_ns;
        let queue = &mut self.queue;
        let effects = match event {
            Event::CanRun(vcpu) => queue.can_run(vcpu, Standing::Preempted, now_ns),
            Event::Halts(vcpu) => queue.cannot_run(vcpu, Standing::Halted, now_ns),
            Event::IsKicked(vcpu) if before[vcpu] == Standing::Halted => {
                queue.can_run(vcpu, Standing::Kicked, now_ns)
            }
            Event::IsKicked(_) => Effects::default(),
            Event::Leaves(vcpu) => queue.cannot_run(vcpu, Standing::Away, now_ns),
            Event::Looks(vcpu) => queue.gives_up(vcpu, now_ns),
            Event::Preempt(vcpu) => {
                queue.ask_off(vcpu, Asked::Preempted);
                Effects::default()
            }
            Event::YieldsTurn(vcpu) => {
                queue.ask_off(vcpu, Asked::Yields);
                Effects::default()
            }
            Event::YieldsTo(from, to) => {
                let may_give = before[from] == Standing::OnPcpu && queue.asked_off(from).is_none();
                let is_possible = may_give && before[to].waits();
                let handed = queue.hand_over(from, to, now_ns);
                assert_eq!(handed.is_some(), is_possible);
                if is_possible {
                    assert_eq!(queue.standing(to), Standing::OnPcpu);
                    assert_eq!(queue.standing(from), Standing::Preempted);
                }
                handed.unwrap_or_default()
            }
            Event::Time(ns) => {
                self.now_ns += ns;
                self.sent.clear();
                let next = queue.look_at_slices(self.now_ns, &mut self.sent);
                assert!(next.is_none_or(|next| next > self.now_ns));
                assert!(next.is_some() || queue.waiting == 0, "nobody watches");
                assert!(self.sent.len() <= queue.waiting, "sent without need");
                Effects::default()
            }
        };
        if let Some(vcpu) = effects.granted {
            assert_eq!(self.queue.standing(vcpu), Standing::OnPcpu);
        }
        // A token never comes to a vCPU that nobody tells of it.
        for (vcpu, before) in before.into_iter().enumerate() {
            let is_new =
                self.queue.standing(vcpu) == Standing::OnPcpu && before != Standing::OnPcpu;
            assert!(!is_new || effects.granted == Some(vcpu), "{event:?}");
        }
        self.check(event);
    }
}

fn driven() -> impl Strategy<Value = (PolicyKind, usize, u32, Vec<Event>)> {
    (policies(), 1..9_usize, 1..6_u32).prop_flat_map(|(policy, vcpus, pcpus)| {
        let events = prop::collection::vec(events(vcpus), 1..200);
        (Just(policy), Just(vcpus), Just(pcpus), events)
    })
}

proptest! {
    #[test]
    fn tokens_never_exceed_the_pcpus_and_none_is_free_while_somebody_waits(
        (policy, vcpus, pcpus, events) in driven()
    ) {
        let mut driven = Driven::new(policy, vcpus, pcpus);
        for event in events {
            driven.happen(event);
        }
    }

    #[test]
    fn who_stays_able_to_run_gets_on_within_a_bound_of_slices(
        (policy, vcpus, pcpus, events) in driven()
    ) {
        if policy == PolicyKind::Random {
            return Ok(());
        }
        let mut driven = Driven::new(policy, vcpus, pcpus);
        for event in events {
            driven.happen(event);
        }
        (0..vcpus).for_each(|vcpu| driven.happen(Event::CanRun(vcpu)));
        // Nobody halts and nobody is preempted on purpose from here on; two spin, and yield to each
        // other for ever.
        let other = 1 % vcpus;
        let most_behind_ns = driven.queue.entries.iter().map(|e| e.virtual_ns).max().unwrap();
        let to_catch_up = usize::try_from(most_behind_ns / SLICE_NS).unwrap() * vcpus;
        let mut unseen: Vec<_> = (0..vcpus).collect();
        for _ in 0..8 * vcpus + to_catch_up {
            for _ in 0..4 {
                // Also between two yields: a turn may be over at the next of them.
                unseen.retain(|&vcpu| driven.queue.standing(vcpu) != Standing::OnPcpu);
                driven.happen(Event::Time(SLICE_NS / 4));
                let (from, to) = match driven.queue.standing(0) {
                    Standing::OnPcpu => (0, other),
                    _ => (other, 0),
                };
                driven.happen(Event::YieldsTo(from, to));
                (0..vcpus).for_each(|vcpu| driven.happen(Event::Looks(vcpu)));
            }
        }
        prop_assert!(unseen.is_empty(), "{unseen:?} never ran");
    }

    #[test]
    fn equal_sets_of_candidates_give_equal_picks_at_equal_decisions(
        vcpus in 2..9_usize,
        pcpus in 1..4_u32,
        one in prop::collection::vec(events(8), 1..200),
        other in prop::collection::vec(events(8), 1..200),
    ) {
        let run = |events: &[Event]| {
            let mut driven = Driven::new(PolicyKind::Random, vcpus, pcpus);
            for event in events {
                let of = |vcpu: usize| vcpu % vcpus;
                driven.happen(match *event {
                    Event::CanRun(vcpu) => Event::CanRun(of(vcpu)),
                    Event::Halts(vcpu) => Event::Halts(of(vcpu)),
                    Event::IsKicked(vcpu) => Event::IsKicked(of(vcpu)),
                    Event::Leaves(vcpu) => Event::Leaves(of(vcpu)),
                    Event::Looks(vcpu) => Event::Looks(of(vcpu)),
                    Event::Preempt(vcpu) => Event::Preempt(of(vcpu)),
                    Event::YieldsTurn(vcpu) => Event::YieldsTurn(of(vcpu)),
                    Event::YieldsTo(from, to) => Event::YieldsTo(of(from), of(to)),
                    Event::Time(ns) => Event::Time(ns),
                });
            }
            driven.queue.decisions
        };
        let (one, other) = (run(&one), run(&other));
        for (one, other) in one.kept.iter().zip(&other.kept) {
            prop_assert!(one.eligible != other.eligible || one.pick == other.pick);
        }
    }
}

/// Runs vCPUs that never halt for so many slices; how often each was on a pCPU, and who was on
/// together.
fn slices(policy: PolicyKind, vcpus: usize, pcpus: u32, slices: usize) -> Vec<Vec<usize>> {
    let mut driven = Driven::new(policy, vcpus, pcpus);
    (0..vcpus).for_each(|vcpu| driven.happen(Event::CanRun(vcpu)));
    let mut together = Vec::new();
    for _ in 0..slices {
        let on = (0..vcpus).filter(|&vcpu| driven.queue.standing(vcpu) == Standing::OnPcpu);
        together.push(on.collect());
        driven.happen(Event::Time(SLICE_NS));
        (0..vcpus).for_each(|vcpu| driven.happen(Event::Looks(vcpu)));
    }
    together
}

#[test]
fn round_robin_gives_everybody_the_same_number_of_slices() {
    let mut times = HashMap::new();
    for vcpu in slices(PolicyKind::RoundRobin, 6, 2, 300).concat() {
        *times.entry(vcpu).or_insert(0) += 1;
    }
    assert!(
        times.len() == 6 && times.values().all(|&times| times == 100),
        "{times:?}"
    );
}

#[test]
fn random_starves_nobody() {
    let mut times = HashMap::new();
    for vcpu in slices(PolicyKind::Random, 6, 2, 3000).concat() {
        *times.entry(vcpu).or_insert(0) += 1;
    }
    assert!(
        times.len() == 6 && times.values().all(|&times| times > 800),
        "{times:?}"
    );
}

#[test]
fn the_members_of_a_gang_run_together() {
    let together = slices(PolicyKind::Gang, 6, 2, 30);
    for on in together {
        assert_eq!(on.len(), 2);
        assert_eq!(on[0] / 2, on[1] / 2, "{on:?}");
    }
}

#[test]
fn a_member_that_is_kicked_gets_its_pcpu_back_from_a_stranger_at_once() {
    let mut driven = Driven::new(PolicyKind::Gang, 4, 2);
    (0..4).for_each(|vcpu| driven.happen(Event::CanRun(vcpu)));
    driven.happen(Event::Halts(1));
    assert_eq!(
        driven.queue.standing(2),
        Standing::OnPcpu,
        "work conserving"
    );
    driven.happen(Event::IsKicked(1));
    driven.happen(Event::Time(1));
    assert_eq!(driven.sent, [2]);
    driven.happen(Event::Looks(2));
    assert_eq!(driven.queue.standing(1), Standing::OnPcpu);
}

#[test]
fn a_vcpu_that_has_slept_does_not_make_up_for_it() {
    let mut driven = Driven::new(PolicyKind::Fair, 2, 1);
    driven.happen(Event::CanRun(0));
    driven.happen(Event::Time(100 * SLICE_NS));
    driven.happen(Event::CanRun(1));
    let mut on = Vec::new();
    for _ in 0..10 {
        driven.happen(Event::Time(SLICE_NS));
        (0..2).for_each(|vcpu| driven.happen(Event::Looks(vcpu)));
        on.push((0..2).find(|&vcpu| driven.queue.standing(vcpu) == Standing::OnPcpu));
    }
    let first = on.iter().filter(|&&vcpu| vcpu == Some(0)).count();
    assert!((4..=6).contains(&first), "{on:?}");
}

#[test]
fn a_vcpu_that_is_preempted_often_has_its_fair_share_all_the_same() {
    let mut driven = Driven::new(PolicyKind::Fair, 2, 1);
    (0..2).for_each(|vcpu| driven.happen(Event::CanRun(vcpu)));
    let mut on = [0; 2];
    for _ in 0..400 {
        let runs = (0..2).find(|&vcpu| driven.queue.standing(vcpu) == Standing::OnPcpu);
        on[runs.unwrap()] += 1;
        driven.happen(Event::Time(SLICE_NS / 4));
        driven.happen(Event::Preempt(0));
        (0..2).for_each(|vcpu| driven.happen(Event::Looks(vcpu)));
    }
    assert!(on.iter().all(|&times| times >= 180), "{on:?}");
}
