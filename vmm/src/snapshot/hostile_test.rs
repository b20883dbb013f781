//! Files made to do harm: refused with a sentence, without a panic and without much memory.

use std::fs;

use proptest::prelude::*;
use zerocopy::IntoBytes;

use super::header::{HEADER_BYTES, Header};
use super::limits::{PAGE, SECTION_BYTES_MAX};
use super::memory_map::{Chunk, MemoryMap};
use super::table::{ENTRY_BYTES, RawEntry, sections_start};
use super::test_machine::{Folder, child, child_path};
use super::{CheckedSnapshot, MemoryRegion, Metadata};

/// A file in which every CRC is right, whatever else it says.
#[derive(Clone, Debug)]
struct Forged {
    /// Table entries as the test wants them, and their content.
    sections: Vec<(RawEntry, Vec<u8>)>,
    memory_pages: usize,
}

fn entry(kind: u32, content: &[u8]) -> (RawEntry, Vec<u8>) {
    let entry = RawEntry {
        kind: kind.into(),
        instance: 0.into(),
        version: 1.into(),
        flags: 0.into(),
        offset: 0.into(),
        bytes: (content.len() as u64).into(),
        crc32: crc32fast::hash(content).into(),
        reserved: 0.into(),
    };
    (entry, content.to_vec())
}

fn map(regions: &[(u64, u64, u64)]) -> MemoryMap {
    let regions: Vec<_> = regions
        .iter()
        .map(|&(gpa, bytes, file_offset)| MemoryRegion {
            gpa,
            bytes,
            file_offset,
        })
        .collect();
    let chunks = regions.iter().map(|region| region.bytes.div_ceil(1 << 20));
    let chunks = usize::try_from(chunks.sum::<u64>().min(100)).unwrap();
    let chunk = Chunk {
        hole: false,
        crc32: 0,
    };
    MemoryMap {
        chunk_bytes: 1 << 20,
        chunks: vec![chunk; chunks],
        regions,
    }
}

/// Two pages at offset 4096.
fn good_map() -> MemoryMap {
    map(&[(0, 8192, 4096)])
}

impl Forged {
    fn new(map: &MemoryMap) -> Self {
        let content = postcard::to_stdvec(map).unwrap();
        let mut forged = Self {
            sections: vec![entry(1, b"machine"), entry(6, &content)],
            memory_pages: 2,
        };
        forged.place();
        forged
    }

    fn with(section: (RawEntry, Vec<u8>)) -> Self {
        let mut forged = Self::new(&good_map());
        forged.sections.insert(1, section);
        forged.place();
        forged
    }

    fn place(&mut self) {
        let mut offset = sections_start(self.sections.len());
        for (entry, content) in &mut self.sections {
            entry.offset = offset.into();
            offset += content.len() as u64;
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; HEADER_BYTES];
        for (entry, _) in &self.sections {
            bytes.extend(entry.as_bytes());
        }
        let table_crc32 = crc32fast::hash(&bytes[HEADER_BYTES..]);
        for (_, content) in &self.sections {
            bytes.extend(content);
        }
        bytes.resize(bytes.len().next_multiple_of(PAGE), 0);
        bytes.resize(bytes.len() + self.memory_pages * PAGE, 0);
        let header = Header {
            section_count: u32::try_from(self.sections.len()).unwrap(),
            table_crc32,
            file_bytes: bytes.len() as u64,
            writer: "vmm 9.8.7".to_owned(),
        };
        bytes[..HEADER_BYTES].copy_from_slice(&header.to_bytes());
        bytes
    }

    fn refusal(&self) -> String {
        Metadata::from_bytes(&self.bytes()).unwrap_err().to_string()
    }
}

/// Changes the header and makes its CRC right again.
fn reheaded(change: impl FnOnce(&mut [u8])) -> Result<Metadata, String> {
    let mut bytes = Forged::new(&good_map()).bytes();
    change(&mut bytes);
    let crc = crc32fast::hash(&bytes[..60]);
    bytes[60..64].copy_from_slice(&crc.to_le_bytes());
    Metadata::from_bytes(&bytes).map_err(|fault| fault.to_string())
}

#[test]
fn an_honest_forgery_is_read() {
    let bytes = Forged::new(&good_map()).bytes();
    assert_eq!(Metadata::from_bytes(&bytes).unwrap().writer(), "vmm 9.8.7");
    reheaded(|_| {}).unwrap();
}

#[test]
fn a_newer_format_names_its_writer() {
    let newer = reheaded(|bytes| bytes[8] = 2).unwrap_err();
    assert_eq!(
        newer,
        format!(
            "has format version 2, but {} reads version 1; it was written by vmm 9.8.7; \
             use that version",
            super::THIS_WRITER
        )
    );
}

#[test]
fn a_header_with_a_good_crc_can_lie_in_no_field() {
    for (at, value) in [
        (12, 65),
        (16, 0),
        (16, 3),
        (19, 0xff),
        (24, 1),
        (32, 0x1b),
        (59, b'x'),
    ] {
        assert!(reheaded(|bytes| bytes[at] = value).is_err(), "byte {at}");
    }
}

#[test]
fn an_unknown_section_is_refused_by_number_or_skipped_if_it_is_optional() {
    let mut unknown = entry(9, b"from the future");
    assert_eq!(
        Forged::with(unknown.clone()).refusal(),
        format!(
            "section 9 is not known to this vmm ({}); it was written by vmm 9.8.7; use that version",
            env!("CARGO_PKG_VERSION")
        )
    );
    unknown.0.flags = 1.into();
    let bytes = Forged::with(unknown).bytes();
    let read = Metadata::from_bytes(&bytes).unwrap();
    assert_eq!(read.sections().len(), 3);
    assert_eq!(read.sections()[1].label.to_string(), "kind 9, instance 0");
}

#[test]
fn a_skipped_section_is_checked_all_the_same() {
    let mut unknown = entry(9, b"from the future");
    unknown.0.flags = 1.into();
    unknown.0.crc32 = 1.into();
    let text = Forged::with(unknown).refusal();
    assert!(
        text.starts_with("section 1 (kind 9, instance 0): CRC "),
        "{text}"
    );
}

#[test]
fn a_newer_content_is_refused_or_skipped_likewise() {
    let mut newer = entry(3, b"clock");
    newer.0.version = 2.into();
    let text = Forged::with(newer.clone()).refusal();
    assert!(
        text.starts_with("section 1 (clock) has version 2, but "),
        "{text}"
    );
    newer.0.flags = 1.into();
    let read = Metadata::from_bytes(&Forged::with(newer).bytes()).unwrap();
    assert_eq!(read.section(super::SectionKind::Clock, 0), None);
}

#[test]
fn a_section_can_be_there_once() {
    let text = Forged::with(entry(1, b"machine")).refusal();
    assert!(
        text.starts_with("section 1 (machine) is there twice"),
        "{text}"
    );
}

#[test]
fn a_section_lies_behind_the_one_before_it() {
    let good = Forged::with(entry(2, b"host"));
    let offset = good.sections[1].0.offset.get();
    for lie in [
        0,
        64,
        offset - 1,
        offset + 1,
        4096,
        1 << 40,
        1 << 63,
        u64::MAX,
    ] {
        let mut bad = good.clone();
        bad.sections[1].0.offset = lie.into();
        let text = bad.refusal();
        assert!(text.starts_with("section 1 (host): its offset"), "{text}");
    }
}

#[test]
fn a_section_has_no_more_bytes_than_the_file() {
    let good = Forged::with(entry(2, b"host"));
    for lie in [SECTION_BYTES_MAX, SECTION_BYTES_MAX + 1, 1 << 63, u64::MAX] {
        let mut bad = good.clone();
        // The last one, as those behind it would not be where they must be.
        bad.sections[2].0.bytes = lie.into();
        let text = bad.refusal();
        assert!(text.contains("(memory map): its length"), "{text}");
    }
    let mut bad = good;
    bad.sections[1].0.bytes = 5.into();
    assert!(bad.refusal().contains("(memory map): its offset"));
}

#[test]
fn flags_and_reserved_bits_are_what_version_1_has() {
    let mut flags = entry(2, b"host");
    flags.0.flags = 2.into();
    let mut reserved = entry(2, b"host");
    reserved.0.reserved = 1.into();
    let mut version = entry(2, b"host");
    version.0.version = 0.into();
    for bad in [flags, reserved, version] {
        let text = Forged::with(bad).refusal();
        assert!(text.contains("is not as format version 1 has it"), "{text}");
    }
}

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

#[test]
fn bytes_behind_a_content_are_refused() {
    let mut forged = Forged::new(&good_map());
    let mut content = postcard::to_stdvec(&good_map()).unwrap();
    content.push(0);
    forged.sections[1] = entry(6, &content);
    forged.place();
    let text = forged.refusal();
    assert!(
        text.starts_with("section 1 (memory map): 1 bytes follow"),
        "{text}"
    );
}

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
    let test = "snapshot::hostile_test::child_opens_every_file";
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
