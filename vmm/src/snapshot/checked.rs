//! A snapshot whose state has been read and checked: the only kind that can be restored.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use vm_memory::GuestMemoryMmap;

use super::in_use::in_use;
use super::verify::verify;
use super::{
    Error, FORMAT_VERSION, Fault, ListedSection, MemoryRegion, Metadata, Progress, RegionUse,
    SectionFault, SectionKind,
};
use crate::memory::{PrivateRange, map_privately};

/// A snapshot: its state in memory and checked, its guest memory in the file and not read yet.
#[derive(Debug)]
pub struct CheckedSnapshot {
    path: PathBuf,
    file: Arc<File>,
    file_bytes: u64,
    metadata: Metadata,
}

impl CheckedSnapshot {
    /// Reads all but guest memory, and checks every byte of that. Needs memory in proportion to the
    /// state, whatever the file says.
    ///
    /// # Errors
    /// The file is no snapshot, is damaged, or is none that this vmm can read.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let fault = |fault| Error::new(path, fault);
        // Opening a pipe or a device can wait for ever or do something.
        let kind = fs::metadata(path).map_err(|error| fault(Fault::Open(error)))?;
        if !kind.is_file() {
            return Err(fault(Fault::NotRegular));
        }
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(path)
            .map_err(|error| fault(Fault::Open(error)))?;
        let found = file.metadata().map_err(|error| fault(Fault::Read(error)))?;
        if !found.is_file() {
            return Err(fault(Fault::NotRegular));
        }
        let metadata = Metadata::read(&file, found.len()).map_err(fault)?;
        Ok(Self {
            path: path.into(),
            file: Arc::new(file),
            file_bytes: found.len(),
            metadata,
        })
    }

    /// The file it was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Length of the file.
    pub fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// Version of the format.
    pub fn version(&self) -> u32 {
        FORMAT_VERSION
    }

    /// What wrote it, as in `vmm 0.1.0`.
    pub fn writer(&self) -> &str {
        self.metadata.writer()
    }

    /// The table of sections, those that this vmm skips among them.
    pub fn sections(&self) -> &[ListedSection] {
        self.metadata.sections()
    }

    /// The content of a section.
    pub fn section(&self, kind: SectionKind, instance: u32) -> Option<&[u8]> {
        self.metadata.section(kind, instance)
    }

    /// The content of a section, decoded.
    ///
    /// # Errors
    /// There is none, or it is not a `T`.
    pub fn decode<T: DeserializeOwned>(
        &self,
        kind: SectionKind,
        instance: u32,
    ) -> Result<T, Error> {
        self.metadata
            .decode(kind, instance)
            .map_err(|fault| Error::new(&self.path, fault))
    }

    /// What `decode` makes of the sections; an error names the file.
    ///
    /// # Errors
    /// Those of `decode`.
    pub fn decoded<T>(
        &self,
        decode: impl FnOnce(&Metadata) -> Result<T, SectionFault>,
    ) -> Result<T, Error> {
        decode(&self.metadata).map_err(|fault| Error::new(&self.path, fault))
    }

    /// The regions of guest memory, in the order of their addresses.
    pub fn memory_regions(&self) -> &[MemoryRegion] {
        self.metadata.memory_regions()
    }

    /// Bytes of a chunk of guest memory, each of which has a CRC.
    pub fn chunk_bytes(&self) -> u32 {
        self.metadata.memory().chunk_bytes
    }

    /// How much of each region is there, in their order. Reads none of it.
    ///
    /// # Errors
    /// The file cannot be looked through.
    pub fn memory_use(&self) -> Result<Vec<RegionUse>, Error> {
        in_use(&self.file, self.metadata.memory())
            .map_err(|error| Error::new(&self.path, Fault::Read(error)))
    }

    /// Maps guest memory where it lies. Reads none of it, and nothing that is written to it reaches
    /// the file. The mapping survives this value and a new snapshot under the same name, but not a
    /// change of the file in place.
    ///
    /// # Errors
    /// The host has no room for the mapping.
    pub fn map_memory(&self) -> Result<GuestMemoryMmap, Error> {
        let ranges: Vec<_> = self
            .memory_regions()
            .iter()
            .map(|region| PrivateRange {
                gpa: region.gpa,
                bytes: region.bytes,
                file_offset: region.file_offset,
            })
            .collect();
        map_privately(&self.file, &ranges)
            .map_err(|error| Error::new(&self.path, Fault::Map(error)))
    }

    /// Reads all of guest memory and checks the CRC of every chunk.
    ///
    /// # Errors
    /// The first chunk that is damaged.
    pub fn verify_memory(&self, progress: &mut dyn FnMut(Progress)) -> Result<(), Error> {
        verify(&self.file, self.metadata.memory(), progress)
            .map_err(|fault| Error::new(&self.path, fault))
    }
}
