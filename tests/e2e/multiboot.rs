//! Multiboot images, the way KVM's own unit tests are built: what they are told, and how they end.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot prepare its case has to fail"
)]

use std::path::Path;

use vmm::control::{SnapshotRequest, State, Then};
use vmm_tests::command::{Finished, Folder, Vmm};
use vmm_tests::process::Process;
use vmm_tests::{guest_code, multiboot};

/// Prints all that it is told, a line each, and writes 0x21 to the exit port.
fn teller() -> &'static [u8] {
    guest_code!(
        ".code32",
        "jmp 50f",
        // A character: AL.
        "40: push edx; push eax; mov dx, 0x3fd",
        "41: in al, dx; test al, 0x20; jz 41b",
        "pop eax; mov dx, 0x3f8; out dx, al; pop edx; ret",
        // A line: EDI up to a NUL.
        "20: mov al, [edi]; test al, al; jz 22f; call 40b; inc edi; jmp 20b",
        "22: mov al, 10; call 40b; ret",
        // A number: EAX.
        "30: push ecx; mov ecx, 8",
        "31: rol eax, 4; push eax; and al, 15; cmp al, 10; jb 32f; add al, 39",
        "32: add al, 48; call 40b; pop eax; dec ecx; jnz 31b; call 22b; pop ecx; ret",
        // EAX, and what EBX points to.
        "50: mov esp, 0x10f000",
        "call 30b",
        "mov eax, [ebx]; call 30b",
        "mov eax, [ebx + 4]; call 30b",
        "mov eax, [ebx + 12]; call 30b",
        "mov edi, [ebx + 16]; call 20b",
        // Modules: command line, how far from a page, content.
        "mov eax, [ebx + 20]; call 30b",
        "mov ebp, [ebx + 24]; mov ecx, [ebx + 20]",
        "60: test ecx, ecx; jz 70f",
        "mov edi, [ebp + 8]; call 20b",
        "mov eax, [ebp]; and eax, 0xfff; call 30b",
        "mov eax, [ebp + 4]; sub eax, [ebp]; call 30b",
        "mov esi, [ebp]",
        "61: cmp esi, [ebp + 4]; jae 62f; mov al, [esi]; call 40b; inc esi; jmp 61b",
        "62: call 22b; add ebp, 16; dec ecx; jmp 60b",
        // The memory map's RAM from 1 MiB is as long as the field for it says.
        "70: mov esi, [ebx + 48]; mov ebp, [ebx + 44]; add ebp, esi",
        "71: cmp esi, ebp; jae 73f",
        "cmp dword ptr [esi + 4], 0x100000; jne 72f",
        "mov eax, [esi + 12]; shr eax, 10; sub eax, [ebx + 8]; call 30b",
        "mov eax, [esi + 20]; call 30b",
        "72: add esi, [esi]; add esi, 4; jmp 71b",
        // The machine: mode, segments, interrupts, a stack that works.
        "73: mov eax, cr0; and eax, 0x80000001; call 30b",
        "xor eax, eax; mov ax, cs; call 30b",
        "xor eax, eax; mov ax, ds; call 30b",
        "xor eax, eax; mov ax, ss; call 30b",
        "pushfd; pop eax; and eax, 0x20200; call 30b",
        // CPUs, by the firmware configuration device.
        "mov dx, 0x510; mov ax, 5; out dx, ax; inc edx; xor eax, eax; in al, dx; call 30b",
        // The base memory, where the BIOS data area has it.
        "movzx eax, word ptr [0x413]; call 30b",
        "mov al, 0x21; out 0xf4, al",
        "9: hlt; jmp 9b",
    )
}

/// Exits with this value at once.
fn quitter() -> &'static [u8] {
    guest_code!(".code32", "mov eax, 0x12; out 0xf4, al; 9: hlt; jmp 9b")
}

/// What `vmm run` says on its serial port, and how it ends.
fn run(folder: &Folder, image: &Path, cmdline: &str, modules: &[String]) -> (String, Finished) {
    let serial = folder.path("serial");
    let mut vmm = Vmm::run("--timeout 60 --vcpus 2 --memory 64M")
        .arg("--cmdline")
        .arg(cmdline);
    for module in modules {
        vmm = vmm.arg("--initrd").arg(module);
    }
    let finished = vmm.arg("--serial").arg(&serial).arg(image).finish();
    (std::fs::read_to_string(serial).unwrap(), finished)
}

#[test]
fn an_image_is_told_what_its_specification_says() {
    let folder = Folder::new("multiboot-told");
    let image = folder.file("guest.elf", &multiboot::elf(teller(), 3));
    let env = folder.file("env", b"A=1");
    let modules = [format!("{} one two", env.display())];
    let (told, finished) = run(&folder, &image, "argument", &modules);
    assert_eq!(finished.code, 0x21 << 1 | 1, "{finished}\n{told}");
    let lines: Vec<&str> = told.lines().collect();
    let command_line = format!("{} argument", image.display());
    let expected = [
        "2badb002",
        "0000024f",
        "0000027f",
        "8000ffff",
        &command_line,
        "00000001",
        &modules[0],
        "00000000",
        "00000003",
        "A=1",
        "00000000",
        "00000001",
        "00000001",
        "00000008",
        "00000010",
        "00000010",
        "00000000",
        "00000002",
        "0000027f",
    ];
    assert_eq!(lines, expected, "{finished}");
}

#[test]
fn the_value_at_the_exit_port_is_the_exit_code() {
    let folder = Folder::new("multiboot-exit");
    for (name, bytes) in [
        ("elf", multiboot::elf(quitter(), 0)),
        ("flat", multiboot::flat(quitter())),
    ] {
        let image = folder.file(name, &bytes);
        let (_, finished) = run(&folder, &image, "", &[]);
        assert_eq!(finished.code, 0x12 << 1 | 1, "{finished}");
    }
}

#[test]
fn a_pc_that_is_restored_paused_goes_on_with_its_timer() {
    let folder = Folder::new("multiboot-paused");
    let image = folder.file(
        "guest.elf",
        &multiboot::elf(guest_code!(".code32", "2: jmp 2b"), 0),
    );
    let [file, first, second] = ["snapshot", "first", "second"].map(|name| folder.path(name));
    let run = Vmm::run("--vcpus 2 --memory 64M --serial null --api").arg(&first);
    let source = Process::start(&run.arg(&image), &first);
    let request = SnapshotRequest {
        file: file.clone(),
        then: Then::Stop,
    };
    source.client().snapshot(&request).unwrap();
    assert_eq!(source.finish().code, 0);
    let restore = Vmm::new("restore --paused --serial null --api").arg(&second);
    let restored = Process::start(&restore.arg(&file), &second);
    restored.client().resume().unwrap();
    assert_eq!(restored.client().status().unwrap().state, State::Running);
    restored.client().stop().unwrap();
    assert_eq!(restored.finish().code, 0);
}
