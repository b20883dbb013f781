//! Events: sent, masked, waited for.

use guest_payload::abi::xen::{self as abi, SharedInfo, VcpuInfo};
use vm_memory::{Bytes, GuestAddress};

use super::*;

#[test]
fn before_there_is_a_page_no_event_can_be_sent_or_waited_for() {
    let machine = Machine::new();
    let port = machine.bind(0);
    assert_eq!(machine.ask(32, 4, &[port]), -22);
    assert_eq!(machine.ask(32, 9, &[port]), -22);
    assert_eq!(machine.poll(&[port]), Outcome::Answer(-22));
    assert_eq!(machine.ask(32, 3, &[port]), 0);
}

#[test]
fn a_poll_halts_and_its_event_kicks_it_once() {
    let machine = Machine::mapped();
    let port = machine.bind(1);
    assert_eq!(machine.poll(&[port]), Outcome::Halt);
    assert_eq!(machine.ask(32, 4, &[port]), 0);
    assert_eq!((machine.kicked(), machine.pending()), (vec![1], 1 << port));
    // It is pending: nobody has to be kicked, and a poll returns.
    assert_eq!(machine.ask(32, 4, &[port]), 0);
    assert_eq!(machine.poll(&[port]), Outcome::Answer(0));
    machine.forget_pending();
    assert_eq!(machine.ask(32, 4, &[port]), 0);
    assert!(machine.kicked().is_empty(), "nobody polls");
    let stats = machine.kick.stats();
    assert_eq!(stats.handled.load(Relaxed), 3);
    assert_eq!(stats.to_halted.load(Relaxed), 1);
    assert_eq!(stats.to_running.load(Relaxed), 2);
}

#[test]
fn an_event_of_another_port_wakes_only_who_waits_for_any() {
    let machine = Machine::mapped();
    let (one, other) = (machine.bind(0), machine.bind(0));
    assert_eq!(machine.poll(&[one]), Outcome::Halt);
    assert_eq!(machine.ask(32, 4, &[other]), 0);
    assert!(machine.kicked().is_empty());
    machine.forget_pending();
    assert_eq!(machine.poll(&[one, other]), Outcome::Halt);
    assert_eq!(machine.ask(32, 4, &[other]), 0);
    assert_eq!(machine.kicked(), [1]);
}

#[test]
fn a_masked_event_tells_nobody_and_unmasking_it_does() {
    let machine = Machine::mapped();
    let port = machine.bind(2);
    let info = 2 * size_of::<VcpuInfo>();
    let selector = info + std::mem::offset_of!(VcpuInfo, evtchn_pending_sel);
    assert_eq!(machine.ask(32, 4, &[port]), 0);
    assert_eq!((machine.get(info), machine.get(selector)), (0, 0));
    assert_eq!(machine.ask(32, 9, &[port]), 0);
    assert_eq!((machine.get(info), machine.get(selector)), (1, 1));
    // Not masked any more: the next one does so at once.
    machine.forget_pending();
    machine.set(info, 0);
    machine.set(selector, 0);
    assert_eq!(machine.ask(32, 4, &[port]), 0);
    assert_eq!((machine.get(info), machine.get(selector)), (1, 1));
}

#[test]
fn a_closed_port_forgets_its_event() {
    let machine = Machine::mapped();
    let port = machine.bind(0);
    machine.ask(32, 4, &[port]);
    assert_eq!(machine.ask(32, 3, &[port]), 0);
    assert_eq!(machine.pending(), 0);
}

#[test]
fn a_port_that_cannot_be_told_is_not_bound() {
    let machine = Machine::mapped();
    let arguments = Arguments::words(&[0]);
    assert_eq!(machine.call(32, 7, &arguments), Outcome::Answer(-14));
    assert_eq!(machine.bind(0), 1);
}

#[test]
fn the_page_takes_its_events_along_when_it_moves() {
    let machine = Machine::mapped();
    let port = machine.bind(0);
    machine.ask(32, 4, &[port]);
    let there = PAGE + 0x8000;
    let place = [0x7ff0, 0, 0, 0, low(there >> 12), 0];
    assert_eq!(machine.ask(12, 7, &place), 0);
    let pending = there + std::mem::offset_of!(SharedInfo, evtchn_pending) as u64;
    let word: u64 = machine.memory.read_obj(GuestAddress(pending)).unwrap();
    assert_eq!(word, 1 << port);
}

#[test]
fn the_callback_is_kept_for_the_guest() {
    let machine = Machine::mapped();
    assert_eq!(machine.ask(34, 0, &[0x7ff0, 0, 0xf3, 0x200_0000]), 0);
    let arguments = Arguments::words(&[0x7ff0, 0, 0, 0]);
    assert_eq!(machine.call(34, 1, &arguments), Outcome::Answer(0));
    assert_eq!((arguments.word(2), arguments.word(3)), (0xf3, 0x200_0000));
}

#[test]
fn status_tells_the_vcpu() {
    let machine = Machine::mapped();
    let port = machine.bind(2);
    let arguments = Arguments::words(&[0x7ff0, port, 9, 9, 9, 9]);
    assert_eq!(machine.call(32, 5, &arguments), Outcome::Answer(0));
    assert_eq!((arguments.word(2), arguments.word(3)), (abi::STATUS_IPI, 2));
}
