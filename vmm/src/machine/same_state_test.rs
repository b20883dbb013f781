//! Saving a machine changes nothing, and restoring it brings all of it back.

use super::Machine;
use super::pause::PausedMachine;
use super::saved::SavedMachine;
use super::test_machine::{Copy, assert_passes, payload, wait_until};
use crate::cpu::topology::Topology;
use crate::snapshot::{Label, SectionKind};
use crate::spec::Choice;
use crate::vcpu::inspect::Activity;

const CLOCK: Label = Label::Known(SectionKind::Clock, 0);

/// The sections whose bytes differ.
fn differing(one: &SavedMachine, other: &SavedMachine) -> Vec<Label> {
    let (one, other) = (one.sections().unwrap(), other.sections().unwrap());
    assert_eq!(one.len(), other.len());
    one.iter()
        .zip(&other)
        .filter(|(one, other)| one != other)
        .map(|(one, _)| one.label())
        .collect()
}

fn has_started(machine: &Machine) -> bool {
    let view = machine.payload().unwrap();
    view.header()
        .is_some_and(|header| view.acquisitions(&header) > 20)
}

#[test]
fn a_machine_that_is_saved_twice_has_moved_no_further_than_its_clock() {
    for halt in [Choice::Kvm, Choice::Vmm] {
        let mut machine = payload(
            Topology::flat(4).unwrap(),
            halt,
            "ring=3 seconds=60 threshold=1 hold=100 think=0 window=1000",
        );
        machine.start().unwrap();
        wait_until(&machine, || has_started(&machine));
        for _ in 0..5 {
            let paused = PausedMachine::pause(&machine);
            let first = SavedMachine::of(&paused).unwrap();
            let second = SavedMachine::of(&paused).unwrap();
            assert_eq!(differing(&first, &second), [CLOCK], "--halt {halt:?}");
            paused.go_on().unwrap();
        }
    }
}

#[test]
fn a_restored_machine_is_saved_with_the_bytes_that_it_came_with() {
    for halt in [Choice::Kvm, Choice::Vmm] {
        for apic in ["xapic", "x2apic"] {
            let mut machine = payload(
                "sockets=2,cores=3,threads=1".parse().unwrap(),
                halt,
                &format!("ring=3 seconds=60 apic={apic} threshold=1 hold=100 think=0 io=4"),
            );
            machine.start().unwrap();
            wait_until(&machine, || has_started(&machine));
            let copy = Copy::of(&PausedMachine::pause(&machine));
            let mut restored = copy.rebuilt();
            let paused = copy.load(&mut restored);
            for _ in 0..2 {
                let again = SavedMachine::of(&paused).unwrap();
                assert_eq!(differing(&copy.saved, &again), [], "--halt {halt:?} {apic}");
            }
        }
    }
}

#[test]
fn a_machine_that_has_not_begun_begins_elsewhere() {
    for halt in [Choice::Kvm, Choice::Vmm] {
        let mut machine = payload(Topology::flat(4).unwrap(), halt, "ring=3 seconds=0.1");
        let paused = machine.start_paused().unwrap();
        let copy = Copy::of(&paused);
        let activities: Vec<_> = copy
            .saved
            .state
            .vcpus
            .iter()
            .map(|vcpu| vcpu.activity())
            .collect();
        let waits = Activity::WaitingForSipi;
        assert_eq!(activities, [Activity::Running, waits, waits, waits]);
        let mut restored = copy.rebuilt();
        let there = copy.load(&mut restored);
        assert_eq!(
            differing(&copy.saved, &SavedMachine::of(&there).unwrap()),
            []
        );
        there.go_on().unwrap();
        assert_passes(&restored);
        paused.go_on().unwrap();
        assert_passes(&machine);
    }
}
