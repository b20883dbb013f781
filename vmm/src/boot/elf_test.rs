use super::*;
use guest_payload::abi::{NOTE_HANDSHAKE, NOTE_NAME, NOTE_RESULTS, NOTE_STUB_PAGE};
use proptest::prelude::*;

use image::{Elf, LOAD_GPA, XEN_PHYS32_ENTRY, note};

#[path = "elf_test_image.rs"]
mod image;

fn pvh(entry: u64) -> EntryPoint {
    EntryPoint::Pvh(u32::try_from(entry).unwrap())
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
        .with_note(address_note(NOTE_RESULTS, 0x20_3000))
        .with_note(address_note(NOTE_HANDSHAKE, 0x20_4000));
    let bytes = elf.bytes();
    let image = Image::check(&bytes).unwrap();
    assert_eq!(image.entry, pvh(LOAD_GPA));
    assert_eq!(image.stub_page, Some(0x20_1000));
    assert_eq!(image.results, Some(0x20_3000));
    assert_eq!(image.handshake, Some(0x20_4000));
    assert_eq!(image.segments.len(), 2);
    let first = &image.segments[0];
    assert_eq!((first.gpa, first.mem_bytes), (LOAD_GPA, 0x2000));
    assert_eq!(&bytes[first.file.clone()], [0x90; 64]);
}

#[test]
fn an_image_without_our_notes_is_any_kernel() {
    let image = Elf::valid().check().unwrap();
    assert_eq!((image.stub_page, image.results), (None, None));
    assert_eq!(image.handshake, None);
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
        assert_eq!(image.entry, pvh(LOAD_GPA), "{content} in {declared}");
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

/// A Linux is told by notes of its own, or by its banner where it has none.
#[test]
fn a_linux_is_told_by_its_notes_or_its_banner() {
    let image = Elf::valid().check().unwrap();
    assert_eq!(image.system, System::Other);
    let noted = Elf::valid().with_note(note(b"Linux\0", 0x100, &[0; 4], 4));
    assert_eq!(noted.check().unwrap().system, System::Linux);
    let mut banner = Elf::valid();
    banner.loads[0].data.extend(b"Linux version 6.1 (a@b)");
    assert_eq!(banner.check().unwrap().system, System::Linux);
}

#[test]
fn a_guest_with_our_notes_is_not_searched_for_a_banner() {
    let mut elf = Elf::valid().with_note(address_note(NOTE_STUB_PAGE, LOAD_GPA));
    elf.loads[0].data.extend(b"Linux version ");
    assert_eq!(elf.check().unwrap().system, System::Other);
}

#[test]
fn a_linux_without_pvh_is_entered_by_its_64_bit_entry() {
    let mut elf = Elf::valid();
    elf.notes = note(b"Linux\0", 0x100, &[0; 4], 4);
    assert_eq!(elf.check().unwrap().entry, EntryPoint::Linux64(LOAD_GPA));
    elf.loads[0].gpa += 0x10_0000;
    let entry = LOAD_GPA;
    assert_eq!(elf.check(), Err(Error::LinuxEntryOutside { entry }));
    let with_pvh = Elf::valid().with_note(note(b"Linux\0", 0x100, &[0; 4], 4));
    let with_pvh = with_pvh.check().unwrap();
    assert_eq!(with_pvh.entry, pvh(LOAD_GPA));
    assert_eq!(with_pvh.linux64, Some(LOAD_GPA));
    // The payload and its like have PVH alone.
    assert_eq!(Elf::valid().check().unwrap().linux64, None);
}

#[test]
fn segments_know_the_address_they_run_at() {
    let image = Elf::valid().check().unwrap();
    let linear = LOAD_GPA.wrapping_add(0xffff_ffff_8000_0000);
    let segment = &image.segments[0];
    assert_eq!(segment.linear, linear);
    let start = segment.file.start;
    assert_eq!(
        segment.file_range(linear + 4, 3),
        Some(start + 4..start + 7)
    );
    // 64 bytes come from the file.
    assert!(segment.file_range(linear + 62, 2).is_some());
    assert_eq!(segment.file_range(linear + 62, 3), None);
    assert_eq!(segment.file_range(linear - 1, 1), None);
    assert_eq!(segment.file_range(u64::MAX, usize::MAX), None);
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
    let entry = match image.entry {
        EntryPoint::Pvh(entry) => entry.into(),
        EntryPoint::Linux64(entry) => entry,
    };
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
