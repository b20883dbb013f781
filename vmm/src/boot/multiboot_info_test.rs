use super::super::Platform;
use super::super::memory_map::memory_map;
use super::*;

fn memory() -> GuestMemoryMmap {
    GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 2 << 20)]).unwrap()
}

fn u32_at(memory: &GuestMemoryMmap, gpa: u32) -> u32 {
    memory.read_obj(GuestAddress(gpa.into())).unwrap()
}

fn text_at(memory: &GuestMemoryMmap, gpa: u32) -> String {
    (gpa..)
        .map(|gpa| memory.read_obj::<u8>(GuestAddress(gpa.into())).unwrap())
        .take_while(|byte| *byte != 0)
        .map(char::from)
        .collect()
}

fn module(gpa: u64, bytes: u64, command_line: &str) -> PlacedModule {
    PlacedModule {
        gpa,
        bytes,
        command_line: command_line.to_owned(),
    }
}

#[test]
fn the_guest_finds_all_of_it_by_the_published_offsets() {
    let memory = memory();
    let map = memory_map(&[0..0xc000_0000, 1 << 32..5 << 30], Platform::Pc);
    let modules = [module(0x11_0000, 5, "env A=1"), module(0x11_1000, 0, "b")];
    let info = write(&memory, 0x9000, &map, "guest.elf one two", &modules).unwrap();

    assert_eq!(info, 0x9500);
    let field = |offset| u32_at(&memory, info + offset);
    assert_eq!(field(0), 0x24f, "flags");
    assert_eq!(field(4), 639, "KiB below 1 MiB");
    assert_eq!(field(8), (0xc000_0000 - 0x10_0000) / 1024, "KiB above");
    assert_eq!(field(12), 0x8000_ffff, "boot device");
    assert_eq!(text_at(&memory, field(16)), "guest.elf one two");
    assert_eq!(text_at(&memory, field(64)), "vmm", "loader name");

    assert_eq!(field(20), 2, "modules");
    let list = field(24);
    assert_eq!(u32_at(&memory, list), 0x11_0000);
    assert_eq!(u32_at(&memory, list + 4), 0x11_0005);
    assert_eq!(text_at(&memory, u32_at(&memory, list + 8)), "env A=1");
    assert_eq!(u32_at(&memory, list + 16), 0x11_1000);
    assert_eq!(u32_at(&memory, list + 20), 0x11_1000);
    assert_eq!(text_at(&memory, u32_at(&memory, list + 24)), "b");

    let (length, start) = (field(44), field(48));
    let mut read = vec![];
    let mut at = start;
    // Each entry says how many bytes follow its first word.
    while at < start + length {
        let word = |offset| u64::from(u32_at(&memory, at + offset));
        let base = word(4) | word(8) << 32;
        read.push((base..base + (word(12) | word(16) << 32), word(20)));
        at += u32_at(&memory, at) + 4;
    }
    let expected: Vec<_> = map
        .iter()
        .map(|range| (range.gpa.clone(), range.kind as u64))
        .collect();
    assert_eq!(read, expected);
}

#[test]
fn maps_and_command_lines_beyond_their_room_are_refused() {
    let range = MemoryRange {
        gpa: 0..1,
        kind: MemoryKind::Ram,
    };
    assert!(write(&memory(), 0x9000, &vec![range.clone(); 53], "", &[]).is_ok());
    let refused = write(&memory(), 0x9000, &vec![range; 54], "", &[]).unwrap_err();
    assert!(refused.to_string().contains("54 entries"));
    let refused = write(&memory(), 0x9000, &[], &"a".repeat(1 << 16), &[]).unwrap_err();
    assert!(refused.to_string().contains("65535 are the most"));
}

#[test]
fn without_memory_above_1_mib_there_is_none() {
    let memory = memory();
    let info = write(&memory, 0x9000, &[], "", &[]).unwrap();
    assert_eq!(u32_at(&memory, info + 8), 0);
    assert_eq!(u32_at(&memory, info + 20), 0, "modules");
}

fn image(segments: &[std::ops::Range<u64>]) -> Image {
    let segment = |gpa: &std::ops::Range<u64>| Segment {
        gpa: gpa.start,
        linear: gpa.start,
        file: 0..0,
        mem_bytes: gpa.end - gpa.start,
    };
    Image {
        entry: 0,
        segments: segments.iter().map(segment).collect(),
    }
}

#[test]
fn it_is_where_the_image_is_not() {
    let place = |segments: &[std::ops::Range<u64>]| place(&image(segments), 2 << 20).ok();
    assert_eq!(
        place(std::slice::from_ref(&(0x10_0000..0x10_1000))),
        Some(0x9000),
        "as QEMU has it"
    );
    assert_eq!(
        place(std::slice::from_ref(&(0x8000..0x1_7000))),
        Some(0x6000)
    );
    assert_eq!(
        place(std::slice::from_ref(&(0x7fff..0x1_7000))),
        Some(0x3_8000)
    );
    assert_eq!(
        place(std::slice::from_ref(&(0x6000..0x9_fc00))),
        Some(0x10_0000)
    );
    let all = 0x6000..0x9_fc00;
    assert_eq!(place(&[all.clone(), 0x10_0000..0x1f_e000]), Some(0x1f_e000));
    assert_eq!(place(&[all, 0x10_0000..0x1f_e001]), None);
}

#[test]
fn no_place_for_it_is_where_something_else_is_written() {
    for gpa in layout::MULTIBOOT_PLACES {
        let end = gpa + layout::MULTIBOOT_BYTES;
        for (area, what) in layout::MULTIBOOT_DATA.iter().chain(&layout::PC_DATA) {
            assert!(area.end <= gpa || end <= area.start, "{gpa:#x}: {what}");
        }
    }
}
