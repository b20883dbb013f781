//! Memory maps that lie.

use super::super::limits::PAGE;
use super::super::memory_map::MemoryMap;
use super::{Forged, good_map, map};

#[test]
fn a_snapshot_without_memory_map_is_refused() {
    let mut forged = Forged::new(&good_map());
    forged.sections.pop();
    forged.place();
    assert!(forged.refusal().starts_with("has no section memory map"));
}

#[test]
fn a_memory_map_can_lie_in_no_field() {
    let page = PAGE as u64;
    for (regions, cause) in [
        (vec![], "0 regions"),
        (vec![(0, page, page); 65], "65 regions"),
        (vec![(1, page, page)], "not whole pages"),
        (vec![(0, page + 1, page)], "not whole pages"),
        (vec![(0, 0, page)], "not whole pages"),
        (vec![(u64::MAX - page + 1, page, page)], "not whole pages"),
        (vec![(1 << 52, page, page)], "not whole pages"),
        (vec![(0, u64::MAX - page + 1, page)], "not whole pages"),
        (
            vec![(0, 2 * page, page), (page, page, 3 * page)],
            "begins before",
        ),
        (
            vec![(page, page, page), (0, page, 2 * page)],
            "begins before",
        ),
        (
            vec![(0, page, page), (page, page, page)],
            "is at offset 0x1000",
        ),
        (vec![(0, 2 * page, 0)], "is at offset 0x0"),
        (vec![(0, 2 * page, page + 1)], "is at offset 0x1001"),
        (
            vec![(0, 2 * page, 1 << 63)],
            "is at offset 0x8000000000000000",
        ),
        (
            vec![(0, page, page)],
            "the regions end at 0x2000, the file at 0x3000",
        ),
        (vec![(0, 1 << 51, page)], "the regions end at "),
    ] {
        let text = Forged::new(&map(&regions)).refusal();
        assert!(text.starts_with("memory map: "), "{text}");
        assert!(text.contains(cause), "{text}, not {cause}");
    }
}

#[test]
fn chunks_are_as_many_as_memory_has() {
    for chunk_bytes in [0, 1, 2048, 4097, 3 << 20, 1 << 31, u32::MAX] {
        let bad = MemoryMap {
            chunk_bytes,
            ..good_map()
        };
        let text = Forged::new(&bad).refusal();
        assert!(text.contains("they are a power of two"), "{text}");
    }
    let mut few = good_map();
    few.chunks.clear();
    assert!(
        Forged::new(&few)
            .refusal()
            .contains("0 chunks for memory that has 1")
    );
    let mut lying = good_map();
    lying.chunks[0].hole = true;
    assert!(Forged::new(&lying).refusal().contains("chunk 0 is a hole"));
}
