//! A guest's console: standard input from a pipe, a file and a terminal, and the ends of a machine
//! that its devices tell.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod endings;
mod input;
mod terminal;

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use vmm_tests::command::{Finished, binary, wait};
use vmm_tests::{guest_code, multiboot};

/// Sends back what it gets, until that is a `q`: then it writes 0x10 to the debug-exit port.
fn echo() -> Vec<u8> {
    multiboot::flat(guest_code!(
        ".code32",
        "mov dx, 0x3f8; mov al, 0x3e; out dx, al",
        "2: mov dx, 0x3fd; in al, dx; test al, 1; jz 2b",
        "mov dx, 0x3f8; in al, dx",
        "cmp al, 0x71; je 3f",
        "out dx, al; jmp 2b",
        "3: mov al, 0x10; out 0xf4, al; 4: hlt; jmp 4b",
    ))
}

/// The exit code that 0x10 makes.
const ECHO_DONE: i32 = 0x21;

/// The same, but it sleeps until the serial port interrupts it: line 4 of the PIC, vector 0x24.
fn echo_by_interrupt() -> Vec<u8> {
    multiboot::flat(guest_code!(
        ".code32",
        "mov esp, 0x108000",
        // GDT and IDT in the room behind the code: a flat code segment at selector 8, and a gate to
        // the handler.
        "mov dword ptr [0x109008], 0x0000ffff; mov dword ptr [0x10900c], 0x00cf9b00",
        "mov word ptr [0x109800], 15; mov dword ptr [0x109802], 0x109000",
        "lgdt [0x109800]",
        // EAX: the handler's address, by `add eax, imm32`.
        "call 7f; 7: pop eax; .byte 0x05; .long 8f - 7b",
        "mov ebx, eax; and ebx, 0xffff; or ebx, 0x80000; mov [0x10a120], ebx",
        "and eax, 0xffff0000; or eax, 0x8e00; mov [0x10a124], eax",
        "mov word ptr [0x109808], 0x7ff; mov dword ptr [0x10980a], 0x10a000",
        "lidt [0x109808]",
        // PIC: vectors from 0x20, nothing but line 4.
        "mov al, 0x11; out 0x20, al; mov al, 0x20; out 0x21, al",
        "mov al, 4; out 0x21, al; mov al, 1; out 0x21, al; mov al, 0xef; out 0x21, al",
        // The receiver's interrupt, and the modem lines as drivers set them.
        "mov dx, 0x3fc; mov al, 0x0b; out dx, al; mov dx, 0x3f9; mov al, 1; out dx, al",
        "mov dx, 0x3f8; mov al, 0x3e; out dx, al",
        "9: sti; hlt; jmp 9b",
        "8: mov dx, 0x3fa; in al, dx",
        "2: mov dx, 0x3fd; in al, dx; test al, 1; jz 4f",
        "mov dx, 0x3f8; in al, dx; cmp al, 0x71; je 3f",
        "out dx, al; jmp 2b",
        "4: mov al, 0x20; out 0x20, al; add esp, 12; jmp 9b",
        "3: mov al, 0x10; out 0xf4, al; 3: hlt; jmp 3b",
    ))
}

fn spawn(guest: &Path, input: Stdio) -> Child {
    Command::new(binary())
        .args(["run", "--vcpus", "1", "--timeout", "60"])
        .arg(guest)
        .stdin(input)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn finish(child: Child) -> Finished {
    wait(child, "vmm run, an echo".to_owned())
}

/// The guest sent this and no more.
fn assert_sent(finished: &Finished, sent: &str) {
    let echoed = finished.stdout.strip_prefix('>');
    let (echoed, _) = echoed.unwrap().split_once("ENDED by the guest").unwrap();
    assert!(echoed == sent, "{finished}");
    assert_eq!(finished.code, ECHO_DONE, "{finished}");
}

/// Longer than any FIFO, with what would be keys of ours on a terminal.
fn text() -> String {
    "\x01x 0123456789 the guest reads every byte\r\n".repeat(40)
}

/// Reads what the terminal shows until all of `signs` are in it.
fn read_until(child: &mut Child, signs: &[&[u8]]) -> Vec<u8> {
    let output = child.stdout.as_mut().unwrap();
    let mut shown = Vec::new();
    let mut byte = [0];
    let is_shown = |shown: &[u8], sign: &[u8]| shown.windows(sign.len()).any(|part| part == sign);
    while !signs.iter().all(|sign| is_shown(&shown, sign)) {
        output.read_exact(&mut byte).unwrap();
        shown.push(byte[0]);
    }
    shown
}
