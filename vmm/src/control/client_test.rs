use std::io::{Read, Write};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::thread;

use super::*;
use crate::control::fake::{Fake, PATIENT, folder, in_time, serving, status};
use crate::control::{Refusal, RefusalKind, Then};

#[test]
fn every_call_reaches_the_machine() {
    let fake = Fake::default();
    in_time(|| {
        serving(&fake, PATIENT, |path| {
            // All over one connection.
            let mut client = Client::connect(path).unwrap();
            assert_eq!(client.status().unwrap(), status());
            client.pause().unwrap();
            client.resume().unwrap();
            let request = SnapshotRequest {
                file: "/a \"b\"/ü".into(),
                then: Then::StayPaused,
            };
            let done = client.snapshot(&request).unwrap();
            assert_eq!(done.file, request.file);
            assert_eq!(fake.last_snapshot(), Some(request));
            let request = MigrateRequest {
                tls_ca: Some("/ca".into()),
                max_rounds: 3,
                ..MigrateRequest::new("tcp:h:1")
            };
            assert_eq!(client.migrate(&request).unwrap().rounds, 3);
            assert_eq!(fake.last_migrate(), Some(request));
            client.stop().unwrap();
        });
    });
    assert_eq!(
        fake.asked(),
        ["pause", "resume", "snapshot", "migrate", "stop"]
    );
}

#[test]
fn a_refusal_comes_with_its_details() {
    let fake = Fake::default();
    fake.refuse(Some(Refusal {
        kind: RefusalKind::Conflict,
        message: "no".to_owned(),
        details: vec!["one".to_owned(), "two".to_owned()],
    }));
    in_time(|| {
        serving(&fake, PATIENT, |path| {
            let error = Client::connect(path).unwrap().pause().unwrap_err();
            assert!(matches!(error, Error::Refused { code: 409, .. }));
            assert_eq!(error.to_string(), "no\n  one\n  two");
        });
    });
}

#[test]
fn a_path_that_is_no_utf8_is_not_sent() {
    use std::os::unix::ffi::OsStrExt;
    let fake = Fake::default();
    in_time(|| {
        serving(&fake, PATIENT, |path| {
            let request = SnapshotRequest {
                file: Path::new(std::ffi::OsStr::from_bytes(b"/\xff")).into(),
                then: Then::Resume,
            };
            let error = Client::connect(path)
                .unwrap()
                .snapshot(&request)
                .unwrap_err();
            assert!(matches!(error, Error::Request(_)), "{error}");
        });
    });
    assert!(fake.asked().is_empty());
}

#[test]
fn wrong_sockets_are_told_apart() {
    let folder = folder();
    let refused = |name: &str| Client::connect(&folder.path(name)).unwrap_err().to_string();
    assert!(refused("none").contains("no such socket; start a vmm there with `vmm run --api /"));
    folder.file("file", b"");
    assert!(refused("file").contains("is no socket"));
    assert!(refused("file/api").contains("cannot be used"));
    drop(UnixListener::bind(folder.path("dead")).unwrap());
    assert!(refused("dead").contains("no vmm listens there; start one with `vmm run --api /"));
    let _datagrams = UnixDatagram::bind(folder.path("datagrams")).unwrap();
    assert!(refused("datagrams").contains("no stream socket"));
    assert!(refused(&"x".repeat(200)).contains("1 to 107 bytes"));
}

/// The error of a client that gets `answer` and then the end.
fn answered(answer: &[u8]) -> Error {
    let folder = folder();
    let path = folder.path("api");
    let listener = UnixListener::bind(&path).unwrap();
    thread::scope(|scope| {
        scope.spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]);
            // Refused in the middle, it is not written to the end.
            let _ = stream.write_all(answer);
        });
        Client::connect(&path).unwrap().status().unwrap_err()
    })
}

#[test]
fn what_is_no_vmm_is_recognised() {
    let endless = [
        b"HTTP/1.1 200 OK\r\nX: ".as_slice(),
        &[b'x'; 2 * ANSWER_MAX],
    ]
    .concat();
    for answer in [
        b"SSH-2.0-OpenSSH\r\n".as_slice(),
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\n<htm>",
        &endless,
    ] {
        let error = answered(answer);
        assert!(matches!(error, Error::NotAVmm { .. }), "{error}");
    }
}

#[test]
fn a_vmm_that_ends_is_told() {
    for answer in [
        b"".as_slice(),
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{",
    ] {
        let error = answered(answer);
        assert!(matches!(error, Error::Ended(_)), "{error}");
    }
}
