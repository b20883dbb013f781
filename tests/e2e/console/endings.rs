//! Ends that a guest brings about by a port.

use vmm_tests::command::{Folder, Vmm};
use vmm_tests::{guest_code, multiboot};

#[test]
fn the_debug_exit_port_makes_the_exit_code_and_stands_in_the_report() {
    let folder = Folder::new("debug-exit");
    for (code, value, exit) in [
        (
            guest_code!(".code32", "mov al, 0; out 0xf4, al; 2: jmp 2b"),
            0,
            1,
        ),
        (
            guest_code!(".code32", "mov eax, 0x1234; out 0xf4, eax; 2: jmp 2b"),
            0x1234,
            0x69,
        ),
    ] {
        let guest = folder.file("guest", &multiboot::flat(code));
        let run = Vmm::run("--vcpus 1 --timeout 30").arg(guest).report();
        run.ended("completed", exit);
        assert_eq!(run.count("/debug_exit"), value);
        assert_eq!(run.text("/ended_by"), "guest");
    }
}

#[test]
fn a_guest_switches_itself_off_restarts_and_panics() {
    let folder = Folder::new("ends");
    for (name, code, outcome, exit) in [
        (
            "off",
            guest_code!(
                ".code32",
                "mov dx, 0x604; mov ax, 0x3400; out dx, ax; 2: jmp 2b"
            ),
            "completed",
            0,
        ),
        (
            "reset",
            guest_code!(".code32", "mov dx, 0xcf9; mov al, 6; out dx, al; 2: jmp 2b"),
            "completed",
            0,
        ),
        (
            "panic",
            guest_code!(".code32", "mov dx, 0x505; mov al, 1; out dx, al; 2: jmp 2b"),
            "crashed",
            4,
        ),
    ] {
        let guest = folder.file(name, &multiboot::flat(code));
        let run = Vmm::run("--vcpus 1 --timeout 30").arg(guest).report();
        run.ended(outcome, exit);
    }
}

#[test]
fn a_reset_behind_a_kernel_panic_is_a_crash() {
    let folder = Folder::new("panic-line");
    let code = guest_code!(
        ".code32",
        // ESI: the text, by `add esi, imm32`; ECX: its length, by `mov ecx, imm32`.
        "mov esp, 0x108000",
        "call 2f; 2: pop esi; .byte 0x81, 0xc6; .long 3f - 2b; .byte 0xb9; .long 4f - 3f",
        "cld; mov dx, 0x3f8; rep outsb",
        "mov al, 0xfe; out 0x64, al; 5: hlt; jmp 5b",
        "3: .ascii \"[    1.5] Kernel panic - not syncing: no root\\n\"",
        "4:",
    );
    let guest = folder.file("guest", &multiboot::flat(code));
    let run = Vmm::run("--vcpus 1 --timeout 30").arg(guest).report();
    run.ended("crashed", 4);
    assert_eq!(run.text("/crash/reason/kind"), "guest_panic");
}
