//! Guests of a few instructions, as PVH ELF files.

use std::io;
use std::path::PathBuf;

const ENTRY: u32 = 0x10_0000;
const CODE_OFFSET: usize = 0x1000;
const NOTE_OFFSET: usize = 0x200;

/// Sends `x` to the serial port and pulls the reset line, in 32-bit code. Where nothing is on
/// that line (microvm has no i8042), it faults three times.
const RESET: &[u8] = &[
    0x66, 0xba, 0xf8, 0x03, // mov $0x3f8, %dx
    0xb0, b'x', // mov $'x', %al
    0xee, // out %al, %dx
    0xb0, 0xfe, // mov $0xfe, %al
    0xe6, 0x64, // out %al, $0x64
    0x0f, 0x01, 0x1d, 0x14, 0x00, 0x10, 0x00, // lidt 0x100014: no entries
    0x0f, 0x0b, // ud2
    0, 0, 0, 0, 0, 0, // 0x100014
];

/// Sends `x` to the serial port and halts for good.
const HALT: &[u8] = &[
    0x66, 0xba, 0xf8, 0x03, // mov $0x3f8, %dx
    0xb0, b'x', // mov $'x', %al
    0xee, // out %al, %dx
    0xf4, // hlt
    0xeb, 0xfd, // jmp to the hlt
];

/// The guests' files; removed when dropped.
#[derive(Debug)]
pub(crate) struct Guests {
    folder: PathBuf,
}

impl Guests {
    /// Writes them into a new folder for temporary files.
    pub(crate) fn write() -> io::Result<Self> {
        let folder = std::env::temp_dir().join(format!("vmm-bench-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let guests = Self { folder };
        std::fs::write(guests.reset(), elf(RESET))?;
        std::fs::write(guests.halt(), elf(HALT))?;
        Ok(guests)
    }

    /// The guest that resets.
    pub(crate) fn reset(&self) -> PathBuf {
        self.folder.join("reset.elf")
    }

    /// The guest that halts.
    pub(crate) fn halt(&self) -> PathBuf {
        self.folder.join("halt.elf")
    }
}

impl Drop for Guests {
    fn drop(&mut self) {
        // Temporary files that stay behind do no harm.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// An ELF of one segment and the note that names its entry.
fn elf(code: &[u8]) -> Vec<u8> {
    const NOTE_TYPE_PHYS32_ENTRY: u32 = 18;
    let u16s =
        |values: &[u16]| -> Vec<u8> { values.iter().flat_map(|v| v.to_le_bytes()).collect() };
    let u32s =
        |values: &[u32]| -> Vec<u8> { values.iter().flat_map(|v| v.to_le_bytes()).collect() };
    let u64s =
        |values: &[u64]| -> Vec<u8> { values.iter().flat_map(|v| v.to_le_bytes()).collect() };
    let note = [
        u32s(&[4, 4, NOTE_TYPE_PHYS32_ENTRY]),
        b"Xen\0".to_vec(),
        u32s(&[ENTRY]),
    ]
    .concat();
    let length = code.len() as u64;
    let mut file = [
        b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec(),
        u16s(&[2, 62]), // executable, x86-64
        u32s(&[1]),
        u64s(&[ENTRY.into(), 64, 0]),
        u32s(&[0]),
        u16s(&[64, 56, 2, 0, 0, 0]),
        u32s(&[1, 7]), // PT_LOAD, rwx
        u64s(&[
            CODE_OFFSET as u64,
            ENTRY.into(),
            ENTRY.into(),
            length,
            length,
            4096,
        ]),
        u32s(&[4, 4]), // PT_NOTE, r
        u64s(&[
            NOTE_OFFSET as u64,
            0,
            0,
            note.len() as u64,
            note.len() as u64,
            4,
        ]),
    ]
    .concat();
    file.resize(NOTE_OFFSET, 0);
    file.extend(note);
    file.resize(CODE_OFFSET, 0);
    file.extend(code);
    file
}
