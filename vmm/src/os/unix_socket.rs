//! Unix stream sockets step by step: the standard library makes and binds them in one, and then
//! the file's mode and the time limit of a connect come too late.

use std::fs::{File, Permissions};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

/// Longest path of a Unix socket in bytes: `sun_path` without its final zero.
pub const PATH_MAX: usize = size_of::<libc::sockaddr_un>() - size_of::<libc::sa_family_t>() - 1;

#[expect(clippy::cast_possible_truncation, reason = "AF_UNIX is 1")]
const FAMILY: libc::sa_family_t = libc::AF_UNIX as libc::sa_family_t;

/// Queue of connections that nobody has accepted yet.
const BACKLOG: libc::c_int = 128;

/// Binds a new socket file with `mode` from its first moment and listens, without blocking.
///
/// # Errors
/// What the system calls say: `AddrInUse` where the path exists.
pub fn listen(path: &Path, mode: u32) -> io::Result<UnixListener> {
    let (address, length) = address(path)?;
    let socket = File::from(stream_socket()?);
    // bind(2) gives the file the mode of the socket's own inode, less the umask
    // (unix_bind_bsd, net/unix/af_unix.c).
    socket.set_permissions(Permissions::from_mode(mode))?;
    // SAFETY: the address is initialized and its length given.
    if unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: no memory is passed.
    if unsafe { libc::listen(socket.as_raw_fd(), BACKLOG) } < 0 {
        return Err(io::Error::last_os_error());
    }
    let listener = UnixListener::from(OwnedFd::from(socket));
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Connects within `patience`, which is the stream's write time limit afterwards.
///
/// # Errors
/// What the system calls say: `ConnectionRefused` where nobody listens, `WouldBlock` where
/// somebody listens but does not accept.
pub fn connect(path: &Path, patience: Duration) -> io::Result<UnixStream> {
    let (address, length) = address(path)?;
    let stream = UnixStream::from(stream_socket()?);
    // The limit of connect(2) too.
    stream.set_write_timeout(Some(patience))?;
    // SAFETY: the address is initialized and its length given.
    if unsafe { libc::connect(stream.as_raw_fd(), (&raw const address).cast(), length) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(stream)
}

/// The process that listened when `stream` was connected; 0 where that is in a PID namespace that
/// this process does not see.
///
/// # Errors
/// What the system call says.
pub fn peer(stream: &UnixStream) -> io::Result<libc::pid_t> {
    // SAFETY: all zero bytes are a ucred.
    let mut peer: libc::ucred = unsafe { std::mem::zeroed() };
    let mut length = libc::socklen_t::try_from(size_of_val(&peer)).unwrap_or(0);
    // SAFETY: the structure is as long as is said and lives through the call.
    let told = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut peer).cast(),
            &raw mut length,
        )
    };
    if told < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(peer.pid)
}

fn stream_socket() -> io::Result<OwnedFd> {
    // SAFETY: no memory is passed.
    let fd = unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn address(path: &Path) -> io::Result<(libc::sockaddr_un, libc::socklen_t)> {
    let bytes = path.as_os_str().as_bytes();
    if bytes.is_empty() || bytes.len() > PATH_MAX || bytes.contains(&0) {
        return Err(io::Error::from(io::ErrorKind::InvalidFilename));
    }
    // SAFETY: all zero bytes are a sockaddr_un.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = FAMILY;
    for (to, from) in address.sun_path.iter_mut().zip(bytes) {
        *to = from.cast_signed();
    }
    let length = libc::socklen_t::try_from(size_of_val(&address)).unwrap_or(0);
    Ok((address, length))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_file_is_born_with_its_mode() {
        let folder = std::env::temp_dir().join(format!("vmm-unix-socket-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("socket");
        let listener = listen(&path, 0o600).unwrap();
        let mode = fs::symlink_metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let stream = connect(&path, Duration::from_secs(1)).unwrap();
        assert_eq!(peer(&stream).unwrap().unsigned_abs(), std::process::id());
        let again = listen(&path, 0o600).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AddrInUse);
        drop(listener);
        let dead = connect(&path, Duration::from_secs(1)).unwrap_err();
        assert_eq!(dead.kind(), io::ErrorKind::ConnectionRefused);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_path_that_does_not_fit_is_refused() {
        let long = "x".repeat(108);
        for path in ["", &long, "a\0b"] {
            let error = listen(Path::new(path), 0o600).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidFilename, "{path:?}");
        }
    }
}
