use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicU32, Ordering};

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use super::*;
use crate::os::socket_file::BindError;

/// A folder of its own, gone at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("vmm-move-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn socket(&self) -> (PathBuf, Endpoint) {
        let path = self.0.join("socket");
        (path.clone(), Endpoint::Unix(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

#[test]
fn a_socket_is_its_owners_alone_and_goes_away() {
    let folder = Folder::new();
    let (path, listen) = folder.socket();
    let listener = Listener::new(&listen, &Security::Socket).unwrap();
    let mode = fs::symlink_metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    drop(listener);
    assert!(!path.exists());
}

#[test]
fn a_dead_process_s_socket_is_replaced_and_a_live_one_s_is_not() {
    let folder = Folder::new();
    let (path, listen) = folder.socket();
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let _alive = Listener::new(&listen, &Security::Socket).unwrap();
    let error = Listener::new(&listen, &Security::Socket).unwrap_err();
    assert!(matches!(error, Error::Bind(BindError::InUse(_))), "{error}");
    assert!(path.exists());
}

#[test]
fn a_socket_that_another_has_put_in_our_place_stays() {
    let folder = Folder::new();
    let (path, listen) = folder.socket();
    let ours = Listener::new(&listen, &Security::Socket).unwrap();
    fs::remove_file(&path).unwrap();
    let _theirs = UnixListener::bind(&path).unwrap();
    drop(ours);
    assert!(path.exists());
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let folder = Folder::new();
    let (path, listen) = folder.socket();
    fs::write(&path, "precious").unwrap();
    let error = Listener::new(&listen, &Security::Socket).unwrap_err();
    assert!(
        matches!(error, Error::Bind(BindError::NotASocket(_))),
        "{error}"
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    // A link to it is no socket either.
    let link = folder.0.join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let error = Listener::new(&Endpoint::Unix(link), &Security::Socket).unwrap_err();
    assert!(
        matches!(error, Error::Bind(BindError::NotASocket(_))),
        "{error}"
    );
}

#[test]
fn tcp_without_tls_is_for_loopback_and_asked_for() {
    let security = [Security::Socket, Security::Insecure];
    let local: Endpoint = "tcp:127.0.0.1:0".parse().unwrap();
    let everywhere: Endpoint = "tcp:0.0.0.0:0".parse().unwrap();
    // A documentation address (RFC 5737): refused before anything is sent to it.
    let far: Endpoint = "tcp:192.0.2.1:4444".parse().unwrap();
    for (endpoint, security, allowed) in [
        (&local, &security[0], false),
        (&local, &security[1], true),
        (&everywhere, &security[1], false),
    ] {
        let result = Listener::new(endpoint, security);
        assert_eq!(result.is_ok(), allowed, "{endpoint} {security:?}");
        if let Err(error) = result {
            assert!(matches!(error, Error::NeedsTls(_)), "{error}");
        }
    }
    assert!(matches!(
        Dialer::new(&local, &security[0]),
        Err(Error::NeedsTls(_))
    ));
    let limit = Duration::from_secs(1);
    let mut dialer = Dialer::new(&far, &security[1]).unwrap();
    let error = dialer.dial(limit, Pace::new(limit)).unwrap_err();
    assert!(matches!(error, Error::NeedsTls(_)), "{error}");
}

#[test]
fn nobody_there_is_said_so() {
    let folder = Folder::new();
    let (_, target) = folder.socket();
    let limit = Duration::from_secs(1);
    let mut dialer = Dialer::new(&target, &Security::Socket).unwrap();
    let error = dialer.dial(limit, Pace::new(limit)).unwrap_err();
    assert!(error.to_string().contains("does `vmm receive unix:"));
}
