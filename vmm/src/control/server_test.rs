use std::env;
use std::io::{ErrorKind, Read, Write};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;

use vmm_tests::command::Folder;

use super::*;
use crate::control::connections::OPEN_MAX;
use crate::control::fake::{Fake, PATIENT, codes, folder, in_time, parts, rest};

const STATUS: &[u8] = b"GET /status HTTP/1.1\r\nHost: vmm\r\n\r\n";
const SNAPSHOT: &[u8] =
    b"PUT /snapshot HTTP/1.1\r\nHost: vmm\r\nContent-Length: 13\r\n\r\n{\"file\":\"/f\"}";

/// A server that accepts when the test says so, and not before.
struct ByHand {
    fake: Fake,
    path: PathBuf,
    _folder: Folder,
}

impl ByHand {
    fn new() -> Self {
        let folder = folder();
        Self {
            fake: Fake::default(),
            path: folder.path("api"),
            _folder: folder,
        }
    }

    fn server(&self) -> Server<'_> {
        Server::with_limits(SocketFile::bind(&self.path).unwrap(), &self.fake, PATIENT)
    }

    /// A connection that has sent `bytes` and not been accepted yet.
    fn client(&self, bytes: &[u8]) -> UnixStream {
        let mut stream = UnixStream::connect(&self.path).unwrap();
        stream.write_all(bytes).unwrap();
        stream
    }
}

/// One answer, of a connection that stays open.
fn answer(stream: &mut UnixStream) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"}\n") {
        let mut chunk = [0; 4096];
        let read = stream.read(&mut chunk).unwrap();
        assert!(read > 0, "{}", String::from_utf8_lossy(&bytes));
        bytes.extend_from_slice(&chunk[..read]);
    }
    String::from_utf8(bytes).unwrap()
}

fn is_open(mut stream: &UnixStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    stream
        .read(&mut [0])
        .is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

#[test]
fn one_connection_serves_many_requests() {
    let api = ByHand::new();
    in_time(|| {
        thread::scope(|scope| {
            let server = api.server();
            let mut client = api.client(STATUS);
            server.accept(scope);
            for _ in 0..3 {
                assert_eq!(parts(&answer(&mut client)).0, 200);
                client.write_all(STATUS).unwrap();
            }
            assert_eq!(parts(&answer(&mut client)).0, 200);
            server.close();
        });
    });
}

#[test]
fn the_silent_keep_nobody_out() {
    let api = ByHand::new();
    in_time(|| {
        thread::scope(|scope| {
            let server = api.server();
            let mut silent: Vec<_> = (0..OPEN_MAX).map(|_| api.client(b"GET")).collect();
            server.accept(scope);
            let mut client = api.client(STATUS);
            server.accept(scope);
            assert_eq!(parts(&answer(&mut client)).0, 200);
            assert_eq!(rest(&mut silent[0]), "", "the first had to go");
            assert!(silent[1..].iter().all(is_open));
            server.close();
        });
    });
}

#[test]
fn who_was_served_last_stays_longest() {
    let api = ByHand::new();
    in_time(|| {
        thread::scope(|scope| {
            let server = api.server();
            let mut used = api.client(b"");
            server.accept(scope);
            let mut silent: Vec<_> = (1..OPEN_MAX).map(|_| api.client(b"")).collect();
            server.accept(scope);
            used.write_all(STATUS).unwrap();
            answer(&mut used);
            // Its thread may not have taken note yet; a second answer comes after that.
            used.write_all(STATUS).unwrap();
            answer(&mut used);
            let _one_more = api.client(b"");
            server.accept(scope);
            assert_eq!(rest(&mut silent[0]), "");
            assert!(is_open(&used));
            server.close();
        });
    });
}

#[test]
fn operations_are_never_cut_short_and_what_is_too_much_is_told_so() {
    let api = ByHand::new();
    api.fake.hold();
    in_time(|| {
        thread::scope(|scope| {
            let server = api.server();
            let mut busy: Vec<_> = (0..OPEN_MAX).map(|_| api.client(SNAPSHOT)).collect();
            server.accept(scope);
            api.fake.wait_for_held(OPEN_MAX);
            let mut refused = api.client(STATUS);
            server.accept(scope);
            let refused = rest(&mut refused);
            let (code, head, body) = parts(&refused);
            assert_eq!(
                (code, &body["error"]),
                (503, &"too many connections; try again".into())
            );
            assert!(head.contains("Connection: close"));
            api.fake.let_go();
            for client in &mut busy {
                assert_eq!(parts(&answer(client)).0, 200);
            }
            server.close();
        });
    });
}

#[test]
fn status_answers_while_an_operation_runs() {
    let api = ByHand::new();
    api.fake.hold();
    in_time(|| {
        thread::scope(|scope| {
            let server = api.server();
            let mut snapshot = api.client(SNAPSHOT);
            let mut status = api.client(STATUS);
            server.accept(scope);
            api.fake.wait_for_held(1);
            let told = answer(&mut status);
            assert_eq!(parts(&told).2["operation"]["round"], 3);
            assert!(is_open(&snapshot));
            snapshot.set_nonblocking(false).unwrap();
            api.fake.let_go();
            assert_eq!(parts(&answer(&mut snapshot)).2["file"], "/f");
            server.close();
        });
    });
}

#[test]
fn close_ends_who_waits_and_lets_operations_answer() {
    let api = ByHand::new();
    api.fake.hold();
    in_time(|| {
        let (mut silent, mut half, mut working) = thread::scope(|scope| {
            let server = api.server();
            let (silent, half) = (api.client(b""), api.client(&SNAPSHOT[..60]));
            // The second request of the last one comes too late.
            let working = api.client(&[SNAPSHOT, STATUS].concat());
            server.accept(scope);
            api.fake.wait_for_held(1);
            server.close();
            api.fake.let_go();
            (silent, half, working)
        });
        // Their threads have ended, with limits of an hour.
        assert_eq!(rest(&mut silent), "");
        assert_eq!(rest(&mut half), "");
        let answers = rest(&mut working);
        assert_eq!(codes(&answers), [200]);
        assert!(answers.contains("Connection: close\r\n"));
    });
}

#[test]
fn close_does_not_wait_for_who_does_not_read() {
    let api = ByHand::new();
    in_time(|| {
        let unread = thread::scope(|scope| {
            let server = api.server();
            let mut client = api.client(b"");
            server.accept(scope);
            client
                .set_write_timeout(Some(Duration::from_millis(200)))
                .unwrap();
            // Until both directions are full: then the server waits for room for an answer.
            while client.write_all(&STATUS.repeat(100)).is_ok() {}
            server.close();
            client
        });
        drop(unread);
    });
}

#[test]
fn after_close_nobody_is_served() {
    let api = ByHand::new();
    in_time(|| {
        thread::scope(|scope| {
            let server = api.server();
            server.close();
            let mut late = api.client(STATUS);
            server.accept(scope);
            assert_eq!(codes(&rest(&mut late)), [503]);
        });
    });
    assert!(!api.path.exists());
}

/// Run by the next test, in a process whose descriptors it may use up.
#[test]
#[ignore = "uses up the descriptors of its process"]
fn child_without_descriptors() {
    let api = ByHand::new();
    thread::scope(|scope| {
        let server = api.server();
        let mut shed = api.client(STATUS);
        let mut taken = Vec::new();
        while let Ok(one) = server.listener.spare() {
            taken.push(one);
        }
        server.accept(scope);
        assert_eq!(rest(&mut shed), "");
        let error = server.listener.accept().unwrap_err();
        assert_ne!(
            error.kind(),
            ErrorKind::WouldBlock,
            "descriptors are still out"
        );
        taken.clear();
        let error = server.listener.accept().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock, "the loop can sleep");
        let mut client = api.client(STATUS);
        server.accept(scope);
        assert_eq!(parts(&answer(&mut client)).0, 200);
        server.close();
    });
}

#[test]
fn a_connection_without_a_descriptor_does_not_keep_the_loop_busy() {
    let test = "control::server::tests::child_without_descriptors";
    let child = Command::new("sh")
        .args(["-c", "ulimit -n 40 && exec \"$0\" \"$@\""])
        .arg(env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--test-threads=1"])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&child.stdout);
    assert!(
        child.status.success() && told.contains("1 passed"),
        "{told}"
    );
}
