//! Guests of a few instructions, as PVH ELF files.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::folder::Folder;
use crate::random;

const ENTRY: u32 = 0x10_0000;
/// Where a guest has its data, if it has any.
const DATA_AT: u32 = 0x100_0000;
const NOTE_OFFSET: usize = 0x200;
const CODE_OFFSET: usize = 0x1000;
const DATA_OFFSET: usize = 0x2000;

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

/// Sends a byte to the serial port, again and again, with a pause in between that is short beside
/// everything that is measured with it and long enough that a pipe takes a second to fill.
const TICK: &[u8] = &[
    0x66, 0xba, 0xf8, 0x03, // mov $0x3f8, %dx
    0xb0, b'x', // mov $'x', %al
    0xee, // out %al, %dx
    0xb9, 0x20, 0, 0, 0, // mov $32, %ecx
    0xe2, 0xfe, // loop to itself
    0xeb, 0xf6, // jmp to the out
];

/// Sends `x` to the serial port and halts until an interrupt comes, which none does.
const SLEEP: &[u8] = &[
    0x66, 0xba, 0xf8, 0x03, // mov $0x3f8, %dx
    0xb0, b'x', // mov $'x', %al
    0xee, // out %al, %dx
    0xfb, // sti
    0xf4, // hlt
    0xeb, 0xfd, // jmp to the hlt
];

/// What a guest that has data does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Does {
    /// It sends a byte again and again.
    Tick,
    /// It sends one byte and leaves the host's CPUs alone from then on.
    Sleep,
}

/// The guests' files; removed when dropped.
#[derive(Debug)]
pub(crate) struct Guests {
    folder: Folder,
    sockets: AtomicU32,
}

impl Guests {
    /// Writes them into a new folder for temporary files.
    pub(crate) fn write() -> io::Result<Self> {
        let guests = Self {
            folder: Folder::for_guests()?,
            sockets: AtomicU32::new(0),
        };
        std::fs::write(guests.reset(), elf(RESET, 0))?;
        std::fs::write(guests.halt(), elf(HALT, 0))?;
        std::fs::write(guests.tick(), elf(TICK, 0))?;
        Ok(guests)
    }

    /// The guest that resets.
    pub(crate) fn reset(&self) -> PathBuf {
        self.folder.file("reset.elf")
    }

    /// The guest that halts.
    pub(crate) fn halt(&self) -> PathBuf {
        self.folder.file("halt.elf")
    }

    /// A path for a socket that nobody has had before.
    pub(crate) fn socket(&self) -> PathBuf {
        let number = self.sockets.fetch_add(1, Relaxed);
        self.folder.file(&number.to_string())
    }

    /// The folder.
    pub(crate) fn folder(&self) -> &Folder {
        &self.folder
    }

    /// The guest that ticks.
    pub(crate) fn tick(&self) -> PathBuf {
        self.folder.file("tick.elf")
    }
}

/// Writes a guest to `path`, with `mib` MiB of random numbers that are loaded with it.
pub(crate) fn write_with_data(path: &Path, does: Does, mib: u32) -> io::Result<()> {
    let mut file = File::create(path)?;
    let code = match does {
        Does::Tick => TICK,
        Does::Sleep => SLEEP,
    };
    let mut head = elf(code, mib << 20);
    head.resize(DATA_OFFSET, 0);
    file.write_all(&head)?;
    let mut block = vec![0; 1 << 20];
    for seed in 0..mib {
        random::fill(&mut block, seed.into());
        file.write_all(&block)?;
    }
    Ok(())
}

/// An ELF of one segment and the note that names its entry; and, where there are `data` bytes, the
/// segment for what is then appended from `DATA_OFFSET` on.
fn elf(code: &[u8], data: u32) -> Vec<u8> {
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
    let segment = |offset: usize, address: u32, length: u64| {
        [
            u32s(&[1, 7]), // PT_LOAD, rwx
            u64s(&[
                offset as u64,
                address.into(),
                address.into(),
                length,
                length,
                4096,
            ]),
        ]
        .concat()
    };
    let mut segments = vec![segment(CODE_OFFSET, ENTRY, code.len() as u64)];
    if data != 0 {
        segments.push(segment(DATA_OFFSET, DATA_AT, data.into()));
    }
    let headers = if data == 0 { 2 } else { 3 };
    let mut file = [
        b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec(),
        u16s(&[2, 62]), // executable, x86-64
        u32s(&[1]),
        u64s(&[ENTRY.into(), 64, 0]),
        u32s(&[0]),
        u16s(&[64, 56, headers, 0, 0, 0]),
        segments.concat(),
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
