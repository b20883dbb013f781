//! The table of sections: 40 bytes each, behind the header.

use std::collections::BTreeSet;

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::header::HEADER_BYTES;
use super::limits::{METADATA_BYTES_MAX, SECTION_BYTES_MAX};
use super::{Label, ListedSection, Need, SectionName, THIS_WRITER};

const FLAG_OPTIONAL: u32 = 1;

/// One entry as it lies in the file.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct RawEntry {
    pub(super) kind: U32,
    pub(super) instance: U32,
    pub(super) version: U32,
    pub(super) flags: U32,
    pub(super) offset: U64,
    pub(super) bytes: U64,
    pub(super) crc32: U32,
    pub(super) reserved: U32,
}

/// Length of an entry.
pub(super) const ENTRY_BYTES: usize = size_of::<RawEntry>();
const _: () = assert!(ENTRY_BYTES == 40);

/// What is wrong with the table.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TableFault {
    /// The CRC differs.
    #[error(
        "table of sections: CRC {found:08x} expected {expected:08x}; the file is damaged, nothing was restored"
    )]
    Damaged {
        /// Of what is there.
        found: u32,
        /// Of what was written.
        expected: u32,
    },
    /// A field that no writer of this version sets so.
    #[error("{name}: its {field} is not as format version 1 has it; nothing was restored")]
    Field {
        /// Which section.
        name: SectionName,
        /// Which field of its entry.
        field: &'static str,
    },
    /// A section that this vmm does not know and must not skip.
    #[error(
        "section {kind} is not known to this vmm ({}); it was written by {writer}; use that version", env!("CARGO_PKG_VERSION")
    )]
    Unknown {
        /// Number of the kind.
        kind: u32,
        /// What wrote the file.
        writer: String,
    },
    /// A section with a content newer than this vmm.
    #[error(
        "{name} has version {version}, but {THIS_WRITER} knows {known}; it was written by {writer}; use that version"
    )]
    Newer {
        /// Which section.
        name: SectionName,
        /// Its version.
        version: u32,
        /// The newest known.
        known: u32,
        /// What wrote the file.
        writer: String,
    },
    /// Two sections of one kind and instance.
    #[error("{0} is there twice; nothing was restored")]
    Twice(SectionName),
    /// More than there can be.
    #[error(
        "table of sections: {0} bytes of state are more than a machine has; nothing was restored"
    )]
    TooLong(u64),
    /// Bytes between the last section and guest memory.
    #[error(
        "the bytes between state and memory are not zero; the file is damaged, nothing was restored"
    )]
    Padding,
}

/// Where the content of the first section begins.
pub(super) fn sections_start(count: usize) -> u64 {
    (HEADER_BYTES + count * ENTRY_BYTES) as u64
}

/// The table's bytes.
pub(super) fn to_bytes(sections: &[ListedSection]) -> Vec<u8> {
    sections
        .iter()
        .flat_map(|section| {
            let raw: [u8; ENTRY_BYTES] = zerocopy::transmute!(RawEntry::from(*section));
            raw
        })
        .collect()
}

/// Reads the table of a file that `writer` wrote. Sections lie behind it in its order and without
/// gaps, so no two overlap and each byte belongs to something with a CRC.
///
/// # Errors
/// Any entry that this vmm cannot or must not read.
pub(super) fn from_bytes(bytes: &[u8], writer: &str) -> Result<Vec<ListedSection>, TableFault> {
    let count = bytes.len() / ENTRY_BYTES;
    let mut end = sections_start(count);
    let mut seen = BTreeSet::new();
    let mut sections = Vec::with_capacity(count);
    for (index, raw) in bytes.chunks_exact(ENTRY_BYTES).enumerate() {
        let Ok(raw) = RawEntry::read_from_bytes(raw) else {
            continue;
        };
        let section = raw.check(index, end, writer)?;
        if !seen.insert(section.label) {
            return Err(TableFault::Twice(SectionName {
                index,
                label: section.label,
            }));
        }
        // Neither can overflow: the check has bounded the length.
        end += section.bytes;
        if end > METADATA_BYTES_MAX {
            return Err(TableFault::TooLong(end));
        }
        sections.push(section);
    }
    Ok(sections)
}

impl RawEntry {
    fn check(&self, index: usize, offset: u64, writer: &str) -> Result<ListedSection, TableFault> {
        let label = Label::from_numbers(self.kind.get(), self.instance.get());
        let name = SectionName { index, label };
        let field = |field| TableFault::Field { name, field };
        let need = match self.flags.get() {
            0 => Need::Required,
            FLAG_OPTIONAL => Need::Optional,
            _ => return Err(field("flags")),
        };
        let version = self.version.get();
        match label {
            Label::Known(..) if version == 0 => return Err(field("version")),
            Label::Known(kind, _) if version > kind.version() && need == Need::Required => {
                return Err(TableFault::Newer {
                    name,
                    version,
                    known: kind.version(),
                    writer: writer.to_owned(),
                });
            }
            Label::Unknown(kind, _) if need == Need::Required => {
                return Err(TableFault::Unknown {
                    kind,
                    writer: writer.to_owned(),
                });
            }
            Label::Known(..) | Label::Unknown(..) => {}
        }
        if self.reserved.get() != 0 {
            return Err(field("reserved word"));
        }
        if self.offset.get() != offset {
            return Err(field("offset"));
        }
        if self.bytes.get() > SECTION_BYTES_MAX {
            return Err(field("length"));
        }
        Ok(ListedSection {
            label,
            version,
            need,
            offset,
            bytes: self.bytes.get(),
            crc32: self.crc32.get(),
        })
    }
}

impl From<ListedSection> for RawEntry {
    fn from(section: ListedSection) -> Self {
        let (kind, instance) = match section.label {
            Label::Known(kind, instance) => (kind.number(), instance),
            Label::Unknown(kind, instance) => (kind, instance),
        };
        let flags = match section.need {
            Need::Required => 0,
            Need::Optional => FLAG_OPTIONAL,
        };
        Self {
            kind: kind.into(),
            instance: instance.into(),
            version: section.version.into(),
            flags: flags.into(),
            offset: section.offset.into(),
            bytes: section.bytes.into(),
            crc32: section.crc32.into(),
            reserved: 0.into(),
        }
    }
}
