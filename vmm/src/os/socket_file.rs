//! The socket file: made by one process, replaced when that one is dead, removed by its maker.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::unix_socket;

/// Only the user who started the machine may use it.
const MODE: u32 = 0o600;
/// How long to ask an existing socket whether it is alive.
const LIVENESS_PATIENCE: Duration = Duration::from_millis(100);
/// How long another process may keep the folder's lock.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// A Unix socket that this process listens on. Its file goes with the value, if it is still this
/// one's.
#[derive(Debug)]
pub struct SocketFile {
    socket: UnixListener,
    path: PathBuf,
    file: FileId,
}

/// Which file a path leads to. A bound socket keeps its inode, so the number cannot be another's
/// while the socket is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

/// Why there is no listener.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another process answers there.
    #[error(
        "{}: another process listens there; choose another path or end that process",
        .0.display()
    )]
    InUse(PathBuf),
    /// What is there is no socket.
    #[error(
        "{}: exists and is no socket; it was left as it is, choose another path",
        .0.display()
    )]
    NotASocket(PathBuf),
    /// Longer than a Unix socket's address.
    #[error(
        "{}: a Unix socket's path has 1 to {} bytes; choose a shorter one",
        .0.display(),
        unix_socket::PATH_MAX
    )]
    BadPath(PathBuf),
    /// The folder is missing.
    #[error("{}: no such folder; make it first", .0.display())]
    NoFolder(PathBuf),
    /// Somebody else holds the lock that keeps two processes from replacing one file.
    #[error("{}: another process keeps the folder locked; choose another folder", .0.display())]
    Locked(PathBuf),
    /// Anything else.
    #[error("{}: cannot listen there", path.display())]
    System {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl SocketFile {
    /// Listens at `path`, without blocking; the file has mode 0600 from its first moment. The
    /// socket file of a dead process is replaced.
    ///
    /// # Errors
    /// [`BindError`]; what was at `path` is still there.
    pub fn bind(path: &Path) -> Result<Self, BindError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::InvalidFilename => BindError::BadPath(path.into()),
            io::ErrorKind::AddrInUse => BindError::InUse(path.into()),
            io::ErrorKind::NotFound => BindError::NoFolder(folder(path).into()),
            _ => BindError::System {
                path: path.into(),
                source,
            },
        };
        // Held until there is somebody who listens: a file that is bound and does not listen yet
        // looks like that of a dead process.
        let _lock = lock(path)?;
        remove_if_dead(path)?;
        let socket = unix_socket::listen(path, MODE).map_err(failed)?;
        let file = FileId::of(path).map_err(failed)?;
        Ok(Self {
            socket,
            path: path.into(),
            file,
        })
    }

    /// The next connection; `WouldBlock` when nobody waits.
    pub fn accept(&self) -> io::Result<UnixStream> {
        Ok(self.socket.accept()?.0)
    }

    /// A second descriptor of the same socket, to have one to give up.
    pub fn spare(&self) -> io::Result<UnixListener> {
        self.socket.try_clone()
    }
}

impl AsFd for SocketFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for SocketFile {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Nobody is left to be told; the next process at this path replaces what stays.
        let Ok(_lock) = lock(&self.path) else { return };
        if FileId::of(&self.path).is_ok_and(|file| file == self.file) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl FileId {
    fn of(path: &Path) -> io::Result<Self> {
        let found = fs::symlink_metadata(path)?;
        Ok(Self {
            device: found.dev(),
            inode: found.ino(),
        })
    }
}

/// Removes the socket file of a dead process.
fn remove_if_dead(path: &Path) -> Result<(), BindError> {
    let system = |source| BindError::System {
        path: path.into(),
        source,
    };
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(BindError::NotASocket(path.into()));
        }
        Ok(_) => {}
        // What else is wrong, binding says.
        Err(_) => return Ok(()),
    }
    match unix_socket::connect(path, LIVENESS_PATIENCE) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(system)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        // EPROTOTYPE is a datagram socket, EAGAIN a full queue: there is somebody.
        Ok(_) => Err(BindError::InUse(path.into())),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Err(BindError::InUse(path.into()))
        }
        Err(error) if error.raw_os_error() == Some(libc::EPROTOTYPE) => {
            Err(BindError::InUse(path.into()))
        }
        Err(error) => Err(system(error)),
    }
}

/// Locks the folder of `path` against other processes that replace or remove a socket there.
/// Where a folder cannot be locked, the rare race of two starts at one stale file stays.
fn lock(path: &Path) -> Result<Option<File>, BindError> {
    let Ok(folder) = File::open(folder(path)) else {
        return Ok(None);
    };
    let since = Instant::now();
    loop {
        match folder.try_lock() {
            Ok(()) => return Ok(Some(folder)),
            Err(TryLockError::Error(_)) => return Ok(None),
            Err(TryLockError::WouldBlock) if since.elapsed() > LOCK_PATIENCE => {
                return Err(BindError::Locked(path.into()));
            }
            Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(5)),
        }
    }
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
#[path = "socket_file_test.rs"]
mod tests;
