//! A 64-bit ELF with notes, to be made wrong field by field.

use super::*;

pub(super) const XEN_PHYS32_ENTRY: u32 = 18;
pub(super) const LOAD_GPA: u64 = 0x10_0000;

/// One entry of the program header table.
#[derive(Clone)]
pub(super) struct Load {
    pub(super) gpa: u64,
    pub(super) data: Vec<u8>,
    pub(super) mem_bytes: u64,
}

/// An ELF image in the making. Every field can be made wrong.
#[derive(Clone)]
pub(super) struct Elf {
    pub(super) identification: [u8; 7],
    pub(super) kind: u16,
    pub(super) machine: u16,
    pub(super) entry_bytes: u16,
    pub(super) loads: Vec<Load>,
    pub(super) notes: Vec<u8>,
    pub(super) notes_align: u64,
}

impl Elf {
    /// One segment of two pages, entered at its start.
    pub(super) fn valid() -> Self {
        Self {
            identification: *b"\x7fELF\x02\x01\x01",
            kind: 2,
            machine: 62,
            entry_bytes: 56,
            loads: vec![Load {
                gpa: LOAD_GPA,
                data: vec![0x90; 64],
                mem_bytes: 0x2000,
            }],
            notes: note(b"Xen\0", XEN_PHYS32_ENTRY, &LOAD_GPA.to_le_bytes(), 4),
            notes_align: 4,
        }
    }

    pub(super) fn with_note(mut self, note: Vec<u8>) -> Self {
        self.notes.extend(note);
        self
    }

    pub(super) fn with_load(mut self, gpa: u64, mem_bytes: u64) -> Self {
        let data = vec![1; 16];
        self.loads.push(Load {
            gpa,
            data,
            mem_bytes,
        });
        self
    }

    /// Header, program headers, notes, segments, one section header.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let count = u16::try_from(self.loads.len() + 1).unwrap();
        let mut data = vec![];
        let data_start = 64 + 56 * u64::from(count);
        let mut place = |bytes: &[u8]| {
            let offset = data_start + data.len() as u64;
            data.extend_from_slice(bytes);
            data.resize(data.len().next_multiple_of(8), 0xee);
            offset
        };

        let mut headers = vec![];
        let mut header = |kind: u32, offset: u64, gpa: u64, sizes: [u64; 2], align: u64| {
            headers.extend(kind.to_le_bytes());
            headers.extend(5u32.to_le_bytes());
            // p_vaddr is elsewhere, as a kernel's is.
            let gva = gpa.wrapping_add(0xffff_ffff_8000_0000);
            for field in [offset, gva, gpa, sizes[0], sizes[1], align] {
                headers.extend(field.to_le_bytes());
            }
        };
        let notes_bytes = self.notes.len() as u64;
        let notes = place(&self.notes);
        header(PT_NOTE, notes, 0, [notes_bytes; 2], self.notes_align);
        for load in &self.loads {
            let sizes = [load.data.len() as u64, load.mem_bytes];
            header(PT_LOAD, place(&load.data), load.gpa, sizes, 4096);
        }

        let sections = data_start + data.len() as u64;
        let mut bytes = self.identification.to_vec();
        bytes.resize(16, 0);
        bytes.extend(self.kind.to_le_bytes());
        bytes.extend(self.machine.to_le_bytes());
        bytes.extend(1u32.to_le_bytes());
        for field in [LOAD_GPA, 64, sections] {
            bytes.extend(field.to_le_bytes());
        }
        bytes.extend(0u32.to_le_bytes());
        for field in [64, self.entry_bytes, count, 64, 1, 0] {
            bytes.extend(u16::to_le_bytes(field));
        }
        bytes.extend(headers);
        bytes.extend(data);
        bytes.extend([0; 64]);
        bytes
    }

    pub(super) fn check(&self) -> Result<Image, Error> {
        Image::check(&self.bytes())
    }

    /// The one line this image is refused with.
    pub(super) fn refusal(&self) -> String {
        let message = self.check().unwrap_err().to_string();
        assert!(!message.contains('\n'));
        message
    }
}

/// A note with everything behind it aligned to `align`.
pub(super) fn note(name: &[u8], kind: u32, descriptor: &[u8], align: usize) -> Vec<u8> {
    let mut note = vec![];
    for word in [name.len(), descriptor.len()] {
        note.extend(u32::try_from(word).unwrap().to_le_bytes());
    }
    note.extend(kind.to_le_bytes());
    note.extend(name);
    note.resize(note.len().next_multiple_of(align), 0);
    note.extend(descriptor);
    note.resize(note.len().next_multiple_of(align), 0);
    note
}
