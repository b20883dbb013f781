//! Saving and restoring touch no more memory than they must.

use std::os::unix::fs::MetadataExt;

use vm_memory::{Bytes, GuestAddress};

use super::CheckedSnapshot;
use super::test_machine::{Folder, PAGE, fill_page, memory, open, page, page_bytes, rss_kib, save};

const MIB: u64 = 1 << 20;

#[test]
fn memory_that_the_guest_never_used_is_neither_made_nor_written() {
    let folder = Folder::new();
    let path = folder.file("snapshot.vmm");
    let memory = memory(&[(0, 1024 * MIB)]);
    for gpa in [0, 300 * MIB, 1024 * MIB - PAGE] {
        fill_page(&memory, gpa, 1);
    }
    let before = rss_kib(&memory);
    let written = save(&path, &memory).unwrap();
    assert_eq!(rss_kib(&memory), before);
    assert_eq!(written.pages, 3);
    assert!(written.data_bytes < 64 << 10, "{written:?}");
    // 512 bytes each; file systems round up.
    assert!(path.metadata().unwrap().blocks() * 512 < MIB);
    open(&path);
}

#[test]
fn pages_that_are_zero_become_holes() {
    let folder = Folder::new();
    let path = folder.file("snapshot.vmm");
    let memory = memory(&[(0, 4 * MIB)]);
    for gpa in (0..4 * MIB).step_by(4096) {
        let bytes = [0; 4096];
        memory.write_slice(&bytes, GuestAddress(gpa)).unwrap();
    }
    // The last byte of a page counts.
    memory
        .write_slice(&[1], GuestAddress(MIB + PAGE - 1))
        .unwrap();
    assert_eq!(save(&path, &memory).unwrap().pages, 1);
    let restored = open(&path).map_memory().unwrap();
    assert_eq!(page(&restored, MIB), page(&memory, MIB));
}

#[test]
fn a_restore_reads_no_memory() {
    let folder = Folder::new();
    let path = folder.file("snapshot.vmm");
    let memory = memory(&[(0, 16 * MIB)]);
    for gpa in (0..16 * MIB).step_by(4096) {
        fill_page(&memory, gpa, 1);
    }
    save(&path, &memory).unwrap();
    let restored = CheckedSnapshot::open(&path).unwrap().map_memory().unwrap();
    assert_eq!(rss_kib(&restored), 0);
    // That the measure is one: a page that is used counts.
    assert_eq!(page(&restored, MIB), page_bytes(MIB, 1));
    assert!(rss_kib(&restored) >= 4);
}

#[test]
fn a_restored_memory_is_saved_without_being_read_in() {
    let folder = Folder::new();
    let (path, again) = (folder.file("snapshot.vmm"), folder.file("again.vmm"));
    let memory = memory(&[(0, 16 * MIB)]);
    for gpa in (0..8 * MIB).step_by(4096) {
        fill_page(&memory, gpa, 1);
    }
    save(&path, &memory).unwrap();
    let restored = open(&path).map_memory().unwrap();
    let written = save(&again, &restored).unwrap();
    assert_eq!(written.pages, 2048);
    assert_eq!(rss_kib(&restored), 0);
    assert_eq!(
        std::fs::read(&path).unwrap(),
        std::fs::read(&again).unwrap()
    );
}

#[test]
fn a_restored_memory_can_be_saved_over_its_own_file() {
    let folder = Folder::new();
    let path = folder.file("snapshot.vmm");
    let memory = memory(&[(0, 4 * MIB), (8 * MIB, MIB)]);
    for gpa in (0..MIB).step_by(4096) {
        fill_page(&memory, gpa, 1);
    }
    fill_page(&memory, 8 * MIB, 1);
    save(&path, &memory).unwrap();

    let restored = open(&path).map_memory().unwrap();
    // Over data, over data with zeros, into a hole, and looked at only.
    fill_page(&restored, 0, 2);
    let zeros = [0; 4096];
    restored.write_slice(&zeros, GuestAddress(PAGE)).unwrap();
    fill_page(&restored, 2 * MIB, 2);
    assert_eq!(page(&restored, 2 * PAGE), page_bytes(2 * PAGE, 1));
    assert_eq!(page(&restored, 3 * MIB), zeros);
    let written = save(&path, &restored).unwrap();
    assert_eq!(written.pages, 256 + 1);

    let expected = |gpa| match gpa {
        0 => page_bytes(0, 2),
        PAGE => zeros.to_vec(),
        gpa if gpa < MIB => page_bytes(gpa, 1),
        gpa if gpa == 2 * MIB => page_bytes(gpa, 2),
        gpa if gpa == 8 * MIB => page_bytes(gpa, 1),
        _ => zeros.to_vec(),
    };
    let second = open(&path).map_memory().unwrap();
    // The mapping of the first file, which has no name now, is what it was.
    for memory in [&second, &restored] {
        for gpa in (0..4 * MIB).chain(8 * MIB..9 * MIB).step_by(4096) {
            assert!(page(memory, gpa) == expected(gpa), "page at {gpa:#x}");
        }
    }
}

#[test]
fn what_a_restored_guest_writes_does_not_reach_the_file() {
    let folder = Folder::new();
    let path = folder.file("snapshot.vmm");
    let memory = memory(&[(0, MIB)]);
    fill_page(&memory, 0, 1);
    save(&path, &memory).unwrap();
    let before = std::fs::read(&path).unwrap();
    let restored = open(&path).map_memory().unwrap();
    for gpa in (0..MIB).step_by(4096) {
        fill_page(&restored, gpa, 2);
    }
    assert_eq!(std::fs::read(&path).unwrap(), before);
    open(&path);
}
