use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

use super::*;
use crate::control::fake;

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn only_the_owner_may_connect_whatever_the_umask() {
    let folder = fake::folder();
    let path = folder.path("api");
    let listener = SocketFile::bind(&path).unwrap();
    assert_eq!(mode(&path), 0o600);
    drop(listener);
    // The mode comes with bind(2): nothing changes it afterwards, when somebody could be first.
    let socket = unix_socket::listen(&path, 0o640).unwrap();
    assert_eq!(mode(&path), 0o640);
    drop(socket);
}

#[test]
fn the_file_goes_with_the_listener() {
    let folder = fake::folder();
    let path = folder.path("api");
    drop(SocketFile::bind(&path).unwrap());
    assert!(!path.exists());
}

#[test]
fn a_dead_process_socket_is_replaced() {
    let folder = fake::folder();
    let path = folder.path("api");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let listener = SocketFile::bind(&path).unwrap();
    assert_eq!(mode(&path), 0o600);
    UnixStream::connect(&path).unwrap();
    listener.accept().unwrap();
}

#[test]
fn a_live_process_socket_is_refused_even_when_its_queue_is_full() {
    let folder = fake::folder();
    let path = folder.path("api");
    let first = SocketFile::bind(&path).unwrap();
    let refused = SocketFile::bind(&path).unwrap_err();
    assert!(matches!(refused, BindError::InUse(_)), "{refused}");
    assert!(
        refused
            .to_string()
            .contains("another process listens there")
    );
    let mut waiting = Vec::new();
    loop {
        match unix_socket::connect(&path, Duration::from_millis(1)) {
            Ok(stream) => waiting.push(stream),
            Err(error) => break assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }
    let refused = SocketFile::bind(&path).unwrap_err();
    assert!(matches!(refused, BindError::InUse(_)), "{refused}");
    first.accept().unwrap();
}

#[test]
fn what_is_no_stream_socket_is_never_removed() {
    let folder = fake::folder();
    let file = folder.file("file", b"precious");
    symlink("nowhere", folder.path("link")).unwrap();
    fs::create_dir(folder.path("folder")).unwrap();
    let before = folder.content();
    for name in ["file", "link", "folder"] {
        let refused = SocketFile::bind(&folder.path(name)).unwrap_err();
        assert!(matches!(refused, BindError::NotASocket(_)), "{refused}");
    }
    assert_eq!(folder.content(), before);
    assert_eq!(fs::read(file).unwrap(), b"precious");
    let path = folder.path("datagrams");
    let _socket = UnixDatagram::bind(&path).unwrap();
    let refused = SocketFile::bind(&path).unwrap_err();
    assert!(matches!(refused, BindError::InUse(_)), "{refused}");
    assert!(path.exists());
}

#[test]
fn another_ones_file_stays_at_the_end() {
    let folder = fake::folder();
    let path = folder.path("api");
    let listener = SocketFile::bind(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let other = UnixListener::bind(&path).unwrap();
    drop(listener);
    UnixStream::connect(&path).unwrap();
    other.accept().unwrap();
}

#[test]
fn paths_that_cannot_be() {
    let folder = fake::folder();
    let long = folder.path(&"x".repeat(unix_socket::PATH_MAX));
    for path in [Path::new(""), &long] {
        let refused = SocketFile::bind(path).unwrap_err();
        assert!(matches!(refused, BindError::BadPath(_)), "{refused}");
    }
    let refused = SocketFile::bind(&folder.path("no/api")).unwrap_err();
    assert!(matches!(refused, BindError::NoFolder(_)), "{refused}");
    // The longest that fits is bound under its own name and not a cut one.
    let room = unix_socket::PATH_MAX - folder.path("").as_os_str().len();
    let longest = folder.path(&"x".repeat(room));
    let _listener = SocketFile::bind(&longest).unwrap();
    assert_eq!(mode(&longest), 0o600);
}

#[test]
fn two_starts_do_not_replace_one_stale_file_together() {
    let folder = fake::folder();
    let path = folder.path("api");
    drop(UnixListener::bind(&path).unwrap());
    // Another start is between finding the file dead and listening.
    let other = File::open(folder.path("")).unwrap();
    other.lock().unwrap();
    let refused = SocketFile::bind(&path).unwrap_err();
    assert!(matches!(refused, BindError::Locked(_)), "{refused}");
    assert!(path.exists());
    drop(other);
    let listener = SocketFile::bind(&path).unwrap();
    // And none is removed by its end while another start looks at it.
    let other = File::open(folder.path("")).unwrap();
    other.lock().unwrap();
    drop(listener);
    assert!(path.exists());
}
