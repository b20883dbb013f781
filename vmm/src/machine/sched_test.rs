//! Machines whose vCPUs the VMM schedules.

use std::time::Duration;

use super::pause::PausedMachine;
use super::test_machine::{Copy, assert_passes, payload_under, wait_until};
use super::{Machine, summary};
use crate::cpu::topology::Topology;
use crate::report::hang::OnPcpu;
use crate::sched::Pcpus;
use crate::sched::config::{PolicyKind, TokenSched};
use crate::sched::decisions::{Decision, KEPT};
use crate::sched::view::Standing;

fn tokens(policy: PolicyKind, pcpus: u32, seed: u64) -> TokenSched {
    TokenSched {
        policy,
        pcpus,
        slice: Duration::from_micros(500),
        seed,
    }
}

fn machine(sched: TokenSched, vcpus: u32, cmdline: &str) -> Machine {
    payload_under(sched, Topology::flat(vcpus).unwrap(), cmdline)
}

fn acquisitions(machine: &Machine) -> u64 {
    let view = machine.payload().unwrap();
    view.header().map_or(0, |header| view.acquisitions(&header))
}

fn on_pcpus(machine: &Machine) -> usize {
    let sched = machine.board.sched.as_ref().unwrap();
    let is_on = |vcpu: &usize| sched.standing(*vcpu) == Standing::OnPcpu;
    (0..sched.count()).filter(is_on).count()
}

#[test]
fn who_stands_still_has_no_token_and_goes_on_afterwards() {
    for lock in ["ticket", "pv-ticket-head threshold=16"] {
        let sched = tokens(PolicyKind::RoundRobin, 1, 1);
        let cmdline = format!("ring=3 seconds=600 lock={lock}");
        let mut machine = machine(sched, 3, &cmdline);
        machine.start().unwrap();
        for _ in 0..5 {
            let before = acquisitions(&machine);
            wait_until(&machine, || acquisitions(&machine) > before + 100);
            let paused = PausedMachine::pause(&machine);
            assert_eq!(on_pcpus(&machine), 0);
            let before = acquisitions(&machine);
            assert!(paused.inspect().iter().all(Option::is_some));
            assert_eq!(acquisitions(&machine), before, "somebody ran");
        }
    }
}

#[test]
fn a_machine_that_is_saved_under_the_scheduler_goes_on_elsewhere() {
    let sched = tokens(PolicyKind::RoundRobin, 1, 1);
    let lock = "ring=3 lock=pv-ticket-head threshold=16 hold=100 think=10";
    for _ in 0..3 {
        let mut source = machine(sched, 4, &format!("{lock} seconds=1"));
        source.start().unwrap();
        wait_until(&source, || acquisitions(&source) > 100);
        let copy = Copy::of(&PausedMachine::pause(&source));
        source.stop();
        let mut there = copy.rebuilt();
        copy.load(&mut there).go_on().unwrap();
        assert_passes(&there);
    }
}

#[test]
fn a_hang_report_says_who_has_tokens() {
    let mut machine = machine(
        tokens(PolicyKind::RoundRobin, 1, 1),
        3,
        "ring=3 seconds=600 lock=ticket",
    );
    machine.start().unwrap();
    wait_until(&machine, || acquisitions(&machine) > 100);
    // Between two tokens there is a moment without any holder on its way.
    wait_until(&machine, || {
        let stuck = super::stuck::look(&machine).unwrap();
        let count = |of| stuck.iter().filter(|vcpu| vcpu.on_pcpu == Some(of)).count();
        count(OnPcpu::Holds) == 1 && count(OnPcpu::Waits) == 2
    });
}

fn decisions(sched: TokenSched, vcpus: u32) -> (Vec<Decision>, Option<u64>) {
    let mut machine = machine(sched, vcpus, "ring=3 lock=ticket seconds=600");
    machine.start().unwrap();
    let scheduler = machine.board.sched.clone().unwrap();
    wait_until(&machine, || {
        scheduler.decisions().count > u64::try_from(KEPT).unwrap()
    });
    machine.stop();
    let decisions = scheduler.decisions();
    let draws = scheduler.draws_digest(&decisions);
    (decisions.kept, draws)
}

#[test]
fn one_seed_draws_the_same_and_picks_the_same_of_the_same() {
    let sched = |seed| tokens(PolicyKind::Random, 1, seed);
    let (one, one_draws) = decisions(sched(5), 4);
    let (other, other_draws) = decisions(sched(5), 4);
    assert_eq!(one_draws, other_draws);
    assert!(one_draws.is_some());
    // How many sets are alike depends on time.
    for (one, other) in one.iter().zip(&other) {
        if one.eligible == other.eligible {
            assert_eq!(one.pick, other.pick);
        }
    }
    let (_, third_draws) = decisions(sched(6), 4);
    assert_ne!(one_draws, third_draws);
}

#[test]
fn a_machine_of_the_host_has_no_scheduler_in_its_report() {
    let machine = super::test_machine::payload(
        Topology::flat(1).unwrap(),
        crate::spec::Choice::Vmm,
        "seconds=0",
    );
    assert!(summary::sched(&machine).is_none());
}
