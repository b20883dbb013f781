use super::*;
use proptest::prelude::*;

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

/// The table's entries, its header checked.
fn entries(table: &[u8]) -> Vec<&[u8]> {
    assert_eq!(&table[..4], b"PCMP");
    assert_eq!(sum(table), 0, "checksum");
    let length = u16::from_le_bytes([table[4], table[5]]);
    assert_eq!(usize::from(length), table.len());
    assert_eq!(table[36..40], [0, 0, 0xe0, 0xfe], "local APIC");
    let mut rest = &table[44..];
    let mut entries = vec![];
    while let [kind, ..] = *rest {
        let bytes = if kind == PROCESSOR { 20 } else { 8 };
        let (entry, after) = rest.split_at(bytes);
        entries.push(entry);
        rest = after;
    }
    let count = u16::from_le_bytes([table[34], table[35]]);
    assert_eq!(usize::from(count), entries.len());
    entries
}

fn cpus(table: &[u8]) -> Vec<(u8, u8)> {
    let entries = entries(table).into_iter();
    entries
        .filter(|entry| entry[0] == PROCESSOR)
        .map(|entry| (entry[1], entry[3]))
        .collect()
}

#[test]
fn the_pointer_is_where_kernels_look_and_points_to_the_table() {
    let mp = MpTable::build(&[0]);
    assert_eq!(&mp.pointer[..4], b"_MP_");
    assert_eq!(sum(&mp.pointer), 0);
    assert_eq!(mp.pointer[4..8], [0, 0x80, 0xf, 0], "table at 0xf8000");
    assert_eq!(mp.pointer[8..10], [1, 4], "16 bytes, version 1.4");
    assert_eq!(mp.pointer[11..], [0; 5], "a table, no IMCR");
    // Last KiB of base memory, on 16 bytes.
    assert!((0x9_fc00..0xa_0000).contains(&MpTable::POINTER));
    assert_eq!(MpTable::POINTER % 16, 0);
}

#[test]
fn the_first_cpu_is_the_boot_processor() {
    let mp = MpTable::build(&[0, 1, 4]);
    assert_eq!(cpus(&mp.table), [(0, 3), (1, 1), (4, 1)]);
}

#[test]
fn ids_of_more_than_8_bits_have_no_entry() {
    let mp = MpTable::build(&[0, 254, 255, 256, 4095]);
    assert_eq!(cpus(&mp.table), [(0, 3), (254, 1)]);
}

#[test]
fn isa_interrupts_arrive_where_kvm_brings_them() {
    let mp = MpTable::build(&[0]);
    let interrupts: Vec<_> = entries(&mp.table)
        .into_iter()
        .filter(|entry| entry[0] == IO_INTERRUPT)
        .map(|entry| (entry[5], entry[7], entry[2]))
        .collect();
    assert_eq!(interrupts.len(), 15);
    assert_eq!(interrupts[0], (0, 2, 0), "the PIT at pin 2");
    assert!(interrupts.iter().all(|(irq, ..)| *irq != 2));
    for (irq, pin, flags) in &interrupts[1..] {
        assert_eq!(irq, pin);
        assert_eq!(*flags, if *irq == 9 { 0xd } else { 0 }, "IRQ {irq}");
    }
}

#[test]
fn the_pic_is_at_lint0_and_the_nmi_at_lint1_of_all() {
    let mp = MpTable::build(&[0, 1]);
    let lints: Vec<_> = entries(&mp.table)
        .into_iter()
        .filter(|entry| entry[0] == LOCAL_INTERRUPT)
        .map(|entry| (entry[1], entry[6], entry[7]))
        .collect();
    assert_eq!(lints, [(EXT_INT, 0xff, 0), (NMI, 0xff, 1)]);
}

#[test]
fn the_most_cpus_fit_its_room() {
    let ids: Vec<u32> = (0..4096).collect();
    let mp = MpTable::build(&ids);
    assert_eq!(cpus(&mp.table).len(), 255);
    assert!(mp.table.len() as u64 <= layout::MP_TABLE_BYTES);
}

proptest! {
    #[test]
    fn checksums_hold_whatever_the_ids(ids in prop::collection::vec(0_u32..400, 1..300)) {
        let mp = MpTable::build(&ids);
        let small = ids.iter().filter(|id| **id < 255).count();
        prop_assert_eq!(cpus(&mp.table).len(), small);
    }
}
