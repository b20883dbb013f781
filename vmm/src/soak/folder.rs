//! The folder of one soak: nobody else's, and gone when it is over.

use std::fs::{self, DirBuilder};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::Error;
use crate::os::unix_socket;

/// The longest name of a socket in it.
const LONGEST_NAME: &str = "18446744073709551615.move";

/// A folder that is removed with all that is in it.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Makes one in `parent`.
    pub(super) fn make(parent: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Folder {
            path: parent.to_path_buf(),
            source,
        };
        let parent_path = std::path::absolute(parent).map_err(failed)?;
        let path = parent_path.join(format!("vmm-soak-{}", std::process::id()));
        let longest = path.join(LONGEST_NAME);
        if longest.as_os_str().as_bytes().len() > unix_socket::PATH_MAX {
            return Err(Error::FolderTooLong(parent.to_path_buf()));
        }
        let make = |path: &Path| DirBuilder::new().mode(0o700).create(path);
        make(&path).map_err(failed)?;
        Ok(Self(path))
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What somebody else has put into it or taken out of it is no reason to fail.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn it_is_private_and_goes_with_its_content() {
        let folder = Folder::make(&std::env::temp_dir()).unwrap();
        let path = folder.0.clone();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o700
        );
        fs::write(folder.path("file"), "x").unwrap();
        assert!(matches!(
            Folder::make(&std::env::temp_dir()),
            Err(Error::Folder { .. })
        ));
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn a_path_that_no_socket_fits_into_is_refused_before_anything_starts() {
        let long = std::env::temp_dir().join("x".repeat(80));
        assert!(matches!(Folder::make(&long), Err(Error::FolderTooLong(_))));
    }
}
