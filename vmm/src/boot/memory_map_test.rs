use super::*;
use proptest::prelude::*;
use std::slice;

fn row(start: u64, end: u64, kind: MemoryKind) -> MemoryRange {
    MemoryRange {
        gpa: start..end,
        kind,
    }
}

#[test]
fn a_bare_machine_reserves_its_tables_alone() {
    use MemoryKind::{Ram, Reserved};
    let expected = [
        row(0, 0x9_fc00, Ram),
        row(0xe_0000, 0x10_0000, Reserved),
        row(0x10_0000, 2 << 20, Ram),
    ];
    let ram = 0..2 << 20;
    assert_eq!(memory_map(slice::from_ref(&ram), Platform::Bare), expected);
}

#[test]
fn a_pc_reserves_its_ebda_too() {
    use MemoryKind::{Ram, Reserved};
    let expected = [
        row(0, 0x9_fc00, Ram),
        row(0x9_fc00, 0xa_0000, Reserved),
        row(0xe_0000, 0x10_0000, Reserved),
        row(0x10_0000, 0xc000_0000, Ram),
        row(1 << 32, 5 << 30, Ram),
    ];
    let ram = [0..0xc000_0000, 1 << 32..5 << 30];
    assert_eq!(memory_map(&ram, Platform::Pc), expected);
}

#[test]
fn what_is_written_below_1_mib_and_stays_is_no_ram() {
    for platform in [Platform::Bare, Platform::Pc] {
        let ram = 0..1 << 30;
        let map = memory_map(slice::from_ref(&ram), platform);
        for (area, what) in layout::PC_DATA {
            // The BIOS data area is below RAM's use by convention.
            if area.start == layout::BIOS_DATA {
                continue;
            }
            let ram = |range: &&MemoryRange| range.kind == MemoryKind::Ram;
            for range in map.iter().filter(ram) {
                let apart = area.end <= range.gpa.start || range.gpa.end <= area.start;
                assert!(apart, "{what} in {range:x?}");
            }
        }
    }
}

proptest! {
    #[test]
    fn ranges_ascend_and_none_is_empty(pages in 512_u64..1 << 22) {
        let size = crate::memory::MemorySize::from_bytes(pages << 12).unwrap();
        let map = memory_map(&size.ranges(), Platform::Pc);
        for range in &map {
            prop_assert!(!range.gpa.is_empty());
        }
        for pair in map.windows(2) {
            prop_assert!(pair[0].gpa.end <= pair[1].gpa.start);
        }
        let ram: u64 = map
            .iter()
            .filter(|range| range.kind == MemoryKind::Ram)
            .map(|range| range.gpa.end - range.gpa.start)
            .sum();
        // All but the BIOS area.
        prop_assert_eq!(ram, size.bytes() - (layout::HIGH_RAM - layout::LOW_RAM_END));
    }
}
