//! One row, one claim. vCPU 0 spins; lock 1 is the one it waits for where nothing else is said.

use super::super::test_views::*;
use super::*;
use crate::sched::view::VcpuView;

const SPIN_ON: Verdict = Verdict {
    action: Action::Nothing,
    flips: super::super::VcpuSet::EMPTY,
    tell: Tell::Nothing,
    patience: Patience::AsKvm,
};

fn to(target: usize) -> Verdict {
    Verdict {
        action: Action::YieldTo(target),
        ..SPIN_ON
    }
}

fn lend(target: usize) -> Verdict {
    Verdict {
        action: Action::LendTo(target),
        ..SPIN_ON
    }
}

fn to_halt() -> Verdict {
    Verdict {
        tell: Tell::ToHalt,
        ..SPIN_ON
    }
}

/// Waits for ticket `ticket` of lock 1, which serves 5.
fn w(vcpu: VcpuView, ticket: u32) -> VcpuView {
    waits(vcpu, 1, ticket, 5)
}

#[test]
fn the_pcpu_goes_to_whoever_the_spinner_waits_for() {
    let spinner = w(running(), 9);
    for (vcpus, verdict, why) in [
        (
            vec![spinner, w(preempted(), 6), holds(preempted(), 1)],
            lend(2),
            "the preempted holder first",
        ),
        (
            vec![spinner, w(preempted(), 7), w(preempted(), 6)],
            lend(2),
            "then who is served next",
        ),
        (
            vec![spinner, w(preempted(), 5), w(preempted(), 6)],
            lend(1),
            "or is served already",
        ),
        (
            vec![spinner, w(halted(), 5), w(kicked(), 6)],
            lend(2),
            "never one that is halted",
        ),
        (
            vec![spinner, w(away(), 5), w(preempted(), 8)],
            lend(2),
            "nor one that is away",
        ),
        (
            vec![
                spinner,
                holds(running(), 1),
                w(running(), 6),
                w(preempted(), 7),
            ],
            lend(3),
            "its turn comes before the spinner's",
        ),
        (
            vec![spinner, holds(preempted(), 2), w(kicked(), 8)],
            lend(2),
            "another lock's holder helps nobody here",
        ),
    ] {
        assert_eq!(without_patience(&view(&vcpus)), verdict, "{why}");
    }
}

#[test]
fn where_spinning_is_right_nothing_is_done() {
    let next = w(running(), 6);
    for (vcpus, why) in [
        (
            vec![next, holds(running(), 1)],
            "the holder runs and the spinner is next",
        ),
        (
            vec![next, holds(running(), 1), w(preempted(), 7)],
            "who comes later cannot help",
        ),
        (
            vec![next, holds(running(), 1), holds(preempted(), 2)],
            "nor another lock's holder",
        ),
        (
            vec![next, holds(running(), 1), thinks(preempted())],
            "nor who wants no lock",
        ),
    ] {
        assert_eq!(without_patience(&view(&vcpus)), SPIN_ON, "{why}");
    }
}

#[test]
fn who_was_preempted_before_it_could_say_so_is_found() {
    let next = w(running(), 6);
    for (vcpus, verdict, why) in [
        (
            vec![next, thinks(preempted())],
            to(1),
            "it may hold the lock, or the ticket before",
        ),
        (
            vec![next, holds(preempted(), 2)],
            to(1),
            "even if it says that it holds another",
        ),
        (
            vec![next, w(preempted(), 7), thinks(running())],
            SPIN_ON,
            "who runs can say so itself",
        ),
    ] {
        assert_eq!(without_patience(&view(&vcpus)), verdict, "{why}");
    }
}

#[test]
fn a_spinner_whose_turn_is_far_keeps_its_pcpu_as_long_as_somebody_before_it_runs() {
    let far = w(running(), 8);
    let (holder, next) = (holds(running(), 1), w(running(), 6));
    for (vcpus, verdict, why) in [
        (
            vec![far, holder, next, thinks(preempted())],
            SPIN_ON,
            "one more would queue behind it, and it without a pCPU",
        ),
        (
            vec![far, holder, next, w(preempted(), 9)],
            SPIN_ON,
            "who comes later cannot help",
        ),
        (
            vec![far, holder, w(halted(), 6)],
            SPIN_ON,
            "who is halted will be kicked, and fetched then",
        ),
        (
            vec![far, w(halted(), 6), thinks(preempted())],
            to(2),
            "nobody before it runs: who could not say so may hold the lock",
        ),
        (vec![far, w(halted(), 6)], to_halt(), "nobody at all"),
    ] {
        assert_eq!(without_patience(&view(&vcpus)), verdict, "{why}");
    }
}

#[test]
fn a_holder_that_nobody_can_boost_is_not_waited_for_with_a_pcpu() {
    let next = w(running(), 6);
    for (vcpus, verdict, why) in [
        (
            vec![next, holds(away(), 1)],
            to_halt(),
            "the guest halts at once",
        ),
        (
            vec![next, holds(halted(), 1)],
            to_halt(),
            "the guest halts at once",
        ),
        (
            vec![next, holds(away(), 1), thinks(preempted())],
            to(2),
            "somebody has work to do",
        ),
        (
            vec![next, holds(away(), 1), w(preempted(), 7)],
            to_halt(),
            "who waits for the same cannot",
        ),
    ] {
        assert_eq!(without_patience(&view(&vcpus)), verdict, "{why}");
    }
}

#[test]
fn a_holder_that_waits_itself_stands_for_what_it_waits_for() {
    let next = w(running(), 6);
    let holds_1_waits_for_2 = |vcpu| waits(holds(vcpu, 1), 2, 4, 3);
    for (vcpus, verdict, why) in [
        (
            vec![next, holds_1_waits_for_2(halted()), holds(preempted(), 2)],
            lend(2),
            "the holder's holder",
        ),
        (
            vec![next, holds_1_waits_for_2(running()), holds(preempted(), 2)],
            lend(2),
            "even where it spins",
        ),
        (
            vec![
                next,
                holds_1_waits_for_2(preempted()),
                holds(preempted(), 2),
            ],
            lend(1),
            "the nearest first",
        ),
        (
            vec![
                next,
                holds_1_waits_for_2(halted()),
                waits(holds(halted(), 2), 3, 1, 0),
                holds(kicked(), 3),
            ],
            lend(3),
            "as far as it goes",
        ),
    ] {
        assert_eq!(without_patience(&view(&vcpus)), verdict, "{why}");
    }
}

#[test]
fn who_has_lent_its_pcpu_is_as_one_that_runs() {
    let lender = VcpuView {
        has_lent: true,
        ..w(preempted(), 6)
    };
    for (vcpus, verdict, why) in [
        (
            vec![w(running(), 7), lender],
            SPIN_ON,
            "it has it back soon",
        ),
        (
            vec![w(running(), 8), lender, w(preempted(), 7)],
            lend(2),
            "another has none",
        ),
    ] {
        assert_eq!(without_patience(&view(&vcpus)), verdict, "{why}");
    }
}

#[test]
fn a_circle_of_holders_comes_to_an_end() {
    let circle = [
        w(running(), 6),
        waits(holds(halted(), 1), 2, 6, 5),
        waits(holds(halted(), 2), 1, 7, 5),
    ];
    assert_eq!(without_patience(&view(&circle)), to_halt());
}

#[test]
fn a_lock_without_tickets_has_only_its_holder() {
    let spinner = waits(running(), 1, 0, 0);
    let waiter = |vcpu| waits(vcpu, 1, 0, 0);
    for (vcpus, verdict, why) in [
        (
            vec![spinner, waiter(preempted()), holds(preempted(), 1)],
            lend(2),
            "the preempted holder",
        ),
        (
            vec![spinner, waiter(preempted()), holds(running(), 1)],
            SPIN_ON,
            "it runs",
        ),
        (
            vec![spinner, waiter(preempted()), holds(away(), 1)],
            to_halt(),
            "it cannot run",
        ),
    ] {
        assert_eq!(without_patience(&view(&vcpus)), verdict, "{why}");
    }
}

#[test]
fn a_lock_without_tickets_may_have_been_passed_to_a_waiter_without_a_pcpu() {
    let spinner = waits(running(), 1, 0, 0);
    let waiter = |vcpu| waits(vcpu, 1, 0, 0);
    let passed_over = |verdict| Verdict {
        flips: super::super::VcpuSet::from_iter([1]),
        ..verdict
    };
    for (vcpus, verdict, why) in [
        (
            vec![spinner, waiter(running()), waiter(preempted())],
            lend(2),
            "nobody says that he holds it",
        ),
        (
            vec![spinner, waiter(preempted()), waiter(kicked())],
            lend(2),
            "who was kicked is next for something",
        ),
        (
            vec![spinner, spinning(waiter(preempted())), thinks(preempted())],
            passed_over(to(2)),
            "who spun a moment ago is passed over",
        ),
        (
            vec![
                spinner,
                eligible(spinning(waiter(preempted()))),
                thinks(preempted()),
            ],
            passed_over(lend(1)),
            "every other time",
        ),
        (
            vec![spinner, waiter(halted()), waiter(running())],
            SPIN_ON,
            "nobody lacks a pCPU",
        ),
        (
            vec![spinner, waits(preempted(), 2, 0, 0), holds(preempted(), 3)],
            to(2),
            "another lock's waiter is none",
        ),
    ] {
        assert_eq!(without_patience(&view(&vcpus)), verdict, "{why}");
    }
}

#[test]
fn of_a_guest_that_says_nothing_the_kicked_come_first() {
    for (vcpus, verdict) in [
        (vec![running(), preempted(), kicked()], to(2)),
        (vec![running(), preempted(), halted()], to(1)),
        (vec![running(), running(), halted()], SPIN_ON),
        (vec![thinks(running()), preempted(), kicked()], to(2)),
    ] {
        assert_eq!(without_patience(&view(&vcpus)), verdict);
    }
}

#[test]
fn windows_are_bounded_only_while_somebody_lacks_a_pcpu() {
    let spinner = w(running(), 9);
    for (other, patience) in [
        (running(), Patience::AsKvm),
        (halted(), Patience::AsKvm),
        (preempted(), Patience::Bounded),
        (kicked(), Patience::Bounded),
    ] {
        let vcpus = [spinner, other];
        assert_eq!(decide(&view(&vcpus)).patience, patience, "{other:?}");
    }
}
