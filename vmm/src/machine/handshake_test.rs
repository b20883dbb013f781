//! The handshake with a payload that runs: what it says, and that it does what it is told.

use super::Machine;
use super::test_machine::{payload_in, wait_until};
use crate::cpu::topology::Topology;
use crate::ple::config::{OnSpin, Ple, Window};
use crate::ple::slots::{Advice, Slots};
use crate::spec::{Choice, Lab};
use crate::vcpu::exits::Reason;

/// A waiter that only its host's word takes out of its spin loop.
const PATIENT: &str = "seconds=3600 lock=pv-ticket-head threshold=4294967295 hold=300 think=0";

/// A payload on two vCPUs whose first windows never end.
fn started(on_spin: OnSpin) -> (Machine, Slots) {
    let lab = Lab {
        ple: Ple::Soft(Window {
            gap: u32::MAX,
            window: u32::MAX,
            ..Window::DEFAULT
        }),
        on_spin,
        ..Lab::default()
    };
    let topology = Topology::flat(2).unwrap();
    let mut machine = payload_in(lab, topology, Choice::Vmm, PATIENT);
    machine.start().unwrap();
    let apic_ids: Vec<_> = machine.board.all().iter().map(|cpu| cpu.apic_id).collect();
    let page = machine.blueprint.handshake_gpa.unwrap();
    let slots = Slots::new(machine.memory.clone(), page, &apic_ids);
    (machine, slots)
}

fn spin_exits(machine: &Machine) -> u64 {
    let vcpus = machine.board.all().iter();
    vcpus.map(|vcpu| vcpu.exits.of(Reason::SpinStub)).sum()
}

fn acquisitions(machine: &Machine) -> u64 {
    let view = machine.payload().unwrap();
    view.header().map_or(0, |header| view.acquisitions(&header))
}

fn halts(machine: &Machine) -> u64 {
    let view = machine.payload().unwrap();
    let cpus = view.header().map(|header| view.cpus(&header));
    cpus.unwrap_or_default().iter().map(|cpu| cpu.halts).sum()
}

#[test]
fn the_host_sees_who_waits_for_the_lock_that_another_holds() {
    let (machine, slots) = started(OnSpin::Handshake);
    wait_until(&machine, || {
        let waits_for_other = |waiter: usize| {
            slots.said(waiter).is_some_and(|said| {
                said.holding_lock == 0
                    && slots
                        .holders_of(said.waiting_lock)
                        .any(|holder| holder != waiter)
            })
        };
        waits_for_other(0) || waits_for_other(1)
    });
}

#[test]
fn a_waiter_that_is_advised_halts_and_is_kicked() {
    let (machine, slots) = started(OnSpin::Handshake);
    wait_until(&machine, || acquisitions(&machine) > 100);
    let before = halts(&machine);
    // Advice is for the wait that is on; a CPU between two of them forgets it.
    wait_until(&machine, || {
        (0..2).for_each(|vcpu| slots.advise(vcpu, Advice::Halt));
        halts(&machine) > before + 3
    });
    let taken = acquisitions(&machine);
    wait_until(&machine, || acquisitions(&machine) > taken + 100);
}

#[test]
fn a_window_that_the_host_sets_ends_the_spinning() {
    let (machine, slots) = started(OnSpin::None);
    wait_until(&machine, || acquisitions(&machine) > 100);
    assert_eq!(spin_exits(&machine), 0);
    // Again and again, because the host's own service sets it at each exit.
    wait_until(&machine, || {
        (0..2).for_each(|vcpu| slots.set_window(vcpu, 4));
        spin_exits(&machine) > 3
    });
}
