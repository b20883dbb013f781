//! State that somebody made up: it may be refused, it may be loaded, nothing panics and nothing
//! grows with its numbers.

use std::sync::OnceLock;

use proptest::prelude::*;

use super::load::{Loading, Shortfalls};
use super::pause::PausedMachine;
use super::rebuild::rebuild;
use super::saved::{Description, SavedMachine};
use super::state::MachineState;
use super::test_machine::{Copy, LOADING, TINY_MEMORY, TempFile, by_hlt, tiny, wait_until_said};
use super::{Error, Machine};
use crate::host;
use crate::memory;
use crate::snapshot::{CheckedSnapshot, Section, SectionKind, write};
use crate::spec::{Choice, HostSide};

const FORCING: Loading = Loading {
    shortfalls: Shortfalls::Accept,
    ..LOADING
};

/// A machine under each `--halt`, saved.
fn examples() -> &'static [SavedMachine; 2] {
    static EXAMPLES: OnceLock<[SavedMachine; 2]> = OnceLock::new();
    EXAMPLES.get_or_init(|| {
        [Choice::Kvm, Choice::Vmm].map(|halt| {
            let mut machine = tiny(by_hlt(), 2, halt);
            machine.start().unwrap();
            wait_until_said(&machine, 1);
            Copy::of(&PausedMachine::pause(&machine)).saved
        })
    })
}

fn build(description: Description) -> Result<Machine, Error> {
    let memory = memory::map(TINY_MEMORY).unwrap();
    let kvm = host::open_kvm().unwrap();
    rebuild(
        &kvm,
        description,
        memory,
        &HostSide::quiet(),
        None,
        Shortfalls::Accept,
    )
}

/// Goes as far with it as it can be gone.
fn try_to_load(description: Description, state: MachineState) {
    if let Ok(mut machine) = build(description) {
        let _ = machine.start_paused().unwrap().load(state, FORCING);
    }
}

#[test]
fn a_build_with_absurd_numbers_is_refused() {
    type Change = fn(&mut Description);
    let cases: [(&str, Change); 7] = [
        ("topology", |it| {
            (it.blueprint.sockets, it.blueprint.cores) = (1 << 16, 1 << 16);
        }),
        ("topology", |it| it.blueprint.threads = 0),
        ("vcpus", |it| it.blueprint.cores = 1 << 20),
        ("memory", |it| it.blueprint.memory_bytes = 0),
        ("memory", |it| it.blueprint.memory_bytes = u64::MAX),
        ("memory", |it| it.blueprint.memory_bytes = 1 << 46),
        ("memory", |it| it.blueprint.memory_bytes = (2 << 20) + 1),
    ];
    for (word, change) in cases {
        let mut description = examples()[0].description.clone();
        change(&mut description);
        let refused = build(description).map(drop).unwrap_err().to_string();
        assert!(refused.contains(word), "{word}: {refused}");
    }
}

#[test]
fn a_state_of_another_machine_is_refused() {
    let [kvm, vmm] = examples();
    let cases = [
        (kvm, vmm.state.clone()),
        (vmm, kvm.state.clone()),
        (kvm, without_last(&kvm.state)),
        (kvm, swapped(&kvm.state)),
        (vmm, swapped(&vmm.state)),
    ];
    for (machine, state) in cases {
        let mut built = build(machine.description.clone()).unwrap();
        let loaded = built.start_paused().unwrap().load(state, FORCING);
        assert!(loaded.is_err());
    }
}

fn without_last(state: &MachineState) -> MachineState {
    let mut state = state.clone();
    state.vcpus.pop();
    state
}

fn swapped(state: &MachineState) -> MachineState {
    let mut state = state.clone();
    state.vcpus.swap(0, 1);
    state
}

/// A section whose bytes are right and mean nothing is an error that names it.
#[test]
fn garbage_with_a_right_crc_is_refused_by_name() {
    let saved = &examples()[0];
    // Nothing, nonsense, and a length of 4 GiB.
    let contents = [vec![], vec![0xff; 64], vec![0xff, 0xff, 0xff, 0xff, 0x0f]];
    for (kind, instance) in [
        (SectionKind::Machine, 0),
        (SectionKind::Host, 0),
        (SectionKind::Clock, 0),
        (SectionKind::Devices, 0),
        (SectionKind::Vcpu, 1),
    ] {
        for content in &contents {
            let garbage = Section::new(kind, instance, content.clone());
            let mut sections = saved.sections().unwrap();
            let place = sections
                .iter_mut()
                .find(|section| section.label() == garbage.label());
            *place.unwrap() = garbage.clone();
            let file = TempFile::new();
            let memory = memory::map(TINY_MEMORY).unwrap();
            write(&file.0, sections, &memory, &mut |_| {}).unwrap();
            let snapshot = CheckedSnapshot::open(&file.0).unwrap();
            let read = SavedMachine::read(&snapshot).map(drop);
            let refused = read.unwrap_err().to_string();
            assert!(refused.contains(&garbage.label().to_string()), "{refused}");
        }
    }
}

fn damage(mut bytes: Vec<u8>, changes: &[(prop::sample::Index, u8)]) -> Vec<u8> {
    for (at, byte) in changes {
        let at = at.index(bytes.len());
        bytes[at] = *byte;
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_state_makes_loading_panic(
        which in 0..2_usize,
        changes in prop::collection::vec(any::<(prop::sample::Index, u8)>(), 1..16),
    ) {
        let saved = &examples()[which];
        let bytes = damage(postcard::to_stdvec(&saved.state).unwrap(), &changes);
        if let Ok(state) = postcard::from_bytes(&bytes) {
            try_to_load(saved.description.clone(), state);
        }
    }

    #[test]
    fn no_description_makes_building_panic(
        which in 0..2_usize,
        changes in prop::collection::vec(any::<(prop::sample::Index, u8)>(), 1..4),
    ) {
        let saved = &examples()[which];
        let bytes = damage(postcard::to_stdvec(&saved.description).unwrap(), &changes);
        if let Ok(description) = postcard::from_bytes(&bytes) {
            try_to_load(description, saved.state.clone());
        }
    }

    #[test]
    fn no_registers_make_loading_panic(
        which in 0..2_usize,
        regs: [u64; 18],
        control: [u64; 7],
        base: u64,
        lapic in prop::collection::vec(any::<(prop::sample::Index, u8)>(), 0..64),
    ) {
        let saved = &examples()[which];
        let mut state = saved.state.clone();
        let kvm = &mut state.vcpus[0].kvm;
        kvm.regs.0 = zerocopy::transmute!(regs);
        let sregs = &mut kvm.sregs.0;
        [sregs.cr0, sregs.cr2, sregs.cr3, sregs.cr4, sregs.cr8, sregs.efer, _] = control;
        sregs.apic_base = base;
        sregs.interrupt_bitmap[0] = control[6];
        if let Some(page) = &mut kvm.lapic {
            for (at, byte) in lapic {
                page.0.regs[at.index(1024)] = byte.cast_signed();
            }
        }
        try_to_load(saved.description.clone(), state);
    }
}
