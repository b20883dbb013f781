//! Where the report goes: standard output or a file that appears whole or not at all.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde::Serialize;

/// Where a JSON report goes.
#[derive(Debug)]
pub enum Target {
    /// Standard output (`-`).
    Stdout,
    /// A path.
    File(FileTarget),
}

/// A file that the report goes to, found writable before the run.
#[derive(Debug)]
pub struct FileTarget {
    path: PathBuf,
    way: Way,
}

/// How a file is written.
#[derive(Debug)]
enum Way {
    /// To a new file beside it, which then takes its name and, where it exists, its mode.
    Replace,
    /// Through this descriptor: a device, a pipe or a socket must not be replaced by a file.
    Through(File),
}

/// A report that cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// The path ends in a folder or in nothing.
    #[error("--json {}: is no file; name a file or `-` for standard output", .0.display())]
    NoFile(PathBuf),
    /// The folder of the path does not exist or is none.
    #[error("--json {}: no such folder; make it first", .0.display())]
    NoFolder(PathBuf),
    /// The file cannot be made.
    #[error("--json {}: cannot be written", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Standard output is broken by more than a reader that left.
    #[error("standard output: cannot be written")]
    Stdout(#[source] io::Error),
}

impl Target {
    /// Checks that a report can be written to `path` (`-` for standard output), before the run
    /// that makes it. Leaves no file behind.
    ///
    /// # Errors
    /// The folder does not exist, or the file cannot be made in it.
    pub fn prepare(path: &Path) -> Result<Self, OutputError> {
        if path == Path::new("-") {
            return Ok(Self::Stdout);
        }
        FileTarget::prepare(path).map(Self::File)
    }

    /// Writes `report` as indented JSON with a newline at its end.
    ///
    /// # Errors
    /// The disk is full or the folder has gone. Then the file is what it was before. A reader of
    /// standard output that left early is no error.
    pub fn write<T: Serialize>(self, report: &T) -> Result<(), OutputError> {
        let mut json = serde_json::to_vec_pretty(report).map_err(io::Error::from);
        if let Ok(json) = &mut json {
            json.push(b'\n');
        }
        match self {
            Self::Stdout => print(&json.map_err(OutputError::Stdout)?),
            Self::File(FileTarget { path, way }) => json
                .and_then(|json| match way {
                    Way::Replace => replace(&path, &json),
                    Way::Through(mut file) => quiet_if_unread(file.write_all(&json)),
                })
                .map_err(|source| OutputError::Write { path, source }),
        }
    }
}

impl FileTarget {
    fn prepare(path: &Path) -> Result<Self, OutputError> {
        let failed = |source| OutputError::Write {
            path: path.into(),
            source,
        };
        // A link is followed, so that its target is replaced and not the link.
        let path = &fs::canonicalize(path).unwrap_or_else(|_| path.into());
        let Some(name) = path.file_name() else {
            return Err(OutputError::NoFile(path.clone()));
        };
        let folder = folder(path);
        if !folder.is_dir() {
            return Err(OutputError::NoFolder(folder.into()));
        }
        let way = match fs::metadata(path) {
            Ok(found) if found.is_dir() => return Err(OutputError::NoFile(path.clone())),
            Ok(found) if !found.is_file() => {
                let file = OpenOptions::new().write(true).open(path);
                Way::Through(file.map_err(failed)?)
            }
            Ok(_) | Err(_) => {
                let probe = beside(folder, name);
                new_file(&probe).map_err(failed)?;
                fs::remove_file(&probe).map_err(failed)?;
                Way::Replace
            }
        };
        Ok(Self {
            path: path.clone(),
            way,
        })
    }
}

/// Writes to standard output. A reader that left early (`| head`) is no error.
///
/// # Errors
/// Any other failure to write.
pub fn print(bytes: &[u8]) -> Result<(), OutputError> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
    quiet_if_unread(written).map_err(OutputError::Stdout)
}

/// Writes to standard error, as far as anybody reads it.
pub fn print_aside(bytes: &[u8]) {
    // Where standard error is closed there is no other place to say so.
    let _ = io::stderr().lock().write_all(bytes);
}

/// Does `tell`, but leaves it where it is when nobody has read it within `patience`.
///
/// # Errors
/// What `tell` says.
pub fn within(
    patience: Duration,
    tell: impl FnOnce() -> Result<(), OutputError> + Send + 'static,
) -> Result<(), OutputError> {
    let (told, is_told) = mpsc::channel();
    thread::spawn(move || told.send(tell()));
    is_told.recv_timeout(patience).unwrap_or(Ok(()))
}

fn quiet_if_unread(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// The new file's name until it is whole: hidden, and of this process only.
fn beside(folder: &Path, name: &std::ffi::OsStr) -> PathBuf {
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}.tmp", std::process::id()));
    folder.join(hidden)
}

fn new_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default();
    let new = beside(folder(path), name);
    let written = new_file(&new).and_then(|mut file| {
        file.write_all(bytes)?;
        if let Ok(old) = fs::metadata(path) {
            file.set_permissions(old.permissions())?;
        }
        drop(file);
        fs::rename(&new, path)
    });
    if written.is_err() {
        // Nothing half done; that the new file is not left behind is all that can be tried.
        let _ = fs::remove_file(&new);
    }
    written
}

#[cfg(test)]
#[path = "output_test.rs"]
mod tests;
