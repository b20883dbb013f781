//! A machine in a file: sections of state, and guest memory that can be mapped where it lies.
//!
//! The layout, byte by byte, is in `docs/reference/snapshot-format.md`. What is inside a section
//! is its owner's business; here it is bytes with a kind, a version and a CRC.

mod checked;
mod chunk_crc;
mod error;
mod header;
mod in_use;
mod limits;
mod memory_map;
mod memory_pages;
mod metadata;
mod new_file;
mod section;
mod table;
mod verify;
mod write;

pub use checked::CheckedSnapshot;
pub use error::{Error, Fault};
pub use header::{FORMAT_VERSION, HeaderFault, THIS_WRITER};
pub use in_use::RegionUse;
pub use memory_map::{MemoryMapFault, MemoryRegion};
pub use metadata::Metadata;
pub use new_file::WriteFault;
pub use section::{
    EncodeError, Label, ListedSection, Need, Section, SectionFault, SectionKind, SectionName,
};
pub use table::TableFault;
pub use verify::VerifyFault;
pub use write::{Written, write};

/// How far writing or verifying guest memory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Guest memory looked at so far, in bytes.
    pub bytes: u64,
    /// All of it.
    pub total_bytes: u64,
}

#[cfg(test)]
mod damage_test;
#[cfg(test)]
mod disk_test;
#[cfg(test)]
mod format_test;
#[cfg(test)]
mod golden_test;
#[cfg(test)]
mod hostile_test;
#[cfg(test)]
mod kill_test;
#[cfg(test)]
mod restore_test;
#[cfg(test)]
mod test_machine;
