//! Files made to do harm: refused with a sentence, without a panic and without much memory.

mod costs;
mod map;

use zerocopy::IntoBytes;

use super::header::{HEADER_BYTES, Header};
use super::limits::{PAGE, SECTION_BYTES_MAX};
use super::memory_map::{Chunk, MemoryMap};
use super::table::{RawEntry, sections_start};
use super::{MemoryRegion, Metadata};

/// A file in which every CRC is right, whatever else it says.
#[derive(Clone, Debug)]
struct Forged {
    /// Table entries as the test wants them, and their content.
    sections: Vec<(RawEntry, Vec<u8>)>,
    memory_pages: usize,
}

/// A kind that this vmm does not know, and that the next ones do not get.
const NEWER: u32 = 999;

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
    let mut unknown = entry(NEWER, b"from the future");
    assert_eq!(
        Forged::with(unknown.clone()).refusal(),
        format!(
            "section {NEWER} is not known to this vmm ({}); it was written by vmm 9.8.7; use that version",
            env!("CARGO_PKG_VERSION")
        )
    );
    unknown.0.flags = 1.into();
    let bytes = Forged::with(unknown).bytes();
    let read = Metadata::from_bytes(&bytes).unwrap();
    assert_eq!(read.sections().len(), 3);
    assert_eq!(
        read.sections()[1].label.to_string(),
        format!("kind {NEWER}, instance 0")
    );
}

#[test]
fn a_skipped_section_is_checked_all_the_same() {
    let mut unknown = entry(NEWER, b"from the future");
    unknown.0.flags = 1.into();
    unknown.0.crc32 = 1.into();
    let text = Forged::with(unknown).refusal();
    assert!(
        text.starts_with(&format!("section 1 (kind {NEWER}, instance 0): CRC ")),
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
