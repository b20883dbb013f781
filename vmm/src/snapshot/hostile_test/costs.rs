//! What any bytes cost whoever opens them.

use std::fs;

use proptest::prelude::*;
use zerocopy::IntoBytes;

use super::super::header::Header;
use super::super::limits::SECTION_BYTES_MAX;
use super::super::table::{ENTRY_BYTES, sections_start};
use super::super::test_machine::{Folder, child, child_path};
use super::super::{CheckedSnapshot, Metadata};
use super::{Forged, entry, good_map, reheaded};

/// Run by the test below; alone it does nothing.
#[test]
fn child_opens_every_file() {
    let Some(folder) = child_path() else { return };
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        println!("REFUSED: {}", CheckedSnapshot::open(&path).unwrap_err());
    }
}

/// Files as long as they say, all hole, so that nothing they claim is beyond their end.
#[test]
fn a_file_of_terabytes_costs_little_memory() {
    let folder = Folder::new();
    let whole = vec![0; usize::try_from(SECTION_BYTES_MAX).unwrap()];
    let crc32 = crc32fast::hash(&whole);
    let sections = |count: u32, bytes: u64| {
        let mut table = Vec::new();
        let mut offset = sections_start(count as usize);
        for instance in 0..count {
            let (mut entry, _) = entry(4, b"");
            entry.instance = instance.into();
            entry.bytes = bytes.into();
            entry.crc32 = crc32.into();
            entry.offset = offset.into();
            offset = offset.saturating_add(bytes);
            table.extend_from_slice(entry.as_bytes());
        }
        table
    };
    for (name, count, table) in [
        ("many", 8192, sections(8192, SECTION_BYTES_MAX)),
        ("seven", 7, sections(7, SECTION_BYTES_MAX)),
        ("long", 2, sections(2, 1 << 40)),
        ("count", u32::MAX, Vec::new()),
    ] {
        let header = Header {
            section_count: count,
            table_crc32: crc32fast::hash(&table),
            file_bytes: 1 << 42,
            writer: name.to_owned(),
        };
        let mut bytes = header.to_bytes().to_vec();
        bytes.extend(table);
        let path = folder.file(name);
        fs::write(&path, bytes).unwrap();
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        if let Err(error) = file.set_len(1 << 42) {
            eprintln!("skipped: no file of 4 TiB here: {error}");
            return;
        }
    }
    let script = "ulimit -v 400000; exec \"$0\" \"$@\"";
    let test = "snapshot::hostile_test::costs::child_opens_every_file";
    let output = child(&["sh", "-c", script], test, &folder.file(""))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(text.matches("REFUSED: ").count(), 4, "{text}{output:?}");
    for cause in [
        "more than a machine has",
        "has no section memory map",
        "its length",
        "number of",
    ] {
        assert!(text.contains(cause), "{text}");
    }
}

/// What an attacker would change: any field, with all CRCs made right again.
fn forgeries() -> impl Strategy<Value = Vec<u8>> {
    let field = (0..ENTRY_BYTES, any::<u8>());
    let content = proptest::collection::vec(any::<u8>(), 0..200);
    let changes = proptest::collection::vec((0..2_usize, field), 0..4);
    (
        changes,
        proptest::option::of(content),
        0..4_usize,
        any::<bool>(),
    )
        .prop_map(|(changes, content, memory_pages, in_map)| {
            let mut forged = Forged::new(&good_map());
            forged.memory_pages = memory_pages;
            match content {
                Some(content) => forged.sections[1] = entry(6, &content),
                None if in_map => {
                    let mut content = forged.sections[1].1.clone();
                    for (_, (at, value)) in &changes {
                        let at = at % content.len();
                        content[at] = *value;
                    }
                    forged.sections[1] = entry(6, &content);
                }
                None => {}
            }
            forged.place();
            for (section, (at, value)) in changes.iter().filter(|_| !in_map) {
                forged.sections[*section].0.as_mut_bytes()[*at] = *value;
            }
            forged.bytes()
        })
}

/// Reads `bytes`; if they pass, memory lies in the file as they say.
fn read(bytes: &[u8]) {
    if let Ok(read) = Metadata::from_bytes(bytes) {
        for region in &read.memory().regions {
            assert!(region.file_offset.is_multiple_of(4096));
            assert!(region.file_offset + region.bytes <= bytes.len() as u64);
        }
        let chunks = read.memory().placed_chunks().count();
        assert_eq!(chunks, read.memory().chunks.len());
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..5000)) {
        read(&bytes);
    }

    #[test]
    fn forgeries_never_panic(bytes in forgeries()) {
        read(&bytes);
    }

    #[test]
    fn headers_never_panic(fields in proptest::collection::vec((8..60_usize, any::<u8>()), 1..5)) {
        // The refusal or the metadata: either will do.
        let _ = reheaded(|bytes| for (at, value) in fields { bytes[at] = value });
    }

    #[test]
    fn a_good_file_with_some_bytes_changed_is_refused(
        changes in proptest::collection::vec((0..4096_usize, 1..=u8::MAX), 1..5),
    ) {
        let mut bytes = Forged::new(&good_map()).bytes();
        let good = bytes.clone();
        for (at, flip) in changes {
            bytes[at] ^= flip;
        }
        prop_assume!(bytes != good);
        prop_assert!(Metadata::from_bytes(&bytes).is_err());
    }
}
