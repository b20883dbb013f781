//! No damage goes unseen.

use std::fs;

use super::test_machine::{Folder, PAGE, fill_page, ignore, memory, open, save};
use super::{CheckedSnapshot, Fault, HeaderFault, Metadata};

/// A small snapshot and where its memory begins: of 16 pages, the second and third have data.
fn small(folder: &Folder) -> (Vec<u8>, usize) {
    let path = folder.file("snapshot.vmm");
    let memory = memory(&[(0x10_0000, 16 * PAGE)]);
    fill_page(&memory, 0x10_0000 + PAGE, 1);
    fill_page(&memory, 0x10_0000 + 2 * PAGE, 1);
    save(&path, &memory).unwrap();
    let start = open(&path).memory_regions()[0].file_offset;
    (fs::read(&path).unwrap(), usize::try_from(start).unwrap())
}

#[test]
fn a_damaged_byte_of_state_is_refused_wherever_it_is() {
    let (good, memory_start) = small(&Folder::new());
    Metadata::from_bytes(&good).unwrap();
    for index in 0..memory_start {
        for flip in [0x01, 0x80, 0xff] {
            let mut bad = good.clone();
            bad[index] ^= flip;
            let read = Metadata::from_bytes(&bad);
            assert!(read.is_err(), "byte {index} ^ {flip:#x}");
        }
    }
}

#[test]
fn a_damaged_byte_of_memory_is_found_by_verify() {
    let folder = Folder::new();
    let (good, memory_start) = small(&folder);
    let path = folder.file("bad.vmm");
    // In holes, in data, at the ends of either.
    let all = good.len() - memory_start;
    for offset in (0..all)
        .step_by(1021)
        .chain([4095, 4096, 12287, 12288, all - 1])
    {
        let mut bad = good.clone();
        bad[memory_start + offset] ^= 0x10;
        fs::write(&path, bad).unwrap();
        let snapshot = CheckedSnapshot::open(&path).unwrap();
        let error = snapshot.verify_memory(&mut ignore).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("bad.vmm: memory at 0x100000 (chunk 0): CRC "),
            "{text}"
        );
        assert!(text.ends_with("; the file is damaged"), "{text}");
    }
}

#[test]
fn a_byte_in_a_chunk_that_is_all_hole_is_found_by_verify() {
    let folder = Folder::new();
    let path = folder.file("snapshot.vmm");
    save(&path, &memory(&[(0, 3 << 20)])).unwrap();
    let start = open(&path).memory_regions()[0].file_offset;
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    let at = start + (1 << 20) + 5;
    std::os::unix::fs::FileExt::write_all_at(&file, &[1], at).unwrap();
    let snapshot = CheckedSnapshot::open(&path).unwrap();
    let text = snapshot.verify_memory(&mut ignore).unwrap_err().to_string();
    assert!(
        text.contains("memory at 0x100000 (chunk 1): CRC "),
        "{text}"
    );
}

#[test]
fn a_file_cut_off_anywhere_says_so() {
    let (good, _) = small(&Folder::new());
    for bytes in 0..good.len() {
        match Metadata::from_bytes(&good[..bytes]) {
            Err(Fault::Header(HeaderFault::Short(_))) if bytes < 64 => {}
            Err(Fault::Header(HeaderFault::Length { found, expected })) => {
                assert_eq!((found, expected), (bytes as u64, good.len() as u64));
            }
            other => panic!("cut to {bytes}: {other:?}"),
        }
    }
    let mut longer = good;
    longer.push(0);
    assert!(Metadata::from_bytes(&longer).is_err());
}

#[test]
fn a_damaged_section_is_named_with_both_crcs() {
    let folder = Folder::new();
    let (mut bytes, _) = small(&folder);
    let good = Metadata::from_bytes(&bytes).unwrap();
    let vcpu = good.sections()[4];
    bytes[usize::try_from(vcpu.offset).unwrap()] ^= 1;
    let path = folder.file("bad.vmm");
    fs::write(&path, &bytes).unwrap();
    let start = usize::try_from(vcpu.offset).unwrap();
    let content = &bytes[start..start + usize::try_from(vcpu.bytes).unwrap()];
    assert_eq!(
        CheckedSnapshot::open(&path).unwrap_err().to_string(),
        format!(
            "{}: section 4 (vcpu 1): CRC {:08x} expected {:08x}; the file is damaged, \
             nothing was restored",
            path.display(),
            crc32fast::hash(content),
            vcpu.crc32
        )
    );
}
