//! Folders for what a measurement needs for a while.

use std::io;
use std::path::{Path, PathBuf};

/// A folder that is removed when dropped.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// For small files and sockets, whose paths must be short.
    pub(crate) fn for_guests() -> io::Result<Self> {
        Self::new(std::env::temp_dir().join(format!("vmm-bench-{}", std::process::id())))
    }

    /// For files of the size of a guest's memory: on the disk where `beside` is, because the folder
    /// for temporary files may be in memory. What a bench that was killed has left there goes.
    pub(crate) fn for_memory(beside: &Path) -> io::Result<Self> {
        let path = beside.join("bench-files");
        match std::fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        Self::new(path)
    }

    fn new(path: PathBuf) -> io::Result<Self> {
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    /// The path of a file in it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Temporary files that stay behind do no harm.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
