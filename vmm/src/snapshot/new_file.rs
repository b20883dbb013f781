//! A file that appears under its name whole or not at all.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process;

use super::MemoryMapFault;

/// Only the owner may read what a guest has in its memory.
const MODE: u32 = 0o600;
/// Names beside the final one that are tried: those before may be left over from killed writers
/// with the same process ID.
const NAMES: u32 = 1000;
/// File names end at 255 bytes; the rest is for what is put around this one.
const NAME_BYTES: usize = 220;

/// Why a snapshot cannot be written. Whatever stood under its name before stands there still.
#[derive(Debug, thiserror::Error)]
pub enum WriteFault {
    /// A folder, or a path that ends in none.
    #[error("is a folder; name a file in it")]
    Folder,
    /// A device, a pipe, a socket.
    #[error("is no regular file and cannot be replaced by a snapshot; name another")]
    NotRegular,
    /// The folder does not exist.
    #[error("has no folder {}; make it first", .0.display())]
    NoFolder(PathBuf),
    /// The folder takes no new file, or the old one may not be replaced.
    #[error("the folder {} does not let this user put a file there; name another folder or change its permissions", folder.display())]
    Denied {
        /// The folder.
        folder: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The disk or the user's share of it is full.
    #[error("there is no room in {} for {bytes} more bytes; make room or name another folder, nothing was saved", folder.display())]
    NoRoom {
        /// The folder.
        folder: PathBuf,
        /// What the snapshot needs at most.
        bytes: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file system or `ulimit -f` forbids a file so long.
    #[error(
        "a file of {bytes} bytes is not allowed here; raise `ulimit -f` or name a folder of another file system"
    )]
    TooLarge {
        /// Length of the snapshot.
        bytes: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Anything else that a file can suffer.
    #[error("cannot be written; nothing was saved")]
    Failed(#[source] io::Error),
    /// The file is in place, but the disk may not know that yet.
    #[error("is written, but its folder cannot be synced; it may be gone after a power failure")]
    FolderNotSynced(#[source] io::Error),
    /// Guest memory cannot be read.
    #[error("guest memory at {gpa:#x} cannot be read; nothing was saved")]
    Memory {
        /// Guest-physical address.
        gpa: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// More sections, or larger ones, than a snapshot holds.
    #[error("{0}; nothing was saved")]
    Sections(String),
    /// Guest memory that a snapshot cannot hold.
    #[error("{0}; nothing was saved")]
    MemoryMap(MemoryMapFault),
}

/// A file under a temporary name, which goes away unless it is put in place.
#[derive(Debug)]
pub(super) struct NewFile {
    file: File,
    temporary: Option<PathBuf>,
    path: PathBuf,
    folder: PathBuf,
}

impl NewFile {
    /// Makes an empty file of `bytes`, all hole, beside `path`.
    ///
    /// # Errors
    /// There can be no such file.
    pub(super) fn create(path: &Path, bytes: u64) -> Result<Self, WriteFault> {
        // A link is followed, so that its target is replaced and not the link.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.into());
        let Some(name) = path.file_name() else {
            return Err(WriteFault::Folder);
        };
        let old = match fs::metadata(&path) {
            Ok(old) if old.is_dir() => return Err(WriteFault::Folder),
            Ok(old) if !old.is_file() => return Err(WriteFault::NotRegular),
            old => old.ok(),
        };
        let folder = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        if !folder.is_dir() {
            return Err(WriteFault::NoFolder(folder.into()));
        }
        let (file, temporary) =
            beside(folder, name).map_err(|error| fault(error, folder, bytes))?;
        let new = Self {
            file,
            temporary: Some(temporary),
            folder: folder.into(),
            path,
        };
        let prepared = match old {
            Some(old) => new.file.set_permissions(old.permissions()),
            None => Ok(()),
        };
        prepared
            .and_then(|()| new.file.set_len(bytes))
            .map_err(|error| new.fault(error, bytes))?;
        Ok(new)
    }

    /// The file to write to.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// What an error of writing `bytes` to the file means.
    pub(super) fn fault(&self, error: io::Error, bytes: u64) -> WriteFault {
        fault(error, &self.folder, bytes)
    }

    /// Gives the file its name, once all of it is on the disk.
    ///
    /// # Errors
    /// The disk fails, or the name cannot be taken.
    pub(super) fn put_in_place(mut self, bytes: u64) -> Result<(), WriteFault> {
        self.file
            .sync_all()
            .map_err(|error| self.fault(error, bytes))?;
        if let Some(temporary) = &self.temporary {
            fs::rename(temporary, &self.path).map_err(|error| self.fault(error, bytes))?;
        }
        self.temporary = None;
        sync_folder(&self.folder).map_err(WriteFault::FolderNotSynced)
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            // That it is not left behind is all that can be tried.
            let _ = fs::remove_file(temporary);
        }
    }
}

/// Hidden, and only this process's: `.NAME.PID-N.tmp`.
fn beside(folder: &Path, name: &OsStr) -> io::Result<(File, PathBuf)> {
    let name = OsStr::from_bytes(&name.as_bytes()[..name.len().min(NAME_BYTES)]);
    let mut tried = 0;
    loop {
        let mut hidden = OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}-{tried}.tmp", process::id()));
        let path = folder.join(hidden);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(MODE)
            .open(&path);
        match file {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && tried < NAMES => {
                tried += 1;
            }
            file => return Ok((file?, path)),
        }
    }
}

fn fault(error: io::Error, folder: &Path, bytes: u64) -> WriteFault {
    let folder = folder.to_owned();
    let source = error;
    match source.raw_os_error() {
        Some(libc::ENOSPC | libc::EDQUOT) => WriteFault::NoRoom {
            folder,
            bytes,
            source,
        },
        Some(libc::EACCES | libc::EPERM | libc::EROFS) => WriteFault::Denied { folder, source },
        Some(libc::EFBIG) => WriteFault::TooLarge { bytes, source },
        _ => WriteFault::Failed(source),
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    match File::open(folder)?.sync_all() {
        // Some file systems have nothing to sync in a folder.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(()),
        synced => synced,
    }
}
