use std::time::Duration;

use super::*;
use crate::memory::{self, MemorySize};
use crate::ple::config::Window;
use crate::sched::config::{PreemptHolder, TokenSched};

const PAGE: u64 = 0x1000;

fn adversarial(at: PreemptAt, rate: f64) -> Sched {
    Sched::Tokens(TokenSched {
        policy: PolicyKind::Adversarial(Adversary { at, rate }),
        pcpus: 1,
        slice: Duration::from_millis(1),
        seed: 1,
    })
}

fn holder(rate: f64) -> Option<PreemptHolder> {
    Some(PreemptHolder {
        rate,
        hold: Duration::from_millis(1),
    })
}

/// A page such as the payload's, before the start.
fn memory_with_page() -> GuestMemoryMmap {
    let memory = memory::map(MemorySize::from_mib(2)).unwrap();
    let at = |offset: usize| GuestAddress(PAGE + offset as u64);
    memory
        .write_obj(HANDSHAKE_MAGIC, at(offset_of!(Handshake, magic)))
        .unwrap();
    memory
        .write_obj(HANDSHAKE_VERSION, at(offset_of!(Handshake, version)))
        .unwrap();
    memory
}

#[test]
fn a_run_without_the_laboratory_asks_for_nothing() {
    assert_eq!(HostFields::of(&Lab::default()), Ok(None));
    let others = Lab {
        sched: Sched::Tokens(TokenSched {
            policy: PolicyKind::RoundRobin,
            pcpus: 1,
            slice: Duration::from_millis(1),
            seed: 1,
        }),
        ple: Ple::Off,
        ..Lab::default()
    };
    assert_eq!(HostFields::of(&others), Ok(None));
}

#[test]
fn each_switch_asks_for_its_own() {
    let window = Window {
        gap: 11,
        window: 12,
        ..Window::DEFAULT
    };
    let soft = Lab {
        ple: Ple::Soft(window),
        seed: 5,
        ..Lab::default()
    };
    let fields = HostFields::of(&soft).unwrap().unwrap();
    assert_eq!(fields.host, HOST_SPIN_EXITS);
    assert_eq!((fields.gap_cycles, fields.window_pauses), (11, 12));
    assert_eq!(fields.seed, 5);

    let ours = Lab {
        on_spin: OnSpin::Handshake,
        ..soft
    };
    let fields = HostFields::of(&ours).unwrap().unwrap();
    let slots = HOST_READS_SLOTS | HOST_ADVISES;
    assert_eq!(fields.host, HOST_SPIN_EXITS | slots);

    for (at, acquire, release) in [
        (PreemptAt::Acquire, 1 << 31, 0),
        (PreemptAt::Release, 0, 1 << 31),
    ] {
        let lab = Lab {
            sched: adversarial(at, 0.5),
            ..Lab::default()
        };
        let fields = HostFields::of(&lab).unwrap().unwrap();
        assert_eq!(fields.host, HOST_PREEMPTS);
        assert_eq!(fields.exit_at_acquire, acquire);
        assert_eq!(fields.exit_at_release, release);
    }

    let lab = Lab {
        preempt_holder: holder(1.0),
        ..Lab::default()
    };
    let fields = HostFields::of(&lab).unwrap().unwrap();
    assert_eq!(fields.host, HOST_PREEMPTS);
    assert_eq!(fields.exit_at_acquire, u32::MAX);
}

#[test]
fn two_who_preempt_at_acquires_are_refused() {
    let both = |at| Lab {
        sched: adversarial(at, 0.5),
        preempt_holder: holder(0.5),
        ..Lab::default()
    };
    let refused = HostFields::of(&both(PreemptAt::Acquire));
    assert_eq!(refused, Err(Error::TwoAtAcquire));
    let fields = HostFields::of(&both(PreemptAt::Release)).unwrap().unwrap();
    assert_eq!(fields.exit_at_acquire, fields.exit_at_release);
}

#[test]
fn a_guest_that_offers_nothing_is_refused_by_the_option_that_needs_it() {
    let asked_by = |lab: Lab| {
        let fields = HostFields::of(&lab).unwrap().unwrap();
        let line = fields.page(None, Some(PAGE)).unwrap_err().to_string();
        assert!(line.contains("no handshake page"), "{line}");
        let line = fields.page(Some(PAGE), None).unwrap_err().to_string();
        assert!(line.contains("no stub page"), "{line}");
        assert_eq!(fields.page(Some(PAGE), Some(0)), Ok(PAGE));
        line.split(':').next().unwrap().to_owned()
    };
    let soft = Lab {
        ple: Ple::Soft(Window::DEFAULT),
        ..Lab::default()
    };
    assert_eq!(asked_by(soft.clone()), "--ple soft");
    let ours = Lab {
        on_spin: OnSpin::Handshake,
        ..soft
    };
    assert_eq!(asked_by(ours), "--on-spin handshake");
    let preempted = Lab {
        preempt_holder: holder(0.1),
        ..Lab::default()
    };
    assert_eq!(asked_by(preempted), "--preempt-holder");
    let adversary = Lab {
        sched: adversarial(PreemptAt::Acquire, 0.1),
        ..Lab::default()
    };
    assert_eq!(asked_by(adversary), "--sched adversarial");
}

#[test]
fn the_page_gets_every_field() {
    let memory = memory_with_page();
    let fields = HostFields {
        host: 1,
        gap_cycles: 2,
        window_pauses: 3,
        exit_at_acquire: 4,
        exit_at_release: 5,
        seed: 6,
        option: "",
    };
    fields.write(&memory, PAGE).unwrap();
    let word = |offset: usize| {
        let at = GuestAddress(PAGE + offset as u64);
        memory.read_obj::<u32>(at).unwrap()
    };
    assert_eq!(word(offset_of!(Handshake, host)), 1);
    assert_eq!(word(offset_of!(Handshake, gap_cycles)), 2);
    assert_eq!(word(offset_of!(Handshake, window_pauses)), 3);
    assert_eq!(word(offset_of!(Handshake, exit_at_acquire)), 4);
    assert_eq!(word(offset_of!(Handshake, exit_at_release)), 5);
    assert_eq!(word(offset_of!(Handshake, seed)), 6);
}

#[test]
fn a_page_that_is_none_of_ours_is_left_alone() {
    let fields = HostFields {
        host: 1,
        ..HostFields::default()
    };
    let memory = memory_with_page();
    let version = GuestAddress(PAGE + offset_of!(Handshake, version) as u64);
    memory.write_obj(HANDSHAKE_VERSION + 1, version).unwrap();
    for gpa in [PAGE, 2 * PAGE, 1 << 40, u64::MAX - 7] {
        assert!(fields.write(&memory, gpa).is_err(), "{gpa:#x}");
    }
    let host = GuestAddress(PAGE + offset_of!(Handshake, host) as u64);
    assert_eq!(memory.read_obj::<u32>(host).unwrap(), 0);
}
