//! A kick that comes between a waiter's last look at its lock and its HLT.

use vmm_tests::guest_code;

use super::load::Loading;
use super::pause::PausedMachine;
use super::test_machine::{
    Copy, GO_GPA, LOADING, assert_passes, by_hlt, kick, load, set_word, tiny, wait_until_asleep,
    wait_until_said,
};
use crate::spec::Choice;
use crate::vcpu::inspect::Activity;
use crate::vcpu::state::HiddenKicks;

/// As [`by_hlt`], by the port of the halt stub.
fn by_stub() -> &'static [u8] {
    guest_code!(
        ".code32",
        "mov dword ptr [0xfee000f0], 0x1ff",
        "mov dword ptr [0x104000], 1",
        "3: cmp dword ptr [0x104004], 0; je 3b",
        "out 0xe5, al",
        "xor eax, eax; out 0xe7, al",
        "9: jmp 9b",
    )
}

/// The same, with its local APIC disabled by software once it has been told to.
fn by_hlt_with_the_apic_off() -> &'static [u8] {
    guest_code!(
        ".code32",
        "mov dword ptr [0xfee000f0], 0x1ff",
        "mov dword ptr [0x104000], 1",
        "3: cmp dword ptr [0x104004], 0; je 3b",
        "mov dword ptr [0xfee000f0], 0xff",
        "mov dword ptr [0x104000], 2",
        "4: cmp dword ptr [0x104004], 2; jne 4b",
        "hlt",
        "xor eax, eax; out 0xe7, al",
        "9: jmp 9b",
    )
}

/// The same, with its local APIC switched off altogether.
fn by_hlt_without_the_apic() -> &'static [u8] {
    guest_code!(
        ".code32",
        "mov dword ptr [0xfee000f0], 0x1ff",
        "mov dword ptr [0x104000], 1",
        "3: cmp dword ptr [0x104004], 0; je 3b",
        "mov ecx, 0x1b; rdmsr; and eax, 0xfffff7ff; wrmsr",
        "mov dword ptr [0x104000], 2",
        "4: cmp dword ptr [0x104004], 2; jne 4b",
        "hlt",
        "xor eax, eax; out 0xe7, al",
        "9: jmp 9b",
    )
}

/// The same, with another ID in its local APIC, so that nobody has the one that kicks go to.
fn by_hlt_with_another_id() -> &'static [u8] {
    guest_code!(
        ".code32",
        "mov dword ptr [0xfee000f0], 0x1ff",
        "mov dword ptr [0x104000], 1",
        "3: cmp dword ptr [0x104004], 0; je 3b",
        "mov dword ptr [0xfee00020], 0x77000000",
        "mov dword ptr [0x104000], 2",
        "4: cmp dword ptr [0x104004], 2; jne 4b",
        "hlt",
        "xor eax, eax; out 0xe7, al",
        "9: jmp 9b",
    )
}

/// The vCPU is running, IF is 0, and a kick waits that no MP_STATE shows.
fn assert_hidden(copy: &Copy) {
    let vcpu = &copy.saved.state.vcpus[0];
    assert_eq!(vcpu.activity(), Activity::Running);
    assert!(vcpu.pv_unhalted() && vcpu.has_hidden_kick());
    assert_eq!(vcpu.kvm.regs.0.rflags & 1 << 9, 0);
    assert_eq!(copy.saved.state.hidden_kicks(), 1);
}

#[test]
fn a_kick_before_hlt_survives_a_restore() {
    for halt in [Choice::Kvm, Choice::Vmm] {
        for code in [by_hlt(), by_stub()] {
            let mut source = tiny(code, 1, halt);
            source.start().unwrap();
            wait_until_said(&source, 1);
            kick(&source);
            let paused = PausedMachine::pause(&source);
            let copy = Copy::of(&paused);
            assert_hidden(&copy);
            // From here on both look no more: the next thing they do is to halt.
            set_word(&source.memory, GO_GPA, 1);
            set_word(&copy.memory, GO_GPA, 1);

            let mut restored = copy.rebuilt();
            let state = copy.saved.state.clone();
            let (there, repaired) = load(&mut restored, state, LOADING).unwrap();
            assert_eq!(repaired, 1);
            there.go_on().unwrap();
            assert_passes(&restored);

            paused.go_on().unwrap();
            assert_passes(&source);
        }
    }
}

#[test]
fn a_kick_before_hlt_is_lost_where_only_mp_state_is_saved() {
    for halt in [Choice::Kvm, Choice::Vmm] {
        for code in [by_hlt(), by_stub()] {
            let mut source = tiny(code, 1, halt);
            source.start().unwrap();
            wait_until_said(&source, 1);
            kick(&source);
            let copy = Copy::of(&PausedMachine::pause(&source));
            assert_hidden(&copy);
            set_word(&copy.memory, GO_GPA, 1);

            let mut restored = copy.rebuilt();
            let losing = Loading {
                hidden_kicks: HiddenKicks::Lose,
                ..LOADING
            };
            let state = copy.saved.state.clone();
            let (there, repaired) = load(&mut restored, state, losing).unwrap();
            assert_eq!(repaired, 0);
            there.go_on().unwrap();
            // Halted, IF=0, no kick and nobody else: it will never wake.
            wait_until_asleep(&restored, 0);
        }
    }
}

#[test]
fn a_kick_outlives_any_number_of_saves_and_restores_before_its_hlt() {
    for halt in [Choice::Kvm, Choice::Vmm] {
        let mut machine = tiny(by_hlt(), 1, halt);
        machine.start().unwrap();
        wait_until_said(&machine, 1);
        kick(&machine);
        for _ in 0..5 {
            let paused = PausedMachine::pause(&machine);
            // Twice: the first must not use it up.
            assert_hidden(&Copy::of(&paused));
            let copy = Copy::of(&paused);
            assert_hidden(&copy);
            drop(paused);
            machine = copy.rebuilt();
            copy.load(&mut machine).go_on().unwrap();
        }
        set_word(&machine.memory, GO_GPA, 1);
        assert_passes(&machine);
    }
}

#[test]
fn a_halted_vcpu_is_restored_halted_and_wakes_by_a_kick() {
    for halt in [Choice::Kvm, Choice::Vmm] {
        for code in [by_hlt(), by_stub()] {
            let mut source = tiny(code, 1, halt);
            set_word(&source.memory, GO_GPA, 1);
            source.start().unwrap();
            wait_until_asleep(&source, 0);
            let copy = Copy::of(&PausedMachine::pause(&source));
            let vcpu = &copy.saved.state.vcpus[0];
            assert_eq!(
                (vcpu.activity(), vcpu.pv_unhalted()),
                (Activity::Halted, false)
            );

            let mut restored = copy.rebuilt();
            copy.load(&mut restored).go_on().unwrap();
            wait_until_asleep(&restored, 0);
            for machine in [&restored, &source] {
                kick(machine);
                assert_passes(machine);
            }
        }
    }
}

#[test]
fn looking_at_a_paused_machine_uses_up_no_kick() {
    for halt in [Choice::Kvm, Choice::Vmm] {
        let mut machine = tiny(by_hlt(), 1, halt);
        machine.start().unwrap();
        wait_until_said(&machine, 1);
        kick(&machine);
        let paused = PausedMachine::pause(&machine);
        for _ in 0..3 {
            assert!(paused.inspect()[0].unwrap().pv_unhalted);
        }
        set_word(&machine.memory, GO_GPA, 1);
        paused.go_on().unwrap();
        assert_passes(&machine);
    }
}

#[test]
fn a_kick_outlives_whatever_its_target_does_to_its_local_apic_after_it() {
    let codes = [
        by_hlt_with_the_apic_off(),
        by_hlt_without_the_apic(),
        by_hlt_with_another_id(),
    ];
    for (halt, code) in [Choice::Kvm, Choice::Vmm]
        .into_iter()
        .flat_map(|halt| codes.map(|code| (halt, code)))
    {
        let mut source = tiny(code, 1, halt);
        source.start().unwrap();
        wait_until_said(&source, 1);
        kick(&source);
        set_word(&source.memory, GO_GPA, 1);
        wait_until_said(&source, 2);
        let paused = PausedMachine::pause(&source);
        let copy = Copy::of(&paused);
        assert_hidden(&copy);
        assert_hidden(&Copy::of(&paused));
        set_word(&source.memory, GO_GPA, 2);
        set_word(&copy.memory, GO_GPA, 2);
        paused.go_on().unwrap();
        assert_passes(&source);
        let mut restored = copy.rebuilt();
        copy.load(&mut restored).go_on().unwrap();
        assert_passes(&restored);
    }
}
