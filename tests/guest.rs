//! Guests of a few instructions.

use crate::elf::{CODE_GPA, Elf};

/// The bytes that the lines of assembly make. The first argument is `.code32` or `.code16`.
/// Labels are numbers; 771 and 772 are taken.
#[macro_export]
macro_rules! guest_code {
    ($bits:literal, $($line:expr),+ $(,)?) => {{
        let (start, end): (*const u8, *const u8);
        // SAFETY: reads two addresses; the guest's code is data here and never executed.
        unsafe {
            ::std::arch::asm!(
                "lea {start}, [rip + 771f]",
                "lea {end}, [rip + 772f]",
                ".pushsection .rodata.guests, \"a\", @progbits",
                $bits,
                "771:",
                $($line,)+
                "772:",
                ".code64",
                ".popsection",
                start = out(reg) start,
                end = out(reg) end,
                options(nomem, nostack, preserves_flags),
            );
        }
        // SAFETY: `end` is behind `start` in one section.
        let length = unsafe { end.offset_from_unsigned(start) };
        // SAFETY: the section is never written, and both labels are in it.
        unsafe { ::std::slice::from_raw_parts::<'static, u8>(start, length) }
    }};
}

/// Sets the serial port up whatever was done to it, and sends "OK".
#[macro_export]
macro_rules! say_ok {
    () => {
        "mov dx, 0x3fb; mov al, 3; out dx, al
         mov dx, 0x3fc; xor al, al; out dx, al
         mov dx, 0x3f8; mov al, 0x4f; out dx, al; mov al, 0x4b; out dx, al"
    };
}

/// Pulses the reset line of the i8042.
#[macro_export]
macro_rules! reset {
    () => {
        "mov al, 0xfe; out 0x64, al; 9: hlt; jmp 9b"
    };
}

/// Advances the random number in ESI.
#[macro_export]
macro_rules! next_random {
    () => {
        "imul esi, esi, 1664525; add esi, 1013904223"
    };
}

/// Where [`with_tables`] puts GDT, IDT and the table of ranges.
pub const TABLES_GPA: u64 = 0x20_0000;
/// Where [`with_tables`] puts the handler of #GP.
pub const HANDLER_GPA: u64 = 0x20_1000;

/// A guest that can take #GP: `lgdt [0x200020]; lidt [0x200030]`, and `ranges` as pairs of words
/// at 0x200400, ended by zeros. The handler skips the 2 bytes of RDMSR or WRMSR.
pub fn with_tables(code: &[u8], ranges: &[(u32, u32)]) -> Elf {
    let skip_two_bytes = guest_code!(
        ".code32",
        // No IRET: emulators of protected mode may not know it. Interrupts stay off.
        "add esp, 4",
        "add dword ptr [esp], 2",
        "ret 8",
    );
    let mut tables = vec![0_u8; 0x1000];
    let mut put = |at: usize, bytes: &[u8]| tables[at..at + bytes.len()].copy_from_slice(bytes);
    // A flat code and a flat data segment at the selectors that PVH guests start with.
    put(8, &0x00cf_9b00_0000_ffff_u64.to_le_bytes());
    put(16, &0x00cf_9300_0000_ffff_u64.to_le_bytes());
    put(0x20, &descriptor_table(0, 24));
    put(0x30, &descriptor_table(0x100, 32 * 8));
    let [a, b, c, d, ..] = HANDLER_GPA.to_le_bytes();
    put(0x100 + 13 * 8, &[a, b, 8, 0, 0, 0x8e, c, d]);
    for (n, (from, to)) in ranges.iter().enumerate() {
        put(0x400 + 8 * n, &from.to_le_bytes());
        put(0x404 + 8 * n, &to.to_le_bytes());
    }
    Elf::guest(code)
        .segment(TABLES_GPA, &tables, 0x1000)
        .segment(HANDLER_GPA, skip_two_bytes, 0x1000)
}

/// Operand of LGDT and LIDT for `bytes` bytes at `offset` of the tables.
fn descriptor_table(offset: u32, bytes: u16) -> [u8; 6] {
    let [a, b] = (bytes - 1).to_le_bytes();
    let base = u32::try_from(TABLES_GPA).unwrap_or(0) + offset;
    let [c, d, e, f] = base.to_le_bytes();
    [a, b, c, d, e, f]
}

/// Address of `code`'s byte `offset`, as reports print it.
pub fn rip(offset: u64) -> String {
    format!("{:#x}", CODE_GPA + offset)
}
