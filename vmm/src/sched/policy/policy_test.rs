//! Who is next, in tables.

use super::super::config::{Adversary, PreemptAt};
use super::*;

/// Candidates given as (vCPU, place, virtual ns).
fn candidates(of: &[(usize, u64, u64)]) -> Vec<Candidate> {
    let candidate = |&(vcpu, place, virtual_ns)| Candidate {
        vcpu,
        place,
        virtual_ns,
    };
    of.iter().map(candidate).collect()
}

fn pick_at(policy: Policy, decision: u64, of: &[Candidate]) -> Option<usize> {
    let mut draws = Vec::new();
    policy.draw(decision, 8, &mut draws);
    policy.pick(&draws, of)
}

fn pick(policy: Policy, of: &[(usize, u64, u64)]) -> Option<usize> {
    pick_at(policy, 0, &candidates(of))
}

fn policy(kind: PolicyKind) -> Policy {
    Policy::new(kind, 1, 2)
}

#[test]
fn nobody_is_picked_of_nobody() {
    let adversary = Adversary {
        at: PreemptAt::Acquire,
        rate: 1.0,
    };
    let adversarial = PolicyKind::Adversarial(adversary);
    for kind in PolicyKind::PLAIN.into_iter().chain([adversarial]) {
        assert_eq!(pick(policy(kind), &[]), None, "{kind:?}");
    }
}

#[test]
fn round_robin_takes_who_queued_first() {
    assert_eq!(
        pick(
            policy(PolicyKind::RoundRobin),
            &[(0, 7, 0), (1, 5, 9), (2, 6, 0)]
        ),
        Some(1)
    );
}

#[test]
fn fair_takes_who_had_the_least_time_and_of_equals_who_queued_first() {
    for (of, expected) in [
        (&[(0, 1, 30), (1, 2, 20), (2, 3, 40)][..], 1),
        (&[(0, 3, 20), (1, 2, 20), (2, 1, 40)][..], 1),
    ] {
        assert_eq!(pick(policy(PolicyKind::Fair), of), Some(expected));
    }
}

#[test]
fn gangs_run_one_after_the_other() {
    let mut gang = Gang::new(1, 2);
    let of = [(5, 1, 0), (3, 2, 0), (2, 3, 0), (1, 4, 0)];
    // Gangs {0, 1}, {2, 3}, {4, 5}; within a gang, who queued first.
    let mut order = Vec::new();
    for _ in 0..4 {
        order.push(pick(Policy::Gang(gang), &of));
        gang.next(of.iter().map(|&(vcpu, ..)| vcpu));
    }
    assert_eq!(order, [Some(1), Some(3), Some(5), Some(1)]);
}

#[test]
fn a_gang_without_anybody_who_waits_is_passed_over() {
    let mut gang = Gang::new(1, 2);
    gang.next([5].into_iter());
    assert!(gang.has_turn(4) && gang.has_turn(5));
    gang.next([].into_iter());
    assert!(gang.has_turn(4), "nobody else wants the turn");
}

#[test]
fn a_token_that_a_gang_leaves_goes_to_the_gang_that_comes_next() {
    let mut gang = Gang::new(1, 2);
    gang.next([2].into_iter());
    assert_eq!(pick(Policy::Gang(gang), &[(0, 1, 0), (4, 2, 0)]), Some(4));
}

#[test]
fn equal_candidates_give_equal_draws_whatever_else_there_was() {
    let policy = Policy::new(PolicyKind::Random, 42, 1);
    let all = candidates(&[(0, 0, 0), (1, 1, 0), (2, 2, 0), (3, 3, 0)]);
    let again = candidates(&[(0, 9, 5), (1, 3, 7), (2, 8, 1), (3, 4, 0)]);
    for decision in 0..100 {
        let pick = pick_at(policy, decision, &all);
        assert_eq!(pick, pick_at(policy, decision, &again));
        // Who loses anyway makes no difference by being away.
        let loser = (0..4).find(|&vcpu| Some(vcpu) != pick).unwrap();
        let without: Vec<_> = all.iter().copied().filter(|c| c.vcpu != loser).collect();
        assert_eq!(pick, pick_at(policy, decision, &without));
    }
}

#[test]
fn draws_differ_by_seed_and_treat_all_alike() {
    let all = candidates(&[(0, 0, 0), (1, 1, 0), (2, 2, 0), (3, 3, 0)]);
    let draws = |seed| -> Vec<_> {
        let policy = Policy::new(PolicyKind::Random, seed, 1);
        (0..4000)
            .map(|n| pick_at(policy, n, &all).unwrap())
            .collect()
    };
    let one = draws(1);
    assert_ne!(one, draws(2));
    for vcpu in 0..4 {
        let times = one.iter().filter(|&&pick| pick == vcpu).count();
        assert!((850..1150).contains(&times), "vCPU {vcpu}: {times}");
    }
}
