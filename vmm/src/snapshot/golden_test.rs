//! Snapshots of format version 1 are read for ever.

use std::fs;
use std::path::Path;

use super::test_machine::{Folder, PAGE, fill_page, ignore, memory, open, page, page_bytes};
use super::{Section, SectionKind, write};

/// Sections of bytes that no state uses, and 64 KiB of memory with two pages of data.
const GOLDEN: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../tests/golden/snapshot-v1.vmm"
);
const FORMAT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../docs/reference/snapshot-format.md"
);
/// Name of the writer and the CRC of the header: what may differ from version to version.
const WRITER: std::ops::Range<usize> = 32..64;

fn write_golden(path: &Path) {
    let memory = memory(&[(0x10_0000, 16 * PAGE)]);
    for index in [1, 15] {
        fill_page(&memory, 0x10_0000 + index * PAGE, 1);
    }
    let sections = vec![
        Section::new(SectionKind::Machine, 0, b"a machine".to_vec()),
        Section::new(SectionKind::Host, 0, b"its host".to_vec()),
        Section::new(SectionKind::Clock, 0, b"a clock".to_vec()),
        Section::encode(SectionKind::Vcpu, 0, &(0_u32, "halted")).unwrap(),
        Section::encode(SectionKind::Vcpu, 1, &(1_u32, "running")).unwrap(),
        Section::new(SectionKind::Devices, 0, b"devices".to_vec()),
    ];
    write(path, sections, &memory, &mut ignore).unwrap();
}

#[test]
fn the_golden_file_loads() {
    let snapshot = open(Path::new(GOLDEN));
    assert_eq!(snapshot.writer(), "vmm 0.1.0");
    assert_eq!(snapshot.sections().len(), 7);
    for (kind, content) in [
        (SectionKind::Machine, "a machine"),
        (SectionKind::Host, "its host"),
        (SectionKind::Clock, "a clock"),
        (SectionKind::Devices, "devices"),
    ] {
        assert_eq!(snapshot.section(kind, 0), Some(content.as_bytes()));
    }
    for (index, state) in [(0, "halted"), (1, "running")] {
        let vcpu: (u32, String) = snapshot.decode(SectionKind::Vcpu, index).unwrap();
        assert_eq!(vcpu, (index, state.to_owned()));
    }
    let memory = snapshot.map_memory().unwrap();
    for gpa in (0x10_0000..0x11_0000).step_by(4096) {
        let expected = match gpa {
            0x10_1000 | 0x10_f000 => page_bytes(gpa, 1),
            _ => vec![0; 4096],
        };
        assert!(page(&memory, gpa) == expected, "page at {gpa:#x}");
    }
}

#[test]
fn this_vmm_writes_the_same_bytes() {
    let folder = Folder::new();
    let path = folder.file("snapshot.vmm");
    write_golden(&path);
    let mut now = fs::read(&path).unwrap();
    let golden = fs::read(GOLDEN).unwrap();
    now[WRITER].copy_from_slice(&golden[WRITER]);
    assert!(now == golden, "the format has changed");
}

#[test]
fn the_documented_bytes_are_those_of_the_golden_file() {
    let golden = fs::read(GOLDEN).unwrap();
    let text = fs::read_to_string(FORMAT).unwrap();
    let mut next = 0;
    for line in text.lines() {
        // `0010  07 00 00 00  meaning`
        let Some((offset, rest)) = line.split_once("  ") else {
            continue;
        };
        let Ok(at) = usize::from_str_radix(offset, 16) else {
            continue;
        };
        let hex = rest.split("  ").next().unwrap();
        let bytes: Vec<_> = hex
            .split(' ')
            .map(|byte| u8::from_str_radix(byte, 16).expect(line))
            .collect();
        assert_eq!(bytes, golden[at..at + bytes.len()], "{line}");
        // State has no byte that is not explained.
        if at < 0x1000 {
            assert_eq!(at, next, "{line}");
            next = at + bytes.len();
        }
    }
    let last = open(Path::new(GOLDEN)).sections()[6];
    assert!(next as u64 > last.offset + last.bytes, "{next:#x}");
}

/// Writes the golden file where there is none; it is never replaced.
#[test]
#[ignore = "writes into the source"]
fn make_the_golden_file() {
    if !Path::new(GOLDEN).exists() {
        fs::create_dir_all(Path::new(GOLDEN).parent().unwrap()).unwrap();
        write_golden(Path::new(GOLDEN));
    }
}
