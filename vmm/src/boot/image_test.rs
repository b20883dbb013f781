use super::super::test_images::{
    Elf32, bzimage, flat_image, multiboot_elf, multiboot_flat, multiboot_header,
};
use super::*;
use proptest::prelude::*;
use vmm_tests::elf::{CODE_GPA, Elf};

/// A PVH guest that halts.
fn pvh() -> Vec<u8> {
    Elf::guest(b"\xf4").bytes()
}

fn linux() -> Vec<u8> {
    Elf::guest(b"\xf4Linux version 6.1").bytes()
}

/// The one line that `bytes` is refused with.
fn refusal(bytes: &[u8]) -> String {
    let message = Image::identify(bytes).unwrap_err().to_string();
    assert!(!message.contains('\n'));
    message
}

#[test]
fn images_are_told_by_their_content() {
    for (bytes, kind, platform) in [
        (guest_payload::IMAGE.to_vec(), Kind::Pvh, Platform::Bare),
        (pvh(), Kind::Pvh, Platform::Bare),
        (linux(), Kind::Linux, Platform::Pc),
        (bzimage(), Kind::Linux, Platform::Pc),
        (multiboot_elf(), Kind::Multiboot, Platform::Pc),
        (multiboot_flat(), Kind::Multiboot, Platform::Pc),
    ] {
        let image = Image::identify(&bytes).unwrap();
        assert_eq!((image.kind(), image.platform()), (kind, platform));
        check_head(&bytes[..bytes.len().min(HEAD_BYTES)]).unwrap();
    }
}

#[test]
fn the_payload_names_its_areas_and_others_do_not() {
    let payload = Image::identify(guest_payload::IMAGE).unwrap();
    assert!(payload.stub_page().is_some() && payload.results().is_some());
    for bytes in [bzimage(), multiboot_elf(), pvh()] {
        let image = Image::identify(&bytes).unwrap();
        assert_eq!((image.stub_page(), image.results()), (None, None));
    }
}

/// A 64-bit ELF is loaded by its PVH note if it has one, and by a multiboot header's addresses if
/// it has those.
#[test]
fn a_64_bit_elf_may_be_a_multiboot_image() {
    let mut both = Elf::guest(b"\xf4");
    both.segments[0].data.resize(64, 0);
    both.segments[0].data.splice(4..16, multiboot_header(0));
    assert_eq!(Image::identify(&both.bytes()).unwrap().kind(), Kind::Pvh);

    let mut without_note = both.clone();
    without_note.notes.clear();
    assert!(refusal(&without_note.bytes()).contains("objcopy -O elf32-i386"));

    let gpa = u32::try_from(CODE_GPA).unwrap();
    let addresses = flat_image(1 << 16, [gpa, gpa, gpa + 64, 0, gpa + 32]);
    without_note.segments[0].data = addresses[16..].to_vec();
    without_note.segments[0].data.resize(80, 0);
    let image = Image::identify(&without_note.bytes()).unwrap();
    assert_eq!(image.kind(), Kind::Multiboot);
    assert_eq!(image.segments()[0].gpa, CODE_GPA);
}

#[test]
fn what_is_no_image_is_named() {
    let at = |offset: usize, magic: &[u8]| {
        let mut bytes = vec![0; 0x1000];
        bytes[offset..offset + magic.len()].copy_from_slice(magic);
        bytes
    };
    let elf = |change: fn(&mut Elf)| {
        let mut elf = Elf::guest(b"\xf4");
        change(&mut elf);
        elf.bytes()
    };
    let mut big_endian = pvh();
    big_endian[5] = 2;
    for (bytes, part) in [
        (
            Vec::new(),
            "not an ELF file, a bzImage or a multiboot image",
        ),
        (b"#!/bin/sh\n".to_vec(), "not an ELF file"),
        (b"\x7fE".to_vec(), "truncated"),
        (at(0, b"\x1f\x8b\x08"), "gzip data"),
        (at(0, b"\xfd7zXZ\0"), "xz data"),
        (at(0, b"\x28\xb5\x2f\xfd"), "zstd data"),
        (at(0, b"BZh9"), "bzip2 data"),
        (at(0, b"QFI\xfb"), "a qcow2 disk"),
        (at(0, b"070701"), "give it as --initrd"),
        (at(0x38, b"ARM\x64"), "for arm64"),
        (at(0x38, b"RSC\x05"), "for RISC-V"),
        (elf(|elf| elf.class = 1), "a 32-bit ELF"),
        (elf(|elf| elf.machine = 183), "machine 183"),
        (elf(|elf| elf.notes.clear()), "no PVH entry point"),
        (big_endian, "not little endian"),
        (at(0, &multiboot_header(0)), "without addresses"),
    ] {
        let message = refusal(&bytes);
        assert!(message.contains(part), "no `{part}` in {message}");
    }
}

#[test]
fn an_image_fits_memory_that_ends_with_it() {
    let image = Image::identify(&pvh()).unwrap();
    assert_eq!(image.check_fits(0x11_0000), Ok(()));
    let message = image.check_fits(0x10_ffff).unwrap_err().to_string();
    assert!(message.contains("0x100000..0x110000 is outside guest memory (0..0x10ffff)"));
    assert!(message.contains("at least 2 MiB"));
    assert_eq!(image.end(), 0x11_0000);
    let packed = Image::identify(&bzimage()).unwrap();
    assert_eq!(packed.end(), 0x180_0000);
    assert!(packed.check_fits(0x17f_ffff).is_err());
}

#[test]
fn an_image_keeps_clear_of_boot_data() {
    let assert_kept = |areas: &[layout::Area], image: &dyn Fn(u64) -> Vec<u8>| {
        for (area, what) in areas {
            let image = Image::identify(&image(area.start + 1)).unwrap();
            let message = image.check_fits(1 << 30).unwrap_err().to_string();
            assert!(message.contains(what), "{message}");
        }
    };
    let pvh = |gpa| Elf::guest(b"\xf4").segment(gpa, b"x", 16).bytes();
    let linux = |gpa| {
        let elf = Elf::guest(b"\xf4Linux version 6.1");
        elf.segment(gpa, b"x", 16).bytes()
    };
    let multiboot = |gpa| {
        let gpa = u32::try_from(gpa).unwrap();
        let mut elf = Elf32::valid();
        elf.programs.push((1, gpa, gpa, 32));
        elf.bytes()
    };
    assert_kept(&layout::PVH_DATA, &pvh);
    assert_kept(&layout::PC_DATA, &linux);
    assert_kept(&layout::MULTIBOOT_DATA, &multiboot);
    assert_kept(&layout::PC_DATA, &multiboot);
    // GNU ld puts the file headers in the page below a text linked at 1 MiB.
    for gpa in [layout::ACPI - 16, layout::HIGH_RAM - 0x1000] {
        let image = Image::identify(&pvh(gpa)).unwrap();
        assert_eq!(image.check_fits(1 << 30), Ok(()));
    }
}

/// One that cannot be moved unpacks itself wherever its header says.
#[test]
fn a_packed_kernel_keeps_clear_of_what_a_pc_has() {
    for (area, what) in layout::PC_DATA {
        let mut bytes = bzimage();
        bytes[0x234] = 0;
        bytes[0x258..0x260].copy_from_slice(&area.start.to_le_bytes());
        bytes[0x260..0x264].copy_from_slice(&16_u32.to_le_bytes());
        let image = Image::identify(&bytes).unwrap();
        let message = image.check_fits(1 << 30).unwrap_err().to_string();
        assert!(message.contains(what), "{message}");
    }
}

#[test]
fn areas_of_one_guest_do_not_overlap() {
    for areas in [
        &layout::PVH_DATA[..],
        &layout::LINUX_DATA,
        &layout::MULTIBOOT_DATA,
    ] {
        let mut all = [areas, &layout::PC_DATA].concat();
        all.sort_by_key(|(area, _)| area.start);
        for pair in all.windows(2) {
            assert!(pair[0].0.end <= pair[1].0.start, "{pair:?}");
        }
    }
}

#[test]
fn code_is_read_by_linear_address() {
    let bytes = multiboot_elf();
    let image = Image::identify(&bytes).unwrap();
    assert_eq!(image.code(&bytes, 0x10_000c, 2), Some(&[0x90, 0x90][..]));
    assert_eq!(image.code(&bytes, 0x10_001f, 2), None, "not in the file");
    assert_eq!(image.code(&bytes, 0, 1), None);
    let bytes = bzimage();
    let packed = Image::identify(&bytes).unwrap();
    assert_eq!(packed.code(&bytes, 0x10_0000, 1), None);
}

/// What holds for every image that is let through.
fn assert_sound(bytes: &[u8], image: &Image) {
    for segment in image.segments() {
        assert!(segment.file.end <= bytes.len());
        assert!(segment.mem_bytes >= segment.file.len() as u64);
    }
    let _ = image.check_fits(1 << 30);
    let _ = image.code(bytes, 0x10_0000, 4);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn flipped_bytes_are_refused_or_sound(
        which in 0_usize..5,
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = [pvh(), linux(), bzimage(), multiboot_elf(), multiboot_flat()]
            .into_iter()
            .nth(which)
            .unwrap_or_default();
        for (at, byte) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= byte;
        }
        if let Ok(image) = Image::identify(&bytes) {
            assert_sound(&bytes, &image);
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000), mark in 0_u8..4) {
        let mut bytes = bytes;
        let (at, magic): (usize, &[u8]) = match mark {
            0 => (0, b"\x7fELF\x01\x01\x01"),
            1 => (0, b"\x7fELF\x02\x01\x01"),
            2 => (0x1fe, b"\x55\xaa\xeb\x6aHdrS"),
            _ => (0, b""),
        };
        if let Some(room) = bytes.get_mut(at..at + magic.len()) {
            room.copy_from_slice(magic);
        }
        if let Ok(image) = Image::identify(&bytes) {
            assert_sound(&bytes, &image);
        }
    }
}
