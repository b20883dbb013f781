//! Why a snapshot cannot be written or read: the file, and what is wrong with it.

use std::error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::{HeaderFault, MemoryMapFault, SectionFault, TableFault, VerifyFault, WriteFault};

/// A snapshot that cannot be written or read.
#[derive(Debug)]
pub struct Error {
    path: PathBuf,
    fault: Box<Fault>,
}

/// What is wrong with the file.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It cannot be opened.
    #[error("cannot be opened; check the name and its permissions")]
    Open(#[source] io::Error),
    /// A folder, a device, a pipe.
    #[error("is no regular file; name a snapshot")]
    NotRegular,
    /// It cannot be read.
    #[error("cannot be read")]
    Read(#[source] io::Error),
    /// In its header.
    #[error(transparent)]
    Header(#[from] HeaderFault),
    /// In its table of sections.
    #[error(transparent)]
    Table(#[from] TableFault),
    /// In one section.
    #[error(transparent)]
    Section(#[from] SectionFault),
    /// In the list of memory regions and chunks.
    #[error(transparent)]
    MemoryMap(#[from] MemoryMapFault),
    /// In guest memory.
    #[error(transparent)]
    Verify(#[from] VerifyFault),
    /// Its memory cannot be mapped.
    #[error("its guest memory cannot be mapped into this process")]
    Map(#[source] crate::memory::PrivateMapError),
    /// It cannot be written.
    #[error(transparent)]
    Write(#[from] WriteFault),
}

impl Error {
    pub(super) fn new(path: &Path, fault: impl Into<Fault>) -> Self {
        Self {
            path: path.into(),
            fault: Box::new(fault.into()),
        }
    }

    /// The snapshot.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is wrong with it.
    pub fn fault(&self) -> &Fault {
        &self.fault
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.fault)
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        // The fault itself is in the text already.
        self.fault.source()
    }
}
