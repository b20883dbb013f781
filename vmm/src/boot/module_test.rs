use super::*;
use proptest::prelude::*;

fn module(command_line: &str, content: &[u8]) -> Module {
    Module {
        command_line: command_line.to_owned(),
        content: content.to_vec(),
    }
}

fn memory() -> GuestMemoryMmap {
    GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 2 << 20)]).unwrap()
}

#[test]
fn modules_go_to_the_end_that_was_asked_for() {
    let room = 0x20_0010..0x30_0800;
    let low = place(&[1, 0x1001, 0, 5], &room, End::Low).unwrap();
    assert_eq!(low, [0x20_1000, 0x20_2000, 0x20_4000, 0x20_4000]);
    let high = place(&[1, 0x1001], &room, End::High).unwrap();
    assert_eq!(high, [0x2f_d000, 0x2f_e000]);
}

#[test]
fn modules_that_fit_exactly_fit_and_a_byte_more_does_not() {
    for end in [End::Low, End::High] {
        assert!(place(&[0x1000, 0x1000], &(0x1000..0x3000), end).is_ok());
        for (start, end_of_room) in [(0x1001, 0x3000), (0x1000, 0x2fff), (0x3000, 0x1000)] {
            let room = start..end_of_room;
            let refused = place(&[0x1000, 0x1000], &room, end).unwrap_err();
            let message = refused.to_string();
            assert!(message.contains("the initrd of 8192 bytes does not fit"));
            assert!(!message.contains('\n'));
        }
    }
}

#[test]
fn archives_of_a_linux_follow_one_another_on_4_bytes() {
    let one = vec![module("a", b"12345")];
    assert_eq!(joined(one.clone()), one);
    let two = joined(vec![module("a", b"12345"), module("b", b"67")]);
    assert_eq!(two, [module("", b"12345\0\0\x0067")]);
}

#[test]
fn contents_and_command_lines_read_back() {
    let memory = memory();
    let modules = [module("one a=1", b"content"), module("two", b"")];
    let placed = write(&memory, &modules, &[0x10_0000, 0x10_1000]).unwrap();
    let strings = write_strings(&memory, &placed).unwrap();
    assert_eq!(strings, [0x3_0000, 0x3_0008]);
    let mut text = [0; 12];
    memory
        .read_slice(&mut text, GuestAddress(strings[0]))
        .unwrap();
    assert_eq!(&text, b"one a=1\0two\0");
    let mut content = [0; 8];
    memory
        .read_slice(&mut content, GuestAddress(placed[0].gpa))
        .unwrap();
    assert_eq!((&content, placed[0].bytes), (b"content\0", 7));
}

#[test]
fn what_the_lists_have_no_room_for_is_refused() {
    let placed = |command_line: String| PlacedModule {
        gpa: 0,
        bytes: 0,
        command_line,
    };
    let room = usize::try_from(layout::MODULE_STRINGS_BYTES).unwrap();
    let fits = [placed("a".repeat(room - 1))];
    assert!(write_strings(&memory(), &fits).is_ok());
    let refused = write_strings(&memory(), &[placed("a".repeat(room))]).unwrap_err();
    assert!(refused.to_string().contains("more than 32768 bytes"));
    let refused = write_strings(&memory(), &[placed("a\0b".to_owned())]).unwrap_err();
    assert!(refused.to_string().contains("a NUL in its arguments"));

    let most = vec![placed(String::new()); layout::MODULES_MAX];
    assert_eq!(count(&most).unwrap(), 100);
    let refused = count(&[most, vec![placed(String::new())]].concat()).unwrap_err();
    assert_eq!(refused.to_string(), "101 initrds; 100 are the most");
}

#[test]
fn the_lists_have_room_for_the_most_modules() {
    let pvh = layout::PVH_MODULES + 32 * layout::MODULES_MAX as u64;
    assert!(pvh <= layout::MEMORY_MAP);
    let multiboot = layout::MULTIBOOT_MODULES + 16 * layout::MODULES_MAX as u64;
    assert!(multiboot <= layout::MULTIBOOT_BYTES);
}

proptest! {
    #[test]
    fn modules_never_overlap_and_never_leave_the_room(
        sizes in prop::collection::vec(prop_oneof![0_u64..0x4000, any::<u64>()], 0..8),
        start: u32,
        length: u32,
        high: bool,
    ) {
        let room = u64::from(start)..u64::from(start) + u64::from(length);
        let end = if high { End::High } else { End::Low };
        if let Ok(places) = place(&sizes, &room, end) {
            let mut free = room.start;
            for (&gpa, &bytes) in places.iter().zip(&sizes) {
                prop_assert_eq!(gpa % 4096, 0);
                prop_assert!(gpa >= free);
                free = gpa + bytes;
                prop_assert!(free <= room.end);
            }
        }
    }
}
