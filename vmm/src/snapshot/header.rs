//! The first 64 bytes. They mean the same in every version of the format, so that any vmm can say
//! what it has before it and who wrote it.

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::limits::SECTIONS_MAX;

/// Version of the format that this vmm writes, and the only one it reads.
pub const FORMAT_VERSION: u32 = 1;
/// What this vmm calls itself in the snapshots it writes.
pub const THIS_WRITER: &str = concat!("vmm ", env!("CARGO_PKG_VERSION"));

const MAGIC: [u8; 8] = *b"vmm.snap";
const WRITER_BYTES: usize = 28;
const _: () = assert!(THIS_WRITER.len() <= WRITER_BYTES);

/// The header as it lies in the file.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct RawHeader {
    magic: [u8; 8],
    version: U32,
    header_bytes: U32,
    section_count: U32,
    table_crc32: U32,
    file_bytes: U64,
    writer: [u8; WRITER_BYTES],
    crc32: U32,
}

/// Length of the header.
pub(super) const HEADER_BYTES: usize = size_of::<RawHeader>();
const _: () = assert!(HEADER_BYTES == 64);

/// What a header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Entries of the table that follows.
    pub(super) section_count: u32,
    /// CRC-32 of that table.
    pub(super) table_crc32: u32,
    /// Length of the file.
    pub(super) file_bytes: u64,
    /// What wrote it, printable ASCII.
    pub(super) writer: String,
}

/// What is wrong with a header.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum HeaderFault {
    /// Less than a header.
    #[error(
        "is {0} bytes long, less than a header; it is no snapshot of vmm or was cut off, nothing was restored"
    )]
    Short(u64),
    /// Another magic.
    #[error("is no snapshot of vmm, or its first bytes are damaged; nothing was restored")]
    NotASnapshot,
    /// The CRC differs.
    #[error(
        "header: CRC {found:08x} expected {expected:08x}; the file is damaged, nothing was restored"
    )]
    Damaged {
        /// Of what is there.
        found: u32,
        /// Of what was written.
        expected: u32,
    },
    /// A version this vmm does not know.
    #[error(
        "has format version {version}, but {THIS_WRITER} reads version {FORMAT_VERSION}; it was written by {writer}; use that version"
    )]
    Version {
        /// The file's.
        version: u32,
        /// What wrote it.
        writer: String,
    },
    /// A field that no writer of this version sets so.
    #[error("header: {0} is not as format version 1 has it; nothing was restored")]
    Field(&'static str),
    /// Longer or shorter than it was written.
    #[error(
        "is {found} bytes long, but was written with {expected}; it was cut off or has grown, nothing was restored"
    )]
    Length {
        /// What is there.
        found: u64,
        /// What was written.
        expected: u64,
    },
}

impl Header {
    /// The header's bytes, its CRC among them.
    pub(super) fn to_bytes(&self) -> [u8; HEADER_BYTES] {
        let mut writer = [0; WRITER_BYTES];
        for (to, from) in writer.iter_mut().zip(self.writer.bytes()) {
            *to = from;
        }
        let mut raw = RawHeader {
            magic: MAGIC,
            version: FORMAT_VERSION.into(),
            header_bytes: U32::new(64),
            section_count: self.section_count.into(),
            table_crc32: self.table_crc32.into(),
            file_bytes: self.file_bytes.into(),
            writer,
            crc32: 0.into(),
        };
        raw.crc32 = raw.sum().into();
        zerocopy::transmute!(raw)
    }

    /// Reads the header of a file that is `file_bytes` long.
    ///
    /// # Errors
    /// Anything but a header of this version, whole, of a file of that length.
    pub(super) fn from_bytes(
        bytes: &[u8; HEADER_BYTES],
        file_bytes: u64,
    ) -> Result<Self, HeaderFault> {
        let raw: RawHeader = zerocopy::transmute!(*bytes);
        if raw.magic != MAGIC {
            return Err(HeaderFault::NotASnapshot);
        }
        // Before the version: a damaged number must not pass for a newer format.
        let (found, expected) = (raw.sum(), raw.crc32.get());
        if found != expected {
            return Err(HeaderFault::Damaged { found, expected });
        }
        let writer = writer(&raw.writer).ok_or(HeaderFault::Field("the name of the writer"))?;
        let version = raw.version.get();
        if version != FORMAT_VERSION {
            return Err(HeaderFault::Version { version, writer });
        }
        if raw.header_bytes.get() != 64 {
            return Err(HeaderFault::Field("the length of the header"));
        }
        if raw.file_bytes.get() != file_bytes {
            return Err(HeaderFault::Length {
                found: file_bytes,
                expected: raw.file_bytes.get(),
            });
        }
        if raw.section_count.get() > SECTIONS_MAX {
            return Err(HeaderFault::Field("the number of sections"));
        }
        Ok(Self {
            section_count: raw.section_count.get(),
            table_crc32: raw.table_crc32.get(),
            file_bytes,
            writer,
        })
    }
}

impl RawHeader {
    fn sum(&self) -> u32 {
        crc32fast::hash(&self.as_bytes()[..HEADER_BYTES - size_of::<U32>()])
    }
}

/// Printable ASCII, then only zeros: it goes to terminals.
fn writer(bytes: &[u8]) -> Option<String> {
    let end = bytes.iter().position(|byte| *byte == 0);
    let (name, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
    let printable = name.iter().all(|byte| matches!(byte, b' '..=b'~'));
    let good = !name.is_empty() && printable && rest.iter().all(|byte| *byte == 0);
    good.then(|| String::from_utf8_lossy(name).into_owned())
}
