use super::*;
use guest_payload::abi::{NOTE_NAME, NOTE_RESULTS, NOTE_STUB_PAGE};
use proptest::prelude::*;

const XEN_PHYS32_ENTRY: u32 = 18;
const LOAD_GPA: u64 = 0x10_0000;

/// One entry of the program header table.
#[derive(Clone)]
struct Load {
    gpa: u64,
    data: Vec<u8>,
    mem_bytes: u64,
}

/// An ELF image in the making. Every field can be made wrong.
#[derive(Clone)]
struct Elf {
    identification: [u8; 7],
    kind: u16,
    machine: u16,
    entry_bytes: u16,
    loads: Vec<Load>,
    notes: Vec<u8>,
    notes_align: u64,
}

impl Elf {
    /// One segment of two pages, entered at its start.
    fn valid() -> Self {
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

    fn with_note(mut self, note: Vec<u8>) -> Self {
        self.notes.extend(note);
        self
    }

    fn with_load(mut self, gpa: u64, mem_bytes: u64) -> Self {
        let data = vec![1; 16];
        self.loads.push(Load {
            gpa,
            data,
            mem_bytes,
        });
        self
    }

    /// Header, program headers, notes, segments, one section header.
    fn bytes(&self) -> Vec<u8> {
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

    fn check(&self) -> Result<Image, Error> {
        Image::check(&self.bytes())
    }

    /// The one line this image is refused with.
    fn refusal(&self) -> String {
        let message = self.check().unwrap_err().to_string();
        assert!(!message.contains('\n'));
        message
    }
}

fn note(name: &[u8], kind: u32, descriptor: &[u8], align: usize) -> Vec<u8> {
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

fn address_note(kind: u32, gpa: u64) -> Vec<u8> {
    note(NOTE_NAME, kind, &gpa.to_le_bytes(), 4)
}

#[test]
fn a_good_image_is_taken_whole() {
    let elf = Elf::valid()
        .with_load(0x20_0000, 0x5000)
        .with_note(note(b"GNU\0", 3, &[7; 20], 4))
        .with_note(address_note(NOTE_STUB_PAGE, 0x20_1000))
        .with_note(address_note(NOTE_RESULTS, 0x20_3000));
    let bytes = elf.bytes();
    let image = Image::check(&bytes).unwrap();
    assert_eq!(u64::from(image.entry), LOAD_GPA);
    assert_eq!(image.stub_page, Some(0x20_1000));
    assert_eq!(image.results, Some(0x20_3000));
    assert_eq!(image.segments.len(), 2);
    let first = &image.segments[0];
    assert_eq!((first.gpa, first.mem_bytes), (LOAD_GPA, 0x2000));
    assert_eq!(&bytes[first.file.clone()], [0x90; 64]);
}

#[test]
fn an_image_without_our_notes_is_any_kernel() {
    let image = Elf::valid().check().unwrap();
    assert_eq!((image.stub_page, image.results), (None, None));
}

#[test]
fn notes_may_be_aligned_to_4_or_to_8_whatever_the_segment_says() {
    for (content, declared) in [(4, 4), (4, 8), (8, 8)] {
        let mut elf = Elf::valid();
        elf.notes_align = declared;
        // 20 bytes: what follows is at another place under either alignment.
        elf.notes = note(b"GNU\0", 3, &[7; 20], content);
        elf.notes.extend(note(b"Linux\0", 0x101, &[], content));
        let entry = u32::try_from(LOAD_GPA).unwrap().to_le_bytes();
        elf.notes
            .extend(note(b"Xen\0", XEN_PHYS32_ENTRY, &entry, content));
        let image = elf.check().unwrap();
        assert_eq!(u64::from(image.entry), LOAD_GPA, "{content} in {declared}");
    }
}

#[test]
fn padding_behind_the_notes_is_not_a_note() {
    let elf = Elf::valid().with_note(vec![0; 20]);
    assert!(elf.check().is_ok());
}

#[test]
fn what_is_not_an_elf_for_x86_64_is_named() {
    assert_eq!(Image::check(b""), Err(Error::NotElf));
    assert_eq!(Image::check(b"#!/bin/sh\n"), Err(Error::NotElf));
    let refusal = |change: fn(&mut Elf)| {
        let mut elf = Elf::valid();
        change(&mut elf);
        elf.refusal()
    };
    assert!(refusal(|elf| elf.identification[4] = 1).contains("a 32-bit ELF"));
    assert!(refusal(|elf| elf.identification[4] = 3).contains("ELF class 3"));
    assert!(refusal(|elf| elf.identification[5] = 2).contains("not little endian"));
    assert!(refusal(|elf| elf.machine = 183).contains("machine 183, not for x86-64"));
    assert!(refusal(|elf| elf.kind = 3).contains("type 3 is not an executable"));
    assert!(refusal(|elf| elf.entry_bytes = 32).contains("of 32 bytes each"));
    assert!(refusal(|elf| elf.notes.clear()).contains("no PVH entry point"));
}

#[test]
fn segments_that_overlap_are_named_with_both_ranges() {
    let message = Elf::valid().with_load(LOAD_GPA + 0x1fff, 16).refusal();
    assert!(message.contains("overlap: 0x100000..0x102000 and 0x101fff..0x10200f"));
    assert!(
        Elf::valid()
            .with_load(LOAD_GPA + 0x2000, 16)
            .check()
            .is_ok()
    );
}

#[test]
fn sizes_that_cannot_be_are_refused() {
    let message = Elf::valid().with_load(0x50_0000, 15).refusal();
    assert!(message.contains("16 bytes in the file but 15 in memory"));
    let message = Elf::valid().with_load(u64::MAX - 8, 16).refusal();
    assert!(message.contains("past the end of the address space"));
}

#[test]
fn the_entry_point_is_in_a_segment() {
    for entry in [LOAD_GPA - 1, LOAD_GPA + 0x2000, LOAD_GPA + (1 << 32)] {
        let mut elf = Elf::valid();
        elf.notes = note(b"Xen\0", XEN_PHYS32_ENTRY, &entry.to_le_bytes(), 4);
        assert_eq!(elf.check(), Err(Error::EntryOutside { entry }));
    }
}

#[test]
fn our_areas_are_aligned_and_in_a_segment() {
    for kind in [NOTE_STUB_PAGE, NOTE_RESULTS] {
        let refusal = |gpa| Elf::valid().with_note(address_note(kind, gpa)).refusal();
        assert!(refusal(LOAD_GPA + 8).contains("is not aligned to 4096"));
        assert!(refusal(LOAD_GPA + 0x2000).contains("is in no segment"));
        assert!(refusal(!0xfff).contains("is in no segment"));
    }
    // Two pages of memory hold the area at their end, a byte less does not.
    let elf = Elf::valid().with_note(address_note(NOTE_STUB_PAGE, LOAD_GPA + 0x1000));
    assert!(elf.check().is_ok());
    let mut short = elf;
    short.loads[0].mem_bytes -= 1;
    assert!(short.refusal().contains("4096 bytes at 0x101000"));
}

#[test]
fn a_descriptor_that_is_no_address_is_refused() {
    let elf = Elf::valid().with_note(note(NOTE_NAME, NOTE_RESULTS, &[0; 6], 4));
    assert!(
        elf.refusal()
            .contains("note vmm 2: a descriptor of 6 bytes")
    );
}

#[test]
fn an_image_fits_memory_that_ends_with_it() {
    let image = Elf::valid().check().unwrap();
    assert_eq!(image.check_fits(0x10_2000), Ok(()));
    let message = image.check_fits(0x10_1fff).unwrap_err().to_string();
    assert!(message.contains("0x100000..0x102000 is outside guest memory (0..0x101fff)"));
    assert!(message.contains("at least 2 MiB"));
}

#[test]
fn an_image_keeps_clear_of_boot_data() {
    for (area, what) in layout::BOOT_DATA {
        let image = Elf::valid().with_load(area.start + 1, 16).check().unwrap();
        let message = image.check_fits(1 << 30).unwrap_err().to_string();
        assert!(message.contains(what), "{message}");
    }
    // GNU ld puts the file headers in the page below a text linked at 1 MiB.
    for gpa in [layout::ACPI - 16, layout::HIGH_RAM - 0x1000] {
        let image = Elf::valid().with_load(gpa, 16).check().unwrap();
        assert_eq!(image.check_fits(1 << 30), Ok(()));
    }
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let elf = Elf::valid()
        .with_load(0x20_0000, 0x5000)
        .with_note(address_note(NOTE_RESULTS, 0x20_3000));
    let bytes = elf.bytes();
    assert!(Image::check(&bytes).is_ok());
    for length in 1..bytes.len() {
        let refused = Image::check(&bytes[..length]).unwrap_err();
        assert!(
            matches!(refused, Error::Truncated { .. }),
            "cut at {length}: {refused}"
        );
    }
}

#[test]
fn notes_cut_anywhere_are_refused() {
    let notes = Elf::valid().notes;
    for length in 1..notes.len() {
        let mut elf = Elf::valid();
        elf.notes.truncate(length);
        let refused = elf.check().unwrap_err();
        assert!(matches!(refused, Error::NoteTruncated { .. }), "{refused}");
    }
}

/// What holds for every image that is let through.
fn assert_sound(bytes: &[u8], image: &Image) {
    let entry = u64::from(image.entry);
    assert!(
        image
            .segments
            .iter()
            .any(|s| s.gpa <= entry && entry < s.end())
    );
    for segment in &image.segments {
        assert!(segment.file.end <= bytes.len());
        assert!(segment.mem_bytes >= segment.file.len() as u64);
    }
    for pair in image.segments.windows(2) {
        assert!(pair[0].end() <= pair[1].gpa);
    }
    for gpa in [image.stub_page, image.results].into_iter().flatten() {
        let inside = |s: &Segment| s.gpa <= gpa && gpa + 0x1000 <= s.end();
        assert!(image.segments.iter().any(inside));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn flipped_bytes_are_refused_or_sound(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = Elf::valid()
            .with_load(0x20_0000, 0x5000)
            .with_note(address_note(NOTE_STUB_PAGE, 0x20_1000))
            .bytes();
        for (at, byte) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= byte;
        }
        if let Ok(image) = Image::check(&bytes) {
            assert_sound(&bytes, &image);
            let _ = image.check_fits(1 << 30);
        }
    }

    #[test]
    fn random_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..400), magic: bool) {
        if magic {
            let start = Elf::valid().bytes();
            let length = bytes.len().min(20);
            bytes[..length].copy_from_slice(&start[..length]);
        }
        if let Ok(image) = Image::check(&bytes) {
            assert_sound(&bytes, &image);
        }
    }

    #[test]
    fn random_notes_never_panic(notes in prop::collection::vec(any::<u8>(), 0..80), eight: bool) {
        let mut elf = Elf::valid();
        elf.notes = notes;
        elf.notes_align = if eight { 8 } else { 4 };
        let _ = elf.check();
    }
}
