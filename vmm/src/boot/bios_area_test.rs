use super::*;

#[test]
fn kernels_find_ebda_serial_port_and_mp_table_by_the_bios_data_area() {
    let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 2 << 20)]).unwrap();
    write(&memory, &[0, 1]).unwrap();
    let word = |gpa| memory.read_obj::<u16>(GuestAddress(gpa)).unwrap();
    assert_eq!(word(0x400), 0x3f8);
    assert_eq!(word(0x40e), 0x9fc0);
    assert_eq!(word(0x413), 639);
    assert_eq!(word(0x9_fc00), 1, "KiB of EBDA");

    let mut pointer = [0; 16];
    let at = (0x9_fc00..0xa_0000)
        .step_by(16)
        .find(|gpa| {
            memory
                .read_slice(&mut pointer, GuestAddress(*gpa))
                .is_ok_and(|()| pointer.starts_with(b"_MP_"))
        })
        .unwrap();
    assert_eq!(at, MpTable::POINTER);
    let table = u32::from_le_bytes(pointer[4..8].try_into().unwrap());
    let mut signature = [0; 4];
    memory
        .read_slice(&mut signature, GuestAddress(table.into()))
        .unwrap();
    assert_eq!(&signature, b"PCMP");
}

#[test]
fn memory_that_ends_too_early_is_an_error() {
    let small = GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(0), 0x9_f000)]).unwrap();
    assert!(write(&small, &[0]).is_err());
}
