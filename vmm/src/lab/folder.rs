//! The folder of an experiment: one specification, and the results of its shards.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::shard::Shard;
use crate::text::plain;

/// The specification in full.
pub(super) const SPEC_FILE: &str = "spec.toml";
/// Longest line of a specification that an error shows.
const SHOWN: usize = 60;

/// A folder that this experiment cannot use.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It cannot be made or written to.
    #[error("{}: cannot be written", path.display())]
    Write {
        /// What.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another experiment lives there.
    #[error(
        "{}: holds the results of another specification ({difference}); name another folder for \
         this one",
        path.display()
    )]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// Where they differ first.
        difference: String,
    },
    /// It was divided otherwise.
    #[error(
        "{}: holds {found}, which does not go together with {wanted}; divide it in the same way or \
         name another folder",
        path.display()
    )]
    Divided {
        /// The folder.
        path: PathBuf,
        /// A file that is there.
        found: String,
        /// The file that would be.
        wanted: String,
    },
}

/// An experiment's folder, with its specification in it.
#[derive(Clone, Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Makes the folder `path` where it is missing, and puts `spec` there or finds it.
    ///
    /// # Errors
    /// [`FolderError`].
    pub(super) fn prepare(path: &Path, spec: &str, shard: Shard) -> Result<Self, FolderError> {
        let failed = |path: &Path, source| FolderError::Write {
            path: path.into(),
            source,
        };
        make(path).map_err(|source| failed(path, source))?;
        let file = path.join(SPEC_FILE);
        publish(&file, spec, shard, link).map_err(|source| failed(&file, source))?;
        let found = fs::read(&file).map_err(|source| failed(&file, source))?;
        if found != spec.as_bytes() {
            let found = String::from_utf8_lossy(&found);
            return Err(FolderError::Foreign {
                path: path.into(),
                difference: difference(&found, spec),
            });
        }
        let folder = Self(path.into());
        folder.check_division(shard)?;
        Ok(folder)
    }

    /// Refuses a shard that does not go together with those whose results are here.
    ///
    /// # Errors
    /// [`FolderError::Divided`], or the folder cannot be read.
    pub(super) fn check_division(&self, shard: Shard) -> Result<(), FolderError> {
        let entries = fs::read_dir(&self.0).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let entries = entries.map_err(|source| FolderError::Write {
            path: self.0.clone(),
            source,
        })?;
        let names = entries.iter().map(fs::DirEntry::file_name);
        let mut names = names.filter_map(|name| name.into_string().ok());
        let other = names.find(|name| {
            let found = Shard::of_file_name(name);
            found.is_some_and(|found| !found.fits(shard))
        });
        other.map_or(Ok(()), |found| {
            Err(FolderError::Divided {
                path: self.0.clone(),
                found,
                wanted: shard.file_name(),
            })
        })
    }

    /// The file of a shard's results.
    pub(super) fn results(&self, shard: Shard) -> PathBuf {
        self.0.join(shard.file_name())
    }

    /// The file of what the process of a shard took of the host.
    pub(super) fn resources(&self, shard: Shard) -> PathBuf {
        let name = shard.file_name().replace("results", "resources");
        self.0.join(name).with_extension("json")
    }

    /// Has the names of new files survive a crash of the host.
    ///
    /// # Errors
    /// What fsync says.
    pub(super) fn sync(&self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }
}

/// Makes the folder `path` and those above it where they are missing, and has their names survive a
/// crash of the host.
fn make(path: &Path) -> io::Result<()> {
    let is_missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
    let missing: Vec<_> = path.ancestors().take_while(is_missing).collect();
    fs::create_dir_all(path)?;
    for folder in missing {
        let above = folder
            .parent()
            .filter(|above| !above.as_os_str().is_empty());
        File::open(above.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}

/// Makes `file` with `text` in it unless it is there: many shards may try at once, and none takes the
/// place of another's. Where the file system has links, `link` them, it is there whole or not at all.
fn publish(
    file: &Path,
    text: &str,
    shard: Shard,
    link: impl Fn(&Path, &Path) -> io::Result<()>,
) -> io::Result<()> {
    if file.exists() {
        return Ok(());
    }
    // Processes of other hosts may have the same number, but not the same shard.
    let mine = format!(".{SPEC_FILE}.{}.{}", shard.file_name(), std::process::id());
    let hidden = file.with_file_name(mine);
    let made = write(&hidden, text, Existing::Replace).and_then(|()| {
        match link(&hidden, file) {
            // No links on this file system: whoever comes first writes it. Who comes in the middle
            // finds a part, and is refused as with another specification.
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                write(file, text, Existing::Leave)
            }
            _ => Ok(()),
        }
    });
    // It is there under its own name, or not at all.
    let _ = fs::remove_file(&hidden);
    made
}

fn link(from: &Path, to: &Path) -> io::Result<()> {
    fs::hard_link(from, to)
}

/// What becomes of a file that is there.
#[derive(Clone, Copy)]
enum Existing {
    Replace,
    Leave,
}

/// Writes `text` to `file`, and returns when the disk has it.
fn write(file: &Path, text: &str, existing: Existing) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let options = match existing {
        Existing::Replace => options.create(true).truncate(true),
        Existing::Leave => options.create_new(true),
    };
    let mut new = match (options.write(true).open(file), existing) {
        (Err(error), Existing::Leave) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Ok(());
        }
        (opened, _) => opened?,
    };
    let written = new.write_all(text.as_bytes()).and_then(|()| new.sync_all());
    if written.is_err() {
        // Half a specification would keep everybody out.
        let _ = fs::remove_file(file);
    }
    written
}

/// The first line in which two specifications differ, as far as it can be shown.
fn difference(found: &str, wanted: &str) -> String {
    let pairs = found.lines().zip(wanted.lines());
    let shown = |line: &str| match line.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", plain(&line[..end])),
        None => plain(line),
    };
    match pairs.into_iter().find(|(found, wanted)| found != wanted) {
        Some((found, wanted)) => format!("`{}`, not `{}`", shown(found), shown(wanted)),
        None => "one of them has more lines".to_owned(),
    }
}

#[cfg(test)]
#[path = "folder_test.rs"]
mod tests;
