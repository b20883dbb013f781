//! Where the report goes: standard output or a file that appears whole or not at all.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde::Serialize;

/// The option that names a report's file.
const JSON: &str = "--json";

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
    /// The option that names it.
    option: &'static str,
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
    #[error(
        "{option} {}: is no file; name a file{}",
        path.display(),
        if *option == JSON { " or `-` for standard output" } else { "" }
    )]
    NoFile {
        /// The option that names it.
        option: &'static str,
        /// The path.
        path: PathBuf,
    },
    /// The folder of the path does not exist or is none.
    #[error("{option} {}: no such folder; make it first", folder.display())]
    NoFolder {
        /// The option that names it.
        option: &'static str,
        /// The folder.
        folder: PathBuf,
    },
    /// The file cannot be made.
    #[error("{option} {}: cannot be written", path.display())]
    Write {
        /// The option that names it.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Two options name one file, and one would take the other's place.
    #[error("{one} and {other} both name {}; give each a file of its own", path.display())]
    SameFile {
        /// An option.
        one: &'static str,
        /// The other.
        other: &'static str,
        /// What they name.
        path: PathBuf,
    },
    /// More than one of them.
    #[error("{}", both(first, second))]
    Both {
        /// What failed first.
        first: Box<OutputError>,
        /// What failed then.
        second: Box<OutputError>,
    },
    /// Standard output is broken by more than a reader that left.
    #[error("standard output: cannot be written")]
    Stdout(#[source] io::Error),
}

/// Both with their causes, in one line.
fn both(first: &OutputError, second: &OutputError) -> String {
    let text = |error: &OutputError| match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    format!("{}; {}", text(first), text(second))
}

/// Of several outputs the failures, none forgotten.
///
/// # Errors
/// The failure, or [`OutputError::Both`].
pub fn all(results: impl IntoIterator<Item = Result<(), OutputError>>) -> Result<(), OutputError> {
    let errors = results.into_iter().filter_map(Result::err);
    let error = errors.reduce(|first, second| OutputError::Both {
        first: Box::new(first),
        second: Box::new(second),
    });
    error.map_or(Ok(()), Err)
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
        FileTarget::prepare(JSON, path).map(Self::File)
    }

    /// Writes `report` as indented JSON with a newline at its end.
    ///
    /// # Errors
    /// The disk is full or the folder has gone. Then the file is what it was before. A reader of
    /// standard output that left early is no error.
    pub fn write<T: Serialize>(self, report: &T) -> Result<(), OutputError> {
        match self {
            Self::Stdout => print(&json(report).map_err(OutputError::Stdout)?),
            Self::File(file) => file.write(|out| out.write_all(&json(report)?)),
        }
    }

    /// The file, where it is one.
    pub fn as_file(&self) -> Option<&FileTarget> {
        match self {
            Self::Stdout => None,
            Self::File(file) => Some(file),
        }
    }
}

fn json<T: Serialize>(report: &T) -> io::Result<Vec<u8>> {
    let mut json = serde_json::to_vec_pretty(report)?;
    json.push(b'\n');
    Ok(json)
}

impl FileTarget {
    /// Checks that `path`, which `option` names, can be written. Leaves no file behind.
    ///
    /// # Errors
    /// The folder does not exist, or the file cannot be made in it.
    pub fn prepare(option: &'static str, path: &Path) -> Result<Self, OutputError> {
        let failed = |source| OutputError::Write {
            option,
            path: path.into(),
            source,
        };
        // A link is followed, so that its target is replaced and not the link.
        let path = &fs::canonicalize(path).unwrap_or_else(|_| path.into());
        let no_file = || OutputError::NoFile {
            option,
            path: path.clone(),
        };
        let Some(name) = path.file_name() else {
            return Err(no_file());
        };
        let folder = folder(path);
        if !folder.is_dir() {
            let folder = folder.into();
            return Err(OutputError::NoFolder { option, folder });
        }
        let way = match fs::metadata(path) {
            Ok(found) if found.is_dir() => return Err(no_file()),
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
            option,
            path: path.clone(),
            way,
        })
    }

    /// Has `content` write it. A file is what it was before until all of it is there.
    ///
    /// # Errors
    /// The disk is full or the folder has gone, or what `content` says.
    pub fn write(
        self,
        content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), OutputError> {
        let Self { option, path, way } = self;
        let buffered = |file: &mut File| {
            let mut out = BufWriter::new(file);
            content(&mut out)?;
            out.flush()
        };
        let written = match way {
            Way::Replace => replace(&path, buffered),
            Way::Through(mut file) => quiet_if_unread(buffered(&mut file)),
        };
        written.map_err(|source| OutputError::Write {
            option,
            path,
            source,
        })
    }

    /// Refuses to write over what `other` writes. A device or a pipe takes both.
    ///
    /// # Errors
    /// [`OutputError::SameFile`].
    pub fn check_differs_from(&self, other: &Self) -> Result<(), OutputError> {
        let full = |path: &Path| {
            let folder = fs::canonicalize(folder(path)).ok()?;
            Some(folder.join(path.file_name()?))
        };
        let is_replaced = matches!(self.way, Way::Replace);
        if is_replaced && full(&self.path) == full(&other.path) {
            return Err(OutputError::SameFile {
                one: other.option,
                other: self.option,
                path: self.path.clone(),
            });
        }
        Ok(())
    }

    /// Whether writing it takes as long as somebody takes to read it.
    pub fn waits_for_reader(&self) -> bool {
        matches!(self.way, Way::Through(_))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
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

fn replace(path: &Path, content: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default();
    let new = beside(folder(path), name);
    let written = new_file(&new).and_then(|mut file| {
        content(&mut file)?;
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
