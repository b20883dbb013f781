//! The header of every frame: what it is, how long, and a checksum.

use super::batch;

/// Bytes of a header.
pub(super) const HEADER_BYTES: usize = 12;

/// What a frame carries. The numbers are part of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Kind {
    Hello = 1,
    Welcome = 2,
    Machine = 3,
    Accepted = 4,
    Refused = 5,
    Round = 6,
    Pages = 7,
    RoundEnd = 8,
    RoundDone = 9,
    State = 10,
    Digest = 11,
    Ready = 12,
    Commit = 13,
    Running = 14,
    Abort = 15,
    Failed = 16,
    Gone = 17,
}

impl Kind {
    const ALL: [Self; 17] = [
        Self::Hello,
        Self::Welcome,
        Self::Machine,
        Self::Accepted,
        Self::Refused,
        Self::Round,
        Self::Pages,
        Self::RoundEnd,
        Self::RoundDone,
        Self::State,
        Self::Digest,
        Self::Ready,
        Self::Commit,
        Self::Running,
        Self::Abort,
        Self::Failed,
        Self::Gone,
    ];

    /// The number on the wire.
    pub(super) fn number(self) -> u32 {
        self as u32
    }

    pub(super) fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }

    /// The longest body that is read. Nothing is allocated for a longer one.
    pub(super) fn body_bytes_max(self) -> usize {
        match self {
            Self::Machine => 1 << 20,
            Self::State => (1 << 20) + 64,
            Self::Pages => batch::BODY_BYTES_MAX,
            Self::Refused => 64 << 10,
            Self::Abort | Self::Failed | Self::Gone => 4 << 10,
            _ => 64,
        }
    }
}

/// A frame's first 12 bytes, checked as far as they can be alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    /// Bytes that follow.
    pub(super) length: usize,
    /// CRC32 of the header's first 8 bytes and the body; of a Pages frame without its data, which
    /// has a checksum for each page.
    pub(super) crc: u32,
}

/// Why 12 bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadHeader {
    /// The first bytes of a TLS record.
    #[error(
        "the peer speaks TLS and this side does not; give both --tls-cert, --tls-key, --tls-ca"
    )]
    Tls,
    /// A kind that does not exist.
    #[error("a frame of unknown kind {0:#x}: damaged, or not this protocol")]
    Kind(u32),
    /// A length that its kind does not have.
    #[error("a frame of kind {kind} claims {length} bytes, at most {most} are allowed")]
    Length {
        /// Number of the kind.
        kind: u32,
        /// Claimed.
        length: u32,
        /// Allowed.
        most: usize,
    },
}

impl Header {
    /// The header of a frame of `kind`, whose body's checked part is `head`, with `data` bytes
    /// after that.
    pub(super) fn bytes(kind: Kind, head: &[u8], data: usize) -> [u8; HEADER_BYTES] {
        let length = u32::try_from(head.len() + data).unwrap_or(u32::MAX);
        let mut bytes = [0; HEADER_BYTES];
        bytes[..4].copy_from_slice(&kind.number().to_le_bytes());
        bytes[4..8].copy_from_slice(&length.to_le_bytes());
        let crc = checksum(&bytes, head);
        bytes[8..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads one.
    pub(super) fn parse(bytes: &[u8; HEADER_BYTES]) -> Result<Self, BadHeader> {
        let word = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let (number, length, crc) = (word(0), word(4), word(8));
        let Some(kind) = Kind::from_number(number) else {
            return Err(if is_tls(bytes) {
                BadHeader::Tls
            } else {
                BadHeader::Kind(number)
            });
        };
        match usize::try_from(length) {
            Ok(bytes) if bytes <= kind.body_bytes_max() => Ok(Self {
                kind,
                length: bytes,
                crc,
            }),
            _ => Err(BadHeader::Length {
                kind: number,
                length,
                most: kind.body_bytes_max(),
            }),
        }
    }
}

/// Whether a connection begins with a TLS record: content type 20 to 23, version 3 (RFC 8446, 5.1).
pub(super) fn is_tls(start: &[u8]) -> bool {
    matches!(start, [20..=23, 3, ..])
}

/// The checksum of a frame with this header and checked part.
pub(super) fn checksum(header: &[u8; HEADER_BYTES], head: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&header[..8]);
    crc.update(head);
    crc.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_own_number() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_number(kind.number()), Some(kind));
        }
        assert_eq!(Kind::from_number(0), None);
        assert_eq!(Kind::from_number(18), None);
    }

    /// The manual's table of frames is this file's.
    #[test]
    fn the_manual_names_every_kind_and_its_most() {
        let manual = include_str!("../../../docs/reference/migration-protocol.md");
        let (_, frames) = manual.split_once("| kind | name |").unwrap();
        let (frames, _) = frames.split_once("### Pages").unwrap();
        let rows: Vec<_> = frames
            .lines()
            .filter_map(|row| {
                let cells: Vec<_> = row.split('|').map(str::trim).collect();
                let number = cells.get(1)?.parse::<u32>().ok()?;
                Some((number, cells[2].to_owned(), cells[4].parse::<usize>().ok()?))
            })
            .collect();
        let kinds: Vec<_> = Kind::ALL
            .into_iter()
            .map(|kind| (kind.number(), format!("{kind:?}"), kind.body_bytes_max()))
            .collect();
        assert_eq!(rows, kinds);
    }

    #[test]
    fn a_header_comes_back() {
        let bytes = Header::bytes(Kind::State, b"state", 0);
        let header = Header::parse(&bytes).unwrap();
        assert_eq!((header.kind, header.length), (Kind::State, 5));
        assert_eq!(header.crc, checksum(&bytes, b"state"));
        assert_ne!(header.crc, checksum(&bytes, b"stale"));
    }

    #[test]
    fn a_length_beyond_its_kind_is_refused_before_anything_is_allocated() {
        let mut bytes = Header::bytes(Kind::Commit, &[0; 16], 0);
        bytes[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(matches!(
            Header::parse(&bytes),
            Err(BadHeader::Length {
                length: u32::MAX,
                ..
            })
        ));
    }

    #[test]
    fn a_peer_that_speaks_tls_is_named() {
        let hello = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 9];
        assert_eq!(Header::parse(&hello), Err(BadHeader::Tls));
        let http = *b"GET / HTTP/1";
        assert!(matches!(Header::parse(&http), Err(BadHeader::Kind(_))));
    }
}
