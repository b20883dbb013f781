//! Payloads that are saved and restored while they run, on every kind of machine this host has.

use super::super::test_machine::{Copy, payload, wait_until};
use crate::cpu::topology::Topology;
use crate::machine::Machine;
use crate::machine::pause::PausedMachine;
use crate::spec::Choice;
use crate::vcpu::inspect::{Activity, Inspection};

fn acquisitions(machine: &Machine) -> u64 {
    let view = machine.payload().unwrap();
    view.header().map_or(0, |header| view.acquisitions(&header))
}

/// Saves and restores `moves` times. Every vCPU of a fair lock stands in its queue: one that was
/// lost would stop them all.
fn moves(topology: Topology, halt: Choice, cmdline: &str, moves: u32) {
    let mut machine = payload(topology, halt, &format!("{cmdline} seconds=600"));
    machine.start().unwrap();
    for _ in 0..moves {
        assert_goes_on(&machine);
        machine = moved(machine);
    }
    assert_goes_on(&machine);
}

/// The guest takes locks, and no check it makes fails.
fn assert_goes_on(machine: &Machine) {
    let before = acquisitions(machine);
    let enough = u64::from(machine.blueprint.vcpus()) + 20;
    wait_until(machine, || acquisitions(machine) >= before + enough);
    let view = machine.payload().unwrap();
    let counted = machine.board.ports.counter.counts();
    let live = view.live(&view.header().unwrap(), &counted);
    assert_eq!(live.violations_total, 0, "{live:?}");
}

/// The same machine elsewhere.
fn moved(mut machine: Machine) -> Machine {
    let copy = Copy::of(&PausedMachine::pause(&machine));
    machine.stop();
    let mut there = copy.rebuilt();
    copy.load(&mut there).go_on().unwrap();
    there
}

#[test]
fn a_guest_goes_on_in_another_machine() {
    for halt in [Choice::Kvm, Choice::Vmm] {
        for ring in [
            "0 threshold=1 hold=4 think=1",
            "3 threshold=16 hold=100 think=10",
        ] {
            for vcpus in [1, 2, 16] {
                moves(
                    Topology::flat(vcpus).unwrap(),
                    halt,
                    &format!("ring={ring} window=300 io=4 clocks=on"),
                    3,
                );
            }
        }
    }
}

#[test]
fn a_guest_with_gaps_among_its_apic_ids_goes_on_in_either_mode() {
    for halt in [Choice::Kvm, Choice::Vmm] {
        for apic in ["xapic", "x2apic"] {
            let cmdline = format!("ring=3 apic={apic} threshold=1 hold=100 think=0");
            let topology = "sockets=2,cores=3,threads=1".parse().unwrap();
            moves(topology, halt, &cmdline, 3);
        }
    }
}

#[test]
fn a_guest_with_apic_ids_above_254_goes_on() {
    for halt in [Choice::Kvm, Choice::Vmm] {
        let topology: Topology = "sockets=5,cores=5,threads=5".parse().unwrap();
        assert!(topology.max_apic_id() > 254);
        moves(topology, halt, "ring=3 threshold=1", 2);
    }
}

#[test]
fn a_guest_goes_on_that_is_moved_while_it_starts_its_cpus() {
    for halt in [Choice::Kvm, Choice::Vmm] {
        let mut machine = payload(Topology::flat(6).unwrap(), halt, "ring=3 seconds=600");
        machine.start().unwrap();
        for started in 1..=5 {
            let has_more = || {
                let vcpus = PausedMachine::pause(&machine).inspect();
                let is_up = |vcpu: &Inspection| vcpu.activity != Activity::WaitingForSipi;
                vcpus.into_iter().flatten().filter(is_up).count() >= started
            };
            wait_until(&machine, has_more);
            machine = moved(machine);
        }
        assert_goes_on(&machine);
    }
}
