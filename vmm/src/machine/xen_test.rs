//! A poll and its event, with a save and a restore at every place between the two.

use std::cell::RefCell;

use guest_payload::abi::xen::{
    AddToPhysmap, BindIpi, DOMID_SELF, EVENT_SEND, HYPERCALL_EVENT_CHANNEL_OP, SchedPoll,
};
use vm_memory::{Bytes, GuestAddress};
use vmm_tests::guest_code;

use super::Machine;
use super::leave::Leaving;
use super::load::{LoadError, Loading};
use super::pause::PausedMachine;
use super::test_machine::{
    Copy, GO_GPA, LOADING, assert_passes, by_hlt, load, set_word, tiny, tiny_with,
    wait_until_asleep, wait_until_said, word,
};
use crate::migrate::Origin;
use crate::pv::apic_id::VcpuIndex;
use crate::pv::hypercall::{CallerMode, Privilege};
use crate::pv::xen::{Call, CallerMemory, Fault, Outcome};
use crate::spec::{Choice, Interface};
use crate::vcpu::inspect::Activity;
use crate::vcpu::state::HiddenKicks;

/// What the guest hands over: [`AddToPhysmap`], [`BindIpi`], [`SchedPoll`].
const PLACE_GPA: u64 = 0x11_6000;
const BIND_GPA: u64 = 0x11_6040;
const POLL_GPA: u64 = 0x11_6080;
const SHARED_INFO_GPA: u64 = 0x11_7000;
/// The first port of a machine.
const PORT: u32 = 1;

/// Goes to 64-bit mode, gets Xen's pages and an event channel, says 1, and looks at a word until
/// that says that it may go on. Then it polls for its event with interrupts off, and ends when it
/// wakes; with all ones in the port of the control if that was for nothing.
fn by_poll() -> &'static [u8] {
    guest_code!(
        ".code32",
        "mov dword ptr [0xfee000f0], 0x1ff",
        // One page of 2 MiB, identity mapped.
        "mov dword ptr [0x110000], 0x111003",
        "mov dword ptr [0x111000], 0x112003",
        "mov dword ptr [0x112000], 0x83",
        // A 64-bit code segment at 8.
        "mov dword ptr [0x11300c], 0x00209b00",
        "mov dword ptr [0x113020], 0x3000000f",
        "mov dword ptr [0x113024], 0x11",
        "lgdt [0x113020]",
        "mov esp, 0x115000",
        "mov eax, 0x20; mov cr4, eax",
        "mov eax, 0x110000; mov cr3, eax",
        "mov ecx, 0xc0000080; mov eax, 0x100; xor edx, edx; wrmsr",
        "mov eax, 0x80000011; mov cr0, eax",
        // A far return to what follows the call, in the segment at 8.
        "jmp 6f; 5: .byte 0xcb; 6: push 8; call 5b",
        ".code64",
        "mov ecx, 0x40000000; mov eax, 0x115000; xor edx, edx; wrmsr",
        "mov edi, 7; mov esi, 0x116000; mov ebx, 0x115180; call rbx",
        "test eax, eax; jnz 8f",
        "mov edi, 7; mov esi, 0x116040; mov ebx, 0x115400; call rbx",
        "test eax, eax; jnz 8f",
        "mov dword ptr [0x104000], 1",
        "3: cmp dword ptr [0x104004], 0; je 3b",
        "mov edi, 3; mov esi, 0x116080; mov ebx, 0x1153a0; call rbx",
        "test eax, eax; jnz 8f",
        "bt dword ptr [0x117800], 1; jnc 8f",
        "xor eax, eax; out 0xe7, al",
        "8: mov al, 1; out 0xe7, al",
        "9: jmp 9b",
    )
}

/// It runs, up to its poll.
fn started(halt: Choice) -> Machine {
    let mut machine = tiny_with(by_poll(), 1, halt, Interface::Xen);
    let put = |gpa, words: &[u32]| {
        for (at, word) in (gpa..).step_by(4).zip(words) {
            set_word(&machine.memory, at, *word);
        }
    };
    const { assert!(size_of::<AddToPhysmap>() == 24 && size_of::<BindIpi>() == 8) };
    const { assert!(size_of::<SchedPoll>() == 24) };
    let frame = u32::try_from(SHARED_INFO_GPA >> 12).unwrap();
    put(PLACE_GPA, &[DOMID_SELF.into(), 0, 0, 0, frame, 0]);
    put(BIND_GPA, &[0, 0]);
    let port_at = u32::try_from(BIND_GPA + 4).unwrap();
    put(POLL_GPA, &[port_at, 0, 1, 0, 0, 0]);
    machine.start().unwrap();
    wait_until_said(&machine, 1);
    assert_eq!(word(&machine.memory, BIND_GPA + 4), PORT);
    machine
}

/// The argument of a hypercall that nobody makes from inside.
struct Argument(RefCell<[u8; 4]>);

impl CallerMemory for Argument {
    fn read(&self, _: u64, bytes: &mut [u8]) -> Result<(), Fault> {
        bytes.copy_from_slice(&*self.0.borrow());
        Ok(())
    }

    fn write(&self, _: u64, _: &[u8]) -> Result<(), Fault> {
        Err(Fault)
    }
}

/// Sends the guest's event, as another vCPU would.
fn send(machine: &Machine) {
    let call = Call {
        number: HYPERCALL_EVENT_CHANNEL_OP.into(),
        arguments: [EVENT_SEND, 0, 0],
    };
    let xen = machine.board.xen.as_ref().unwrap();
    let sent = xen.interface.hypercall(
        &call,
        CallerMode::Bits64,
        Privilege::Allowed,
        VcpuIndex(0),
        &Argument(RefCell::new(PORT.to_le_bytes())),
        &machine.board.kick,
    );
    assert_eq!(sent, Outcome::Answer(0));
}

const LOSING: Loading = Loading {
    hidden_kicks: HiddenKicks::Lose,
    ..LOADING
};

#[test]
fn an_event_before_its_poll_survives_a_restore_even_where_hidden_kicks_are_lost() {
    for halt in [Choice::Kvm, Choice::Vmm] {
        for loading in [LOADING, LOSING] {
            let source = started(halt);
            send(&source);
            let paused = PausedMachine::pause(&source);
            let copy = Copy::of(&paused);
            // The event is guest memory; there is no flag that anybody could forget.
            assert!(!copy.saved.state.vcpus[0].pv_unhalted());
            set_word(&source.memory, GO_GPA, 1);
            set_word(&copy.memory, GO_GPA, 1);
            let mut restored = copy.rebuilt();
            let (there, repaired) = load(&mut restored, copy.saved.state.clone(), loading).unwrap();
            assert_eq!(repaired, 0);
            there.go_on().unwrap();
            assert_passes(&restored);
            paused.go_on().unwrap();
            assert_passes(&source);
        }
    }
}

#[test]
fn a_vcpu_that_polls_is_restored_polling_and_wakes_by_its_event() {
    for halt in [Choice::Kvm, Choice::Vmm] {
        let source = started(halt);
        set_word(&source.memory, GO_GPA, 1);
        wait_until_asleep(&source, 0);
        let copy = Copy::of(&PausedMachine::pause(&source));
        let state = &copy.saved.state;
        assert_eq!(state.vcpus[0].activity(), Activity::Halted);
        let xen = state.xen.as_ref().unwrap();
        assert_eq!(
            (&xen.polls[..], &xen.ipis[..]),
            (&[PORT][..], &[(PORT, 0)][..])
        );
        let mut restored = copy.rebuilt();
        copy.load(&mut restored).go_on().unwrap();
        wait_until_asleep(&restored, 0);
        for machine in [&restored, &source] {
            send(machine);
            assert_passes(machine);
        }
    }
}

#[test]
fn without_its_saved_poll_a_vcpu_would_sleep_for_ever() {
    for halt in [Choice::Kvm, Choice::Vmm] {
        let source = started(halt);
        set_word(&source.memory, GO_GPA, 1);
        wait_until_asleep(&source, 0);
        let copy = Copy::of(&PausedMachine::pause(&source));
        let mut restored = copy.rebuilt();
        let mut state = copy.saved.state.clone();
        state.xen.as_mut().unwrap().polls = vec![0];
        load(&mut restored, state, LOADING)
            .unwrap()
            .0
            .go_on()
            .unwrap();
        send(&restored);
        wait_until_asleep(&restored, 0);
        assert_ne!(word(&restored.memory, SHARED_INFO_GPA + 2048), 0);
    }
}

#[test]
fn an_event_that_has_woken_a_poll_is_there_after_a_restore() {
    for halt in [Choice::Kvm, Choice::Vmm] {
        let source = started(halt);
        set_word(&source.memory, GO_GPA, 1);
        wait_until_asleep(&source, 0);
        // It stands still in its poll when the event comes.
        let paused = PausedMachine::pause(&source);
        send(&source);
        let copy = Copy::of(&paused);
        assert!(copy.saved.state.vcpus[0].pv_unhalted());
        let mut restored = copy.rebuilt();
        copy.load(&mut restored).go_on().unwrap();
        assert_passes(&restored);
        paused.go_on().unwrap();
        assert_passes(&source);
    }
}

#[test]
fn a_state_and_a_machine_with_other_interfaces_do_not_fit() {
    let xen = started(Choice::Kvm);
    let copy = Copy::of(&PausedMachine::pause(&xen));
    let mut plain = tiny(by_hlt(), 1, Choice::Kvm);
    let refused = load(&mut plain, copy.saved.state.clone(), LOADING).unwrap_err();
    assert!(matches!(refused, LoadError::OtherInterface), "{refused}");
    let mut restored = copy.rebuilt();
    let mut state = copy.saved.state.clone();
    state.xen = None;
    let refused = load(&mut restored, state, LOADING).unwrap_err();
    assert!(matches!(refused, LoadError::OtherInterface), "{refused}");
}

#[test]
fn the_hypercall_page_is_filled_where_the_guest_wants_it_and_nowhere_else() {
    let machine = started(Choice::Vmm);
    let mut entry = [0; 8];
    let at = GuestAddress(0x11_5000 + 29 * 32);
    machine.memory.read_slice(&mut entry, at).unwrap();
    assert_eq!(entry[..5], [0xb8, 29, 0, 0, 0]);
}

#[test]
fn an_event_is_in_the_log_that_a_migration_takes() {
    let machine = started(Choice::Vmm);
    let mut leaving = Leaving::new(&machine);
    leaving.start_dirty_log().unwrap();
    let mut written = Vec::new();
    leaving.take_dirty(0, &mut written).unwrap();
    // The guest only reads; KVM sees nothing of this write.
    send(&machine);
    leaving.take_dirty(0, &mut written).unwrap();
    let page = usize::try_from(SHARED_INFO_GPA >> 12).unwrap();
    assert_ne!(written[page / 64] & 1 << (page % 64), 0);
    leaving.stop_dirty_log();
}

#[test]
fn what_a_xen_machine_says_of_itself_comes_back_from_the_wire() {
    use super::saved::Description;
    use super::state::MachineState;

    let machine = started(Choice::Kvm);
    let copy = Copy::of(&PausedMachine::pause(&machine));
    let there = copy.saved.description.to_wire().unwrap();
    assert_eq!(
        Description::from_wire(&there).unwrap(),
        copy.saved.description
    );
    let state = copy.saved.state.to_wire().unwrap();
    assert_eq!(MachineState::from_wire(&state).unwrap(), copy.saved.state);
    // Cut off before its own part it is another machine's, and nobody takes it for this one.
    let mut plain = copy.saved.description.clone();
    plain.blueprint.xen = None;
    assert_ne!(
        Description::from_wire(&plain.to_wire().unwrap()).unwrap(),
        copy.saved.description
    );
    assert!(there.len() > plain.to_wire().unwrap().len());
}
