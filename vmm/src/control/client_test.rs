use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::process::{Command, Stdio};
use std::thread;

use super::*;
use crate::control::exchange::HEAD_MAX;
use crate::control::fake::{Fake, PATIENT, folder, in_time, serving, status};
use crate::control::{Limits, Refusal, RefusalKind, Server, Then};
use crate::os::readable::wait_until_readable;
use crate::os::socket_file::SocketFile;

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
    let endless = [b"HTTP/1.1 200 OK\r\nX: ".as_slice(), &[b'x'; 2 * HEAD_MAX]].concat();
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

/// Long enough for what comes at once.
const SOON: Duration = Duration::from_secs(60);

#[test]
fn a_connection_that_the_vmm_found_idle_for_too_long_is_made_anew() {
    let fake = Fake::default();
    let hasty = Limits {
        idle: Duration::from_millis(1),
        ..PATIENT
    };
    in_time(|| {
        thread::scope(|scope| {
            let folder = folder();
            let path = folder.path("api");
            let server =
                |limits| Server::with_limits(SocketFile::bind(&path).unwrap(), &fake, limits);
            let first = server(hasty);
            let mut client = Client::connect(&path).unwrap();
            first.accept(scope);
            assert!(wait_until_readable(client.link.as_fd(), SOON), "it is idle");
            drop(first);
            // One that leaves the time that a busy host may need for the new connection.
            let second = server(PATIENT);
            let asks = scope.spawn(move || client.pause());
            assert!(wait_until_readable(second.as_fd(), SOON), "nobody connects");
            second.accept(scope);
            asks.join().unwrap().unwrap();
            second.close();
        });
    });
    assert_eq!(fake.asked(), ["pause"]);
}

const DONE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";

/// What a server does with one connection.
type Serve = fn(UnixStream);

fn read(mut stream: &UnixStream) {
    assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
}

fn closes_before_it_reads(stream: UnixStream) {
    assert!(wait_until_readable(stream.as_fd(), SOON));
}

fn closes_when_it_has_read(stream: UnixStream) {
    read(&stream);
}

fn answers(mut stream: UnixStream) {
    read(&stream);
    stream.write_all(DONE).unwrap();
}

fn says_how_it_is(mut stream: UnixStream) {
    read(&stream);
    let status = serde_json::to_vec(&status()).unwrap();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
        status.len()
    );
    stream
        .write_all(&[head.as_bytes(), &status].concat())
        .unwrap();
}

/// What `ask` comes to with a vmm that does with one connection after the other what `serves` says,
/// each exactly once, and then ends.
fn served<R>(serves: &[Serve], ask: impl FnOnce(Client) -> R) -> R {
    let folder = folder();
    let path = folder.path("api");
    let listener = UnixListener::bind(&path).unwrap();
    thread::scope(|scope| {
        scope.spawn(move || {
            for serve in serves {
                serve(listener.accept().unwrap().0);
            }
        });
        ask(Client::connect(&path).unwrap())
    })
}

fn save(mut client: Client) -> Result<SnapshotDone, Error> {
    client.snapshot(&SnapshotRequest {
        file: "/a".into(),
        then: Then::Resume,
    })
}

#[test]
fn what_nobody_has_read_is_asked_again() {
    in_time(|| {
        served(&[closes_before_it_reads, answers], |mut client| {
            client.stop()
        })
        .unwrap();
        // It is done this time, and has an answer that is no snapshot's.
        let error = served(&[closes_before_it_reads, answers], save).unwrap_err();
        assert!(matches!(error, Error::NotAVmm { .. }), "{error}");
    });
}

#[test]
fn what_may_have_been_done_is_asked_again_only_if_that_is_no_harm() {
    in_time(|| {
        served(&[closes_when_it_has_read, answers], |mut client| {
            client.pause()
        })
        .unwrap();
        let error = served(&[closes_when_it_has_read, says_how_it_is], save).unwrap_err();
        assert!(matches!(error, Error::Unanswered(_)), "{error}");
        assert!(error.to_string().contains("may have been done"), "{error}");
    });
}

fn answers_with_too_much(mut stream: UnixStream) {
    read(&stream);
    // The rest would be the answer to what is asked next.
    let _ = stream.write_all(&[b"no answer\r\n\r\n", DONE].concat());
}

#[test]
fn what_comes_late_is_nobodys_answer() {
    in_time(|| {
        served(&[answers_with_too_much, answers], |mut client| {
            let error = client.pause().unwrap_err();
            assert!(matches!(error, Error::NotAVmm { .. }), "{error}");
            client.resume().unwrap();
        });
    });
}

#[test]
fn what_somebody_may_have_undone_is_not_asked_again() {
    in_time(|| {
        let error = served(&[closes_when_it_has_read, says_how_it_is], |mut client| {
            client.resume()
        });
        let error = error.unwrap_err();
        assert!(matches!(error, Error::Unanswered(_)), "{error}");
    });
}

#[test]
fn who_never_answers_is_not_asked_for_ever() {
    in_time(|| {
        let hangs_up: [Serve; 2] = [closes_when_it_has_read; 2];
        let lives = [&hangs_up[..], &[says_how_it_is]].concat();
        let error = served(&lives, |mut client| client.pause()).unwrap_err();
        assert!(matches!(error, Error::Unanswered(_)), "{error}");
        for ends in [&hangs_up[..1], &hangs_up] {
            let error = served(ends, |mut client| client.pause()).unwrap_err();
            assert!(matches!(error, Error::Ended(_)), "{error}");
            let error = served(&ends[..1], save).unwrap_err();
            assert!(matches!(error, Error::Ended(_)), "{error}");
        }
    });
}

/// Run by the next test: another process that has its socket where an earlier one had it.
#[test]
#[ignore = "serves the next test"]
fn child_that_came_later() {
    let fake = Fake::default();
    let path = env::var_os("API").unwrap();
    let server = Server::with_limits(SocketFile::bind(path.as_ref()).unwrap(), &fake, PATIENT);
    println!("listens");
    thread::scope(|scope| {
        assert!(wait_until_readable(server.as_fd(), SOON));
        server.accept(scope);
        // The client's process tells that it is done with that.
        drop(std::io::stdin().read(&mut [0]));
        server.close();
    });
    assert_eq!(fake.asked(), Vec::<&str>::new());
}

#[test]
fn a_connection_is_not_made_anew_to_another_vmm() {
    let folder = folder();
    let path = folder.path("api");
    let listener = UnixListener::bind(&path).unwrap();
    let mut client = Client::connect(&path).unwrap();
    drop(listener);
    std::fs::remove_file(&path).unwrap();
    let test = "control::client::tests::child_that_came_later";
    let mut child = Command::new(env::current_exe().unwrap())
        .args([
            "--exact",
            test,
            "--ignored",
            "--test-threads=1",
            "--nocapture",
        ])
        .env("API", &path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(said.any(|line| line.unwrap().contains("listens")));
    let error = client.stop().unwrap_err();
    assert!(matches!(error, Error::Ended(_)), "{error}");
    drop(child.stdin.take());
    let rest: Vec<_> = said.map(Result::unwrap).collect();
    assert!(child.wait().unwrap().success(), "{rest:?}");
}
