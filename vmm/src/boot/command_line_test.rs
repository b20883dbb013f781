use super::*;

fn memory() -> GuestMemoryMmap {
    GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 2 << 20)]).unwrap()
}

#[test]
fn a_command_line_is_taken_up_to_its_room() {
    let memory = memory();
    let most = usize::try_from(ROOM).unwrap();
    assert_eq!(most, 65535);
    assert!(write(&memory, &"a".repeat(most), u64::MAX).is_ok());
    let refused = write(&memory, &"a".repeat(most + 1), u64::MAX).unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("has 65536 bytes; 65535 are the most")
    );
    let last: u8 = memory
        .read_obj(GuestAddress(
            layout::COMMAND_LINE + layout::COMMAND_LINE_BYTES - 1,
        ))
        .unwrap();
    assert_eq!(last, 0, "the NUL is in the room");
}

#[test]
fn a_guest_that_takes_less_is_not_given_more() {
    assert!(check("12345", 0, 5).is_ok());
    let refused = check("123456", 0, 5).unwrap_err().to_string();
    assert!(refused.contains("has 6 bytes; 5 are the most"), "{refused}");
}

#[test]
fn what_the_user_cannot_shorten_is_named() {
    let refused = check("123456", 4, 5).unwrap_err().to_string();
    assert!(
        refused.contains("has 6 bytes, of them 4 that this host makes necessary; 5 are the most"),
        "{refused}"
    );
}

#[test]
fn a_nul_would_end_it_early() {
    let refused = check("a\0b", 0, ROOM).unwrap_err();
    assert!(refused.to_string().contains("a NUL at byte 1"));
}

#[test]
fn an_earlier_longer_command_line_leaves_nothing_behind_its_end() {
    let memory = memory();
    write(&memory, "a long one", ROOM).unwrap();
    write(&memory, "short", ROOM).unwrap();
    let mut text = [0; 6];
    memory
        .read_slice(&mut text, GuestAddress(layout::COMMAND_LINE))
        .unwrap();
    assert_eq!(&text, b"short\0");
}
