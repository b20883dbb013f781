use super::super::Platform;
use super::super::memory_map::{MemoryKind, memory_map};
use super::*;
use vm_memory::Bytes;

const RSDP: u64 = layout::ACPI;

fn memory() -> GuestMemoryMmap {
    GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 2 << 20)]).unwrap()
}

fn u64_at(memory: &GuestMemoryMmap, gpa: u64) -> u64 {
    memory.read_obj(GuestAddress(gpa)).unwrap()
}

fn u32_at(memory: &GuestMemoryMmap, gpa: u64) -> u32 {
    memory.read_obj(GuestAddress(gpa)).unwrap()
}

#[test]
fn the_guest_finds_all_of_it_by_the_published_offsets() {
    let memory = memory();
    let map = memory_map(&[0..2 << 20, 1 << 32..5 << 30], Platform::Bare);
    let gpa = write(&memory, &map, "locks=2 seed=1", &[], RSDP).unwrap();

    assert_eq!(gpa, layout::START_INFO);
    assert_eq!(u32_at(&memory, gpa), 0x336e_c578);
    assert_eq!(u32_at(&memory, gpa + 4), 1, "version");
    assert_eq!(u64_at(&memory, gpa + 8), 0, "flags, modules");
    assert_eq!(u64_at(&memory, gpa + 32), RSDP);
    let mut text = [0; 15];
    let command_line = GuestAddress(u64_at(&memory, gpa + 24));
    memory.read_slice(&mut text, command_line).unwrap();
    assert_eq!(&text, b"locks=2 seed=1\0");

    let entries = u32_at(&memory, gpa + 48);
    let read: Vec<(u64, u64, u32)> = (0..u64::from(entries))
        .map(|index| {
            let entry = u64_at(&memory, gpa + 40) + 24 * index;
            let kind = u32_at(&memory, entry + 16);
            (u64_at(&memory, entry), u64_at(&memory, entry + 8), kind)
        })
        .collect();
    assert_eq!(
        read,
        [
            (0, 0x9_fc00, 1),
            (0xe_0000, 0x2_0000, 2),
            (0x10_0000, 0x10_0000, 1),
            (1 << 32, 1 << 30, 1),
        ]
    );
}

#[test]
fn a_memory_map_beyond_its_room_is_refused() {
    let range = MemoryRange {
        gpa: 0..1,
        kind: MemoryKind::Ram,
    };
    assert!(write(&memory(), &vec![range.clone(); 170], "", &[], RSDP).is_ok());
    let refused = write(&memory(), &vec![range; 171], "", &[], RSDP).unwrap_err();
    assert!(refused.to_string().contains("171 entries"));
}

#[test]
fn memory_that_ends_too_early_is_an_error() {
    let small = GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(0), 0x6000)]).unwrap();
    assert!(matches!(
        write(&small, &[], "", &[], RSDP),
        Err(Error::CommandLine(_))
    ));
}
