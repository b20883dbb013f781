//! I/O that is under way when a machine is paused happens exactly once.

use std::hint;

use guest_payload::abi::PORT_SEQUENCE;
use vmm_tests::guest_code;

use super::pause::PausedMachine;
use super::test_machine::{
    Copy, GO_GPA, SAID_GPA, assert_passes, set_word, tiny, wait_until, word,
};
use crate::spec::Choice;

/// Saves and restores of one guest.
const MOVES: u32 = 60;

/// Writes and reads the counting device one by one and by strings, and reads memory that is not
/// there. Checks what it reads; counts its rounds until it may end.
fn code() -> &'static [u8] {
    guest_code!(
        ".code32",
        "xor ebx, ebx", // the number to be written next
        "xor ebp, ebp", // the number to be read next
        "cld",
        "3: mov eax, ebx; out 0xe8, eax; inc ebx",
        "xor eax, eax; in eax, 0xe8; cmp eax, ebp; jne 8f; inc ebp",
        "mov edi, 0x105000; mov ecx, 7; mov edx, 0xe8; rep insd",
        "mov edi, 0x105000; mov ecx, 7",
        "4: cmp dword ptr [edi], ebp; jne 8f; inc ebp; add edi, 4; dec ecx; jnz 4b",
        "mov esi, 0x106000; mov edi, esi; mov ecx, 5",
        "5: mov dword ptr [edi], ebx; inc ebx; add edi, 4; dec ecx; jnz 5b",
        "mov ecx, 5; rep outsd",
        "xor eax, eax; mov eax, dword ptr [0xd0000000]; cmp eax, -1; jne 8f",
        "inc dword ptr [0x104000]; cmp dword ptr [0x104004], 0; je 3b",
        "xor eax, eax; out 0xe7, al",
        "8: mov al, 1; out 0xe7, al",
        "9: jmp 9b",
    )
}

#[test]
fn io_under_way_at_a_pause_is_done_exactly_once() {
    assert_eq!(PORT_SEQUENCE, 0xe8);
    for halt in [Choice::Kvm, Choice::Vmm] {
        let mut machine = tiny(code(), 1, halt);
        machine.start().unwrap();
        for turn in 0..MOVES {
            let rounds = word(&machine.memory, SAID_GPA);
            wait_until(&machine, || word(&machine.memory, SAID_GPA) > rounds);
            // Another place of the round each time.
            (0..turn * 97).for_each(|_| hint::spin_loop());
            let paused = PausedMachine::pause(&machine);
            let copy = Copy::of(&paused);
            drop(paused);
            machine.stop();
            machine = copy.rebuilt();
            copy.load(&mut machine).go_on().unwrap();
        }
        set_word(&machine.memory, GO_GPA, 1);
        assert_passes(&machine);
        let counts = machine.board.ports.counter.counts();
        assert_eq!((counts.duplicated, counts.lost), (0, 0), "{counts:?}");
        let rounds = u64::from(word(&machine.memory, SAID_GPA));
        assert_eq!((counts.writes, counts.reads), (6 * rounds, 8 * rounds));
    }
}
