use super::super::Platform;
use super::super::memory_map::{MemoryKind, memory_map};
use super::*;
use vm_memory::Bytes;

const EMPTY: ZeroPage<'_> = ZeroPage {
    setup_header: &[],
    memory_ranges: &[],
    command_line_bytes: 0,
    initrd: None,
    rsdp: layout::ACPI,
};

fn memory() -> GuestMemoryMmap {
    GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 2 << 20)]).unwrap()
}

/// The page, as the kernel reads it.
fn written(page: &ZeroPage<'_>) -> Vec<u8> {
    let memory = memory();
    let gpa = page.write(&memory).unwrap();
    assert_eq!(gpa, layout::ZERO_PAGE);
    let mut bytes = vec![0; 4096];
    memory.read_slice(&mut bytes, GuestAddress(gpa)).unwrap();
    bytes
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

#[test]
fn a_vmlinux_is_told_all_by_the_published_offsets() {
    let ram = 0..1 << 30;
    let map = memory_map(std::slice::from_ref(&ram), Platform::Pc);
    let initrd = PlacedModule {
        gpa: 0x3f00_0000,
        bytes: 1234,
        command_line: String::new(),
    };
    let page = written(&ZeroPage {
        memory_ranges: &map,
        initrd: Some(&initrd),
        command_line_bytes: 9,
        ..EMPTY
    });
    assert_eq!(u64_at(&page, 0x70), layout::ACPI, "acpi_rsdp_addr");
    assert_eq!(&page[0x1fe..0x200], &[0x55, 0xaa]);
    assert_eq!(&page[0x202..0x206], b"HdrS");
    assert_eq!(page[0x210], 0xff, "type_of_loader");
    assert_eq!(u32_at(&page, 0x218), 0x3f00_0000, "ramdisk_image");
    assert_eq!(u32_at(&page, 0x21c), 1234, "ramdisk_size");
    assert_eq!(u32_at(&page, 0x228), 0x2_0000, "cmd_line_ptr");
    assert_eq!(page[0x1ef], 0, "sentinel");
    let count = usize::from(page[0x1e8]);
    let read: Vec<MemoryRange> = (0..count)
        .map(|index| {
            let at = 0x2d0 + 20 * index;
            let start = u64_at(&page, at);
            let kind = match u32_at(&page, at + 16) {
                1 => MemoryKind::Ram,
                2 => MemoryKind::Reserved,
                kind => panic!("kind {kind}"),
            };
            MemoryRange {
                gpa: start..start + u64_at(&page, at + 8),
                kind,
            }
        })
        .collect();
    assert_eq!(read, map);
}

#[test]
fn a_bzimage_is_given_its_own_header_back() {
    let header: Vec<u8> = (0..0x7b).collect();
    let page = written(&ZeroPage {
        setup_header: &header,
        ..EMPTY
    });
    // What a loader fills in: type_of_loader, cmd_line_ptr.
    let filled = [0x210..0x211, 0x228..0x22c];
    for (at, byte) in (HEADER_AT..).zip(&header) {
        if !filled.iter().any(|range| range.contains(&at)) {
            assert_eq!(page[at], *byte, "at {at:#x}");
        }
    }
    assert_eq!(page[0x26c], 0, "nothing behind it");
}

#[test]
fn what_has_no_room_is_refused() {
    let range = MemoryRange {
        gpa: 0..1,
        kind: MemoryKind::Ram,
    };
    let map = vec![range; 129];
    let page = |entries: usize| ZeroPage {
        memory_ranges: &map[..entries],
        ..EMPTY
    };
    assert!(page(128).write(&memory()).is_ok());
    let refused = page(129).write(&memory()).unwrap_err().to_string();
    assert!(refused.contains("129 entries"));
    let initrd = PlacedModule {
        gpa: 1 << 32,
        bytes: 1,
        command_line: String::new(),
    };
    let page = ZeroPage {
        initrd: Some(&initrd),
        ..EMPTY
    };
    assert!(matches!(page.write(&memory()), Err(Error::Initrd { .. })));
}

#[test]
fn memory_that_ends_too_early_is_an_error() {
    let small = GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(0), 0x8000)]).unwrap();
    assert!(matches!(EMPTY.write(&small), Err(Error::ZeroPage(_))));
}
