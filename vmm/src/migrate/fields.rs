//! The fields of a message's body. All numbers are little endian.

use super::frame::Kind;
use super::session::Session;

/// The first bytes of a Hello and a Welcome.
pub(super) const MAGIC: [u8; 8] = *b"vmmMOVE\0";
/// The most of a text that is kept, in bytes.
pub(super) const TEXT_BYTES_MAX: usize = 1024;

/// Why a body is not what its kind says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadMessage {
    /// Another length than its fields have.
    #[error("a frame of kind {0} has another length than its fields")]
    Length(u32),
    /// A field with a value that does not exist.
    #[error("a frame of kind {0} has an impossible value")]
    Value(u32),
    /// A hello without the magic number.
    #[error("the peer is no vmm that moves machines: wrong magic number")]
    Magic,
}

/// `text` cut to what a frame takes.
pub(super) fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_BYTES_MAX)]
}

/// A peer's text, fit for a terminal.
pub(super) fn legible(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(TEXT_BYTES_MAX)]);
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// The fields of a body that have not been read.
pub(super) struct Fields<'a> {
    kind: Kind,
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Of the body of a frame of `kind`.
    pub(super) fn new(kind: Kind, body: &'a [u8]) -> Self {
        Self { kind, rest: body }
    }

    /// Whether all have been read.
    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn bad_length(&self) -> BadMessage {
        BadMessage::Length(self.kind.number())
    }

    pub(super) fn bad_value(&self) -> BadMessage {
        BadMessage::Value(self.kind.number())
    }

    pub(super) fn bytes(&mut self, length: usize) -> Result<&'a [u8], BadMessage> {
        let (bytes, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(self.bad_length())?;
        self.rest = rest;
        Ok(bytes)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], BadMessage> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(self.bad_length())?;
        self.rest = rest;
        Ok(*bytes)
    }

    pub(super) fn all(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    pub(super) fn u16(&mut self) -> Result<u16, BadMessage> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, BadMessage> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, BadMessage> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn session(&mut self) -> Result<Session, BadMessage> {
        self.array().map(Session::from_bytes)
    }

    pub(super) fn count(&mut self, most: usize) -> Result<usize, BadMessage> {
        let count = usize::try_from(self.u32()?).unwrap_or(usize::MAX);
        if count > most {
            return Err(self.bad_value());
        }
        Ok(count)
    }

    pub(super) fn magic(&mut self) -> Result<(), BadMessage> {
        match self.array() {
            Ok(MAGIC) => Ok(()),
            _ => Err(BadMessage::Magic),
        }
    }
}
