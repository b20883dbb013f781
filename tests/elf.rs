//! Guest images, right ones and wrong ones: every field can be made wrong.

use guest_payload::abi::{NOTE_NAME, NOTE_RESULTS, NOTE_STUB_PAGE};

/// Where [`Elf::guest`] puts its code.
pub const CODE_GPA: u64 = 0x10_0000;
/// Memory of [`Elf::guest`]'s segment: room for data behind the code.
pub const CODE_BYTES: u64 = 0x1_0000;

const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;
const XEN_PHYS32_ENTRY: u32 = 18;

/// A PT_LOAD segment.
#[derive(Clone, Debug)]
pub struct Segment {
    /// Guest-physical load address.
    pub gpa: u64,
    /// Content.
    pub data: Vec<u8>,
    /// Size in memory.
    pub mem_bytes: u64,
}

/// An ELF image in the making.
#[derive(Clone, Debug)]
pub struct Elf {
    /// `EI_CLASS`: 2 for 64 bits.
    pub class: u8,
    /// `e_machine`: 62 for x86-64.
    pub machine: u16,
    /// PT_LOAD segments.
    pub segments: Vec<Segment>,
    /// Content of the PT_NOTE segment.
    pub notes: Vec<u8>,
}

impl Elf {
    /// A PVH guest that is entered at the start of `code`: 32-bit protected mode, flat segments,
    /// no paging, no stack.
    pub fn guest(code: &[u8]) -> Self {
        let elf = Self {
            class: 2,
            machine: 62,
            segments: Vec::new(),
            notes: Vec::new(),
        };
        elf.note(b"Xen\0", XEN_PHYS32_ENTRY, CODE_GPA)
            .segment(CODE_GPA, code, CODE_BYTES)
    }

    /// One more segment.
    #[must_use]
    pub fn segment(mut self, gpa: u64, data: &[u8], mem_bytes: u64) -> Self {
        let data = data.to_vec();
        self.segments.push(Segment {
            gpa,
            data,
            mem_bytes,
        });
        self
    }

    /// Names the page at `gpa` as the stub page.
    #[must_use]
    pub fn stub_page(self, gpa: u64) -> Self {
        self.note(NOTE_NAME, NOTE_STUB_PAGE, gpa)
    }

    /// Names the page at `gpa` as the results page.
    #[must_use]
    pub fn results(self, gpa: u64) -> Self {
        self.note(NOTE_NAME, NOTE_RESULTS, gpa)
    }

    fn note(mut self, name: &[u8; 4], kind: u32, address: u64) -> Self {
        for word in [4, 8, kind] {
            self.notes.extend(word.to_le_bytes());
        }
        self.notes.extend(name);
        self.notes.extend(address.to_le_bytes());
        self
    }

    /// The file: header, program headers, notes, segments.
    pub fn bytes(&self) -> Vec<u8> {
        let count = u16::try_from(self.segments.len() + 1).expect("few segments");
        let mut offset = 64 + 56 * u64::from(count);
        let mut headers: Vec<u8> = Vec::new();
        let mut data: Vec<u8> = Vec::new();
        let notes_bytes = self.notes.len() as u64;
        let notes = (PT_NOTE, 0, &self.notes, notes_bytes);
        let loads = self
            .segments
            .iter()
            .map(|segment| (PT_LOAD, segment.gpa, &segment.data, segment.mem_bytes));
        for (kind, gpa, content, mem_bytes) in std::iter::once(notes).chain(loads) {
            let file_bytes = content.len() as u64;
            headers.extend(kind.to_le_bytes());
            headers.extend(7_u32.to_le_bytes());
            for field in [offset, gpa, gpa, file_bytes, mem_bytes, 4] {
                headers.extend(field.to_le_bytes());
            }
            data.extend(content);
            offset += file_bytes;
        }
        let mut file = vec![0x7f, b'E', b'L', b'F', self.class, 1, 1];
        file.resize(16, 0);
        file.extend(2_u16.to_le_bytes());
        file.extend(self.machine.to_le_bytes());
        file.extend(1_u32.to_le_bytes());
        for field in [CODE_GPA, 64, 0] {
            file.extend(field.to_le_bytes());
        }
        file.extend(0_u32.to_le_bytes());
        for field in [64, 56, count, 0, 0, 0] {
            file.extend(field.to_le_bytes());
        }
        file.extend(headers);
        file.extend(data);
        file
    }
}
