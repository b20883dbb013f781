//! Test images find the devices that QEMU has: one image, made here, runs on both.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Stdio};

use vmm_tests::command::{Folder, Vmm, skip, wait};
use vmm_tests::guest_code;
use vmm_tests::multiboot::flat;

/// What the image does, in the order of its table.
#[derive(Clone, Copy)]
enum Step {
    /// OUT of a byte, a word or a double word.
    Out8(u16, u8),
    Out16(u16, u16),
    Out32(u16, u32),
    /// IN; the bits of the mask are sent to the serial port.
    In8(u16, u8),
    In16(u16),
    In32(u16),
    /// A write to memory, and a read of a double word.
    Write(u32, u32),
    Read(u32),
}

use Step::{In8, In16, In32, Out8, Out16, Out32, Read, Write};

/// Sent before what was read, and after it: other software may talk on the port before.
const START: &[u8] = b"<here>";
const END: &[u8] = b"</here>";
/// Written to the debug-exit port at the end.
const EXIT_VALUE: u8 = 0x2a;
const EXIT_CODE: i32 = 0x55;

/// An image that does `steps`.
fn image(steps: &[Step]) -> Vec<u8> {
    let code = guest_code!(
        ".code32",
        // ESI: the table behind the code, by `add esi, imm32`.
        "mov esp, 0x108000; call 2f; 2: pop esi; .byte 0x81, 0xc6; .long 9f - 2b",
        // A step: EAX which, EDX the port or the address, EBX the value or the mask.
        "2: mov eax, [esi]; mov edx, [esi + 4]; mov ebx, [esi + 8]; add esi, 12",
        "cmp eax, 0; jne 3f; mov eax, ebx; out dx, al; jmp 2b",
        "3: cmp eax, 1; jne 3f; mov eax, ebx; out dx, ax; jmp 2b",
        "3: cmp eax, 2; jne 3f; mov eax, ebx; out dx, eax; jmp 2b",
        "3: cmp eax, 3; jne 3f; in al, dx; and eax, ebx; mov ecx, 1; jmp 8f",
        "3: cmp eax, 4; jne 3f; in ax, dx; mov ecx, 2; jmp 8f",
        "3: cmp eax, 5; jne 3f; in eax, dx; mov ecx, 4; jmp 8f",
        "3: cmp eax, 6; jne 3f; mov [edx], ebx; jmp 2b",
        "3: cmp eax, 7; jne 3f; mov eax, [edx]; mov ecx, 4; jmp 8f",
        "3: hlt; jmp 3b",
        // ECX bytes of EAX to the serial port.
        "8: mov dx, 0x3f8; out dx, al; shr eax, 8; dec ecx; jnz 8b; jmp 2b",
        ".balign 4",
        "9:",
    );
    let steps = steps.iter().map(|step| match *step {
        Out8(port, value) => [0, port.into(), value.into()],
        Out16(port, value) => [1, port.into(), value.into()],
        Out32(port, value) => [2, port.into(), value],
        In8(port, mask) => [3, port.into(), mask.into()],
        In16(port) => [4, port.into(), 0],
        In32(port) => [5, port.into(), 0],
        Write(address, value) => [6, address, value],
        Read(address) => [7, address, 0],
    });
    let table = steps.flatten().flat_map(u32::to_le_bytes);
    flat(&code.iter().copied().chain(table).collect::<Vec<_>>())
}

/// An item of the firmware configuration, byte by byte as test images read it.
fn item(number: u16, bytes: usize) -> impl Iterator<Item = Step> {
    let choose = std::iter::once(Out16(0x510, number));
    choose.chain(std::iter::repeat_n(In8(0x511, 0xff), bytes))
}

fn cmos(register: u8) -> [Step; 2] {
    [Out8(0x70, register), In8(0x71, 0xff)]
}

/// Everything that both have and a test image may look at.
fn looks() -> Vec<Step> {
    let mut steps: Vec<Step> = START.iter().map(|&byte| Out8(0x3f8, byte)).collect();
    // Signature, memory, CPUs, CPUs at most, one that there is not.
    for (number, bytes) in [(0, 6), (3, 8), (5, 4), (0xf, 2), (0x7fff, 2)] {
        steps.extend(item(number, bytes));
    }
    // The form of the time, the battery, memory, CPUs.
    let memory = [
        0x15, 0x16, 0x17, 0x18, 0x30, 0x31, 0x34, 0x35, 0x5b, 0x5c, 0x5d,
    ];
    for register in [0x0b, 0x0d, 0x5f].into_iter().chain(memory) {
        steps.extend(cmos(register));
    }
    steps.extend([Out8(0x70, 0x0f), Out8(0x71, 0xa5)]);
    steps.extend(cmos(0x0f));
    // The latch at every width, by both of its ranges.
    steps.extend([
        Out32(0xe0, 0x1234_5678),
        In32(0xe0),
        In8(0xe1, 0xff),
        In16(0xe2),
    ]);
    steps.extend([
        Out8(0xe2, 0xaa),
        In32(0xe8),
        Out16(0xe8, 0xbeef),
        In32(0xe0),
    ]);
    // The test device's memory.
    let memory = 0xff00_0000;
    steps.extend([Write(memory + 0x100, 0x0bad_cafe), Read(memory + 0x100)]);
    steps.extend([Read(memory + 0x102), Read(memory + 0xfffc)]);
    // A page is forgotten and its contents stay.
    let page = 0x10_a000;
    steps.extend([
        Write(page, 0x600d_f00d),
        Out32(0xe4, page + 0x123),
        Read(page),
    ]);
    // The PIC, and a line of the test device: its request bit is low, then high.
    let init = [
        (0x20, 0x11),
        (0x21, 0x20),
        (0x21, 4),
        (0x21, 1),
        (0x21, 0xff),
        (0x20, 0x0a),
    ];
    steps.extend(init.map(|(port, value)| Out8(port, value)));
    steps.extend([
        In8(0x20, 0x20),
        Out8(0x2005, 1),
        In8(0x20, 0x20),
        Out8(0x2005, 0),
    ]);
    // The keyboard controller's tests of itself and of the keyboard's line.
    steps.extend([
        Out8(0x64, 0xaa),
        In8(0x60, 0xff),
        Out8(0x64, 0xab),
        In8(0x60, 0xff),
    ]);
    // Where nothing is are ones.
    steps.push(In32(0x1230));
    steps.extend(END.iter().map(|&byte| Out8(0x3f8, byte)));
    steps.push(Out8(0xf4, EXIT_VALUE));
    steps
}

/// What was read, between the marks.
fn between_marks(sent: &[u8]) -> &[u8] {
    let find = |sign: &[u8]| sent.windows(sign.len()).position(|part| part == sign);
    let start = find(START).unwrap_or_else(|| panic!("{}", sent.escape_ascii())) + START.len();
    &sent[start..find(END).unwrap()]
}

/// What QEMU's devices answer. Its own CPU, because they are the same with KVM's and the firmware
/// is faster on hosts that emulate CPL 0.
fn on_qemu(image: &Path) -> Option<Vec<u8>> {
    let qemu = Command::new("qemu-system-x86_64")
        .args("-accel tcg -m 96 -smp 3 -nodefaults -display none -serial stdio".split(' '))
        .args("-device isa-debug-exit,iobase=0xf4,iosize=0x4 -device pc-testdev".split(' '))
        .arg("-kernel")
        .arg(image)
        .stdin(Stdio::null())
        .output();
    match qemu {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            skip("QEMU's devices", "there is no qemu-system-x86_64");
            None
        }
        qemu => {
            let qemu = qemu.unwrap();
            let said = String::from_utf8_lossy(&qemu.stderr);
            assert_eq!(qemu.status.code(), Some(EXIT_CODE), "{said}");
            Some(qemu.stdout)
        }
    }
}

#[test]
fn a_test_image_finds_what_it_finds_on_qemu() {
    let folder = Folder::new("test-image");
    let image = folder.file("image", &image(&looks()));
    let serial = folder.path("serial");
    let run = Vmm::run("--memory 96M --vcpus 3 --timeout 60 --serial")
        .arg(&serial)
        .arg(&image);
    let finished = wait(run.spawn(), run.line());
    assert_eq!(finished.code, EXIT_CODE, "{finished}");
    let ours = std::fs::read(serial).unwrap();
    let Some(qemus) = on_qemu(&image) else { return };
    let (ours, qemus) = (between_marks(&ours), between_marks(&qemus));
    assert!(ours.len() > 70);
    assert_eq!(
        ours.escape_ascii().to_string(),
        qemus.escape_ascii().to_string()
    );
}
