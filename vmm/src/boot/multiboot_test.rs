use super::super::test_images::{
    Elf32, MULTIBOOT_GPA as GPA, flat_image, multiboot_elf as valid_elf,
    multiboot_flat as valid_flat, multiboot_header as header,
};
use super::*;
use proptest::prelude::*;

fn check(bytes: &[u8]) -> Result<Image, Error> {
    Image::check(bytes, find_header(bytes).unwrap())
}

/// The one line that `bytes` is refused with.
fn refusal(bytes: &[u8]) -> String {
    let message = check(bytes).unwrap_err().to_string();
    assert!(!message.contains('\n'));
    message
}

#[test]
fn an_elf_is_loaded_by_its_program_headers() {
    let mut elf = Elf32::valid();
    elf.programs.push((1, 0x20_0000, 0x20_0000, 32));
    // Not loaded: a note, and a segment without memory.
    elf.programs.push((4, 0, 0, 32));
    elf.programs.push((1, 0x30_0000, 0x30_0000, 0));
    let image = check(&elf.bytes()).unwrap();
    assert_eq!(image.entry, GPA + 12);
    let read: Vec<_> = image
        .segments
        .iter()
        .map(|segment| (segment.gpa, segment.file.len(), segment.mem_bytes))
        .collect();
    assert_eq!(read, [(GPA.into(), 32, 0x3000), (0x20_0000, 32, 32)]);
}

/// As QEMU's loader does where a kernel is linked high and loaded low.
#[test]
fn a_virtual_entry_point_is_made_physical() {
    let mut elf = Elf32::valid();
    elf.programs[0].2 = 0xc010_0000;
    elf.entry = 0xc010_000c;
    assert_eq!(check(&elf.bytes()).unwrap().entry, GPA + 12);
}

#[test]
fn a_flat_image_is_loaded_by_the_headers_addresses() {
    let bytes = valid_flat();
    let image = check(&bytes).unwrap();
    assert_eq!(image.entry, GPA + 48);
    let segment = &image.segments[0];
    assert_eq!(
        (segment.gpa, &segment.file),
        (GPA.into(), &(0..bytes.len()))
    );
    assert_eq!(segment.mem_bytes, bytes.len() as u64);

    // From the header on, 40 bytes of the file and zeros up to 0x100.
    let part = flat_image(ADDRESSES, [GPA, GPA, GPA + 40, GPA + 0x100, GPA + 32]);
    let segment = &check(&part).unwrap().segments[0];
    assert_eq!((&segment.file, segment.mem_bytes), (&(16..56), 0x100));
}

#[test]
fn address_fields_that_contradict_each_other_are_named() {
    for (addresses, part) in [
        ([GPA, GPA + 4, 0, 0, GPA], "load_addr 0x100004"),
        ([GPA + 20, GPA, 0, 0, GPA], "header_addr 0x100014"),
        ([GPA, GPA, GPA - 1, 0, GPA], "load_end_addr 0xfffff"),
        ([GPA, GPA, GPA + 8, GPA + 7, GPA], "bss_end_addr 0x100007"),
        ([GPA, GPA, GPA + 200, 0, GPA], "truncated"),
        ([GPA, GPA, GPA, 0, GPA], "without anything to load"),
        ([GPA, GPA, 0, 0, GPA + 200], "entry point 0x1000c8 is in no"),
        (
            [u32::MAX - 7, u32::MAX - 7, 0, 0, u32::MAX],
            "runs past 4 GiB",
        ),
    ] {
        let message = refusal(&flat_image(ADDRESSES, addresses));
        assert!(message.contains(part), "no `{part}` in {message}");
    }
}

#[test]
fn features_we_lack_are_refused_and_wishes_are_not() {
    for flags in [PAGE_ALIGN, MEMORY_INFO, VIDEO, 1 << 17] {
        let mut elf = Elf32::valid();
        elf.flags = flags;
        assert!(check(&elf.bytes()).is_ok(), "{flags:#x}");
    }
    let mut elf = Elf32::valid();
    elf.flags = PAGE_ALIGN | 1 << 5;
    assert!(refusal(&elf.bytes()).contains("asks for features 0x20"));
}

#[test]
fn elfs_that_qemu_refuses_are_refused() {
    let mut elf = Elf32::valid();
    elf.machine = 62;
    assert!(refusal(&elf.bytes()).contains("objcopy -O elf32-i386"));
    elf.machine = 40;
    assert!(refusal(&elf.bytes()).contains("built for machine 40"));
    let mut bytes = valid_elf();
    bytes[4] = 2;
    assert!(refusal(&bytes).contains("a 64-bit ELF"));
    let mut bytes = header(0);
    bytes.extend([0; 64]);
    assert!(refusal(&bytes).contains("not an ELF"));
}

#[test]
fn segments_that_cannot_be_are_refused() {
    let mut elf = Elf32::valid();
    elf.programs.push((1, GPA + 0x2fff, GPA, 32));
    assert!(refusal(&elf.bytes()).contains("overlap at 0x102fff"));
    let mut elf = Elf32::valid();
    elf.programs.push((1, 0xffff_fff0, 0, 32));
    assert!(refusal(&elf.bytes()).contains("runs past 4 GiB"));
    let mut elf = Elf32::valid();
    elf.entry = 4;
    assert!(refusal(&elf.bytes()).contains("entry point 0x4 is in no segment"));
    elf.programs.clear();
    let mut bytes = elf.bytes();
    bytes.splice(52..52, header(0));
    assert!(check(&bytes).is_err());
}

#[test]
fn an_elf_cut_anywhere_is_refused() {
    let bytes = valid_elf();
    let header = find_header(&bytes).unwrap();
    for length in 5..bytes.len() {
        let refused = Image::check(&bytes[..length], header);
        assert!(refused.is_err(), "cut at {length}");
    }
}

#[test]
fn the_header_is_sought_in_the_first_8_kib_on_words() {
    let image = |at: usize| [vec![0; at], header(0), vec![0; 9000]].concat();
    for at in [0, 4, 8180] {
        assert_eq!(find_header(&image(at)).unwrap().at, at);
    }
    for at in [1, 2, 8184, 8192] {
        assert_eq!(find_header(&image(at)), None, "{at}");
    }
    // A word of the magic alone is no header.
    let mut wrong = header(0);
    wrong[8] ^= 1;
    wrong.extend(header(PAGE_ALIGN));
    assert_eq!(find_header(&wrong).unwrap().at, 12);
}

/// What holds for every image that is let through.
fn assert_sound(bytes: &[u8], image: &Image) {
    for segment in &image.segments {
        assert!(segment.file.end <= bytes.len());
        assert!(segment.mem_bytes >= segment.file.len() as u64);
        assert!(segment.end() <= 1 << 32);
    }
    for pair in image.segments.windows(2) {
        assert!(pair[0].end() <= pair[1].gpa);
    }
    let entry = u64::from(image.entry);
    assert!(image.segments.iter().any(|s| s.holds(entry, 1)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn flipped_bytes_are_refused_or_sound(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        flat: bool,
    ) {
        let mut bytes = if flat { valid_flat() } else { valid_elf() };
        let header = find_header(&bytes).unwrap();
        for (at, byte) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= byte;
        }
        for header in [Some(header), find_header(&bytes)].into_iter().flatten() {
            if let Ok(image) = Image::check(&bytes, header) {
                assert_sound(&bytes, &image);
            }
        }
    }

    #[test]
    fn random_addresses_never_panic(flags: u32, addresses: [u32; 5]) {
        let bytes = flat_image(flags & !REQUIRED | ADDRESSES, addresses);
        if let Ok(image) = check(&bytes) {
            assert_sound(&bytes, &image);
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), at in 0_usize..50) {
        let mut bytes = bytes;
        let at = bytes.len().min(at) / 4 * 4;
        bytes.splice(at..at, header(ADDRESSES));
        let _ = check(&bytes);
    }
}
