//! What lies in guest memory, and what is saved.

use super::*;

#[test]
fn what_the_vmm_writes_is_in_the_log_of_a_migration() {
    let machine = Machine::mapped();
    let port = machine.bind(0);
    machine.own_writes.start();
    machine
        .xen
        .fill_hypercall_page(0x3000, HypercallsBy::Port)
        .unwrap();
    assert_eq!(machine.own_writes.take(0..PAGE * 2), [3]);
    machine.ask(32, 4, &[port]);
    assert_eq!(machine.own_writes.take(0..PAGE * 2), [PAGE >> 12]);
}

#[test]
fn a_saved_machine_wakes_who_polled_in_the_first() {
    let machine = Machine::mapped();
    let port = machine.bind(1);
    assert_eq!(machine.poll(&[port]), Outcome::Halt);
    let saved = machine.xen.save();
    let other = Machine::new();
    other.xen.load(&saved).unwrap();
    assert_eq!(other.xen.save(), saved);
    assert_eq!(other.ask(32, 4, &[port]), 0);
    assert_eq!(other.kicked(), [1]);
}

#[test]
fn what_no_machine_saves_is_refused_and_nothing_has_changed() {
    let good = SavedXen {
        shared_info: Some(PAGE),
        callback: 0,
        ipis: vec![(1, 0), (4095, 2)],
        polls: vec![0, 4095, u32::MAX],
    };
    let with = |change: fn(&mut SavedXen)| {
        let mut saved = good.clone();
        change(&mut saved);
        saved
    };
    let machine = Machine::new();
    let empty = machine.xen.save();
    for (bad, why) in [
        (with(|saved| saved.shared_info = Some(PAGE + 8)), "0x100008"),
        (with(|saved| saved.shared_info = Some(1 << 40)), "no memory"),
        (with(|saved| saved.ipis[0].0 = 0), "channel 0"),
        (with(|saved| saved.ipis[1].0 = 1), "channel 1"),
        (with(|saved| saved.ipis[1].0 = 4096), "channel 4096"),
        (with(|saved| saved.ipis[0].1 = 3), "vCPU 3"),
        (with(|saved| saved.polls[0] = 4096), "polls"),
        (with(|saved| saved.polls.push(0)), "polls"),
        (with(|saved| saved.polls.clear()), "polls"),
    ] {
        let error = machine.xen.load(&bad).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
        assert_eq!(machine.xen.save(), empty);
    }
    machine.xen.load(&good).unwrap();
}
