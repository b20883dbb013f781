//! Sections: what each holds, who may skip it, and its bytes.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::THIS_WRITER;

/// What a section holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SectionKind {
    /// How the machine was built.
    Machine,
    /// The host it ran on: what another host must have too.
    Host,
    /// TSC and kvmclock.
    Clock,
    /// One vCPU; its index is the instance.
    Vcpu,
    /// Devices, KVM's and ours.
    Devices,
    /// Regions and chunks of guest memory. Written and read by this module alone.
    MemoryMap,
    /// What a machine for foreign guests has beside: its interrupt controllers and devices.
    Pc,
    /// Xen's interface: event channels and polls. Only of machines that have it.
    Xen,
}

/// Whether a reader that does not know a section may go on without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Need {
    /// It may not.
    Required,
    /// It may.
    Optional,
}

/// A section to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    pub(super) kind: SectionKind,
    pub(super) instance: u32,
    pub(super) content: Vec<u8>,
}

/// A section of a file, as its table lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedSection {
    /// What it is.
    pub label: Label,
    /// Version of its content.
    pub version: u32,
    /// Whether it could be skipped.
    pub need: Need,
    /// Where its content is in the file.
    pub offset: u64,
    /// Length of its content.
    pub bytes: u64,
    /// CRC-32 of its content.
    pub crc32: u32,
}

/// Kind and instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Label {
    /// A kind of this vmm's.
    Known(SectionKind, u32),
    /// A kind, by its number, of a newer vmm, and its instance.
    Unknown(u32, u32),
}

/// A section in an error: its place in the table, and what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SectionName {
    /// Place in the table, from 0.
    pub index: usize,
    /// What it is.
    pub label: Label,
}

/// What is wrong with a section.
#[derive(Debug, thiserror::Error)]
pub enum SectionFault {
    /// The CRC differs.
    #[error(
        "{name}: CRC {found:08x} expected {expected:08x}; the file is damaged, nothing was restored"
    )]
    Damaged {
        /// Which.
        name: SectionName,
        /// Of what is there.
        found: u32,
        /// Of what was written.
        expected: u32,
    },
    /// It is not there.
    #[error("has no section {label}; it was written by {writer}, nothing was restored")]
    Missing {
        /// Which.
        label: Label,
        /// What wrote the file.
        writer: String,
    },
    /// A whole section that says something else than its reader expects.
    #[error(
        "{name}: its content cannot be decoded; it was written by {writer}, this is {THIS_WRITER}, nothing was restored"
    )]
    Decode {
        /// Which.
        name: SectionName,
        /// What wrote the file.
        writer: String,
        /// Why.
        #[source]
        source: postcard::Error,
    },
    /// More content than was expected.
    #[error(
        "{name}: {rest} bytes follow its content; it was written by {writer}, this is {THIS_WRITER}, nothing was restored"
    )]
    Longer {
        /// Which.
        name: SectionName,
        /// Bytes left over.
        rest: usize,
        /// What wrote the file.
        writer: String,
    },
}

impl SectionKind {
    /// All, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::Machine,
        Self::Host,
        Self::Clock,
        Self::Vcpu,
        Self::Devices,
        Self::MemoryMap,
        Self::Pc,
        Self::Xen,
    ];

    /// Its number in the file. Numbers are never used again for something else.
    pub const fn number(self) -> u32 {
        match self {
            Self::Machine => 1,
            Self::Host => 2,
            Self::Clock => 3,
            Self::Vcpu => 4,
            Self::Devices => 5,
            Self::MemoryMap => 6,
            Self::Pc => 7,
            Self::Xen => 8,
        }
    }

    /// Version of its content that this vmm writes, and the newest it reads.
    pub const fn version(self) -> u32 {
        1
    }

    /// The kind with this number.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }
}

impl fmt::Display for SectionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Machine => "machine",
            Self::Host => "host",
            Self::Clock => "clock",
            Self::Vcpu => "vcpu",
            Self::Devices => "devices",
            Self::MemoryMap => "memory map",
            Self::Pc => "pc",
            Self::Xen => "xen",
        })
    }
}

impl Section {
    /// A section with `content` as it is.
    pub fn new(kind: SectionKind, instance: u32, content: Vec<u8>) -> Self {
        Self {
            kind,
            instance,
            content,
        }
    }

    /// A section with `value` in postcard.
    ///
    /// # Errors
    /// A value that postcard cannot express, such as a sequence of unknown length.
    pub fn encode<T: Serialize>(
        kind: SectionKind,
        instance: u32,
        value: &T,
    ) -> Result<Self, EncodeError> {
        let content = postcard::to_stdvec(value).map_err(|source| EncodeError {
            label: Label::Known(kind, instance),
            source,
        })?;
        Ok(Self::new(kind, instance, content))
    }

    /// What it is.
    pub fn label(&self) -> Label {
        Label::Known(self.kind, self.instance)
    }

    /// What it holds.
    pub fn content(&self) -> &[u8] {
        &self.content
    }
}

/// State that cannot be put into a section.
#[derive(Debug, thiserror::Error)]
#[error("the state of {label} cannot be encoded; nothing was written")]
pub struct EncodeError {
    label: Label,
    #[source]
    source: postcard::Error,
}

/// Decodes the whole of `content`.
///
/// # Errors
/// [`SectionFault::Decode`], [`SectionFault::Longer`].
pub(super) fn decode<T: DeserializeOwned>(
    name: SectionName,
    content: &[u8],
    writer: &str,
) -> Result<T, SectionFault> {
    let (value, rest) =
        postcard::take_from_bytes(content).map_err(|source| SectionFault::Decode {
            name,
            writer: writer.to_owned(),
            source,
        })?;
    if rest.is_empty() {
        Ok(value)
    } else {
        Err(SectionFault::Longer {
            name,
            rest: rest.len(),
            writer: writer.to_owned(),
        })
    }
}

impl Label {
    pub(super) fn from_numbers(kind: u32, instance: u32) -> Self {
        match SectionKind::from_number(kind) {
            Some(known) => Self::Known(known, instance),
            None => Self::Unknown(kind, instance),
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(SectionKind::Vcpu, index) => write!(f, "vcpu {index}"),
            Self::Known(kind, 0) => write!(f, "{kind}"),
            Self::Known(kind, instance) => write!(f, "{kind} {instance}"),
            Self::Unknown(kind, instance) => write!(f, "kind {kind}, instance {instance}"),
        }
    }
}

impl fmt::Display for SectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "section {} ({})", self.index, self.label)
    }
}
