//! The one that waits for a machine.

use std::io::Write;
use std::net::TcpListener;
use std::os::unix::net::UnixStream;

use vmm_tests::command::Vmm;

use super::{Pair, assert_moved, assert_stays, whole};

#[test]
fn a_receiver_that_is_told_to_end_leaves_nothing() {
    let pair = Pair::new("told");
    for signal in ["INT", "TERM"] {
        let target = pair.target("");
        assert!(pair.folder.path("to").exists());
        target.signal(signal);
        let finished = target.finish();
        assert_eq!(finished.code, 1, "{finished}");
        assert!(finished.stderr.contains("cancelled"), "{finished}");
        assert_eq!(pair.folder.content(), [], "{finished}");
    }
}

#[test]
fn a_receiver_that_was_killed_can_be_started_again_in_its_place() {
    let pair = Pair::new("killed");
    let source = pair.small();
    let target = pair.target("");
    target.hand().kill();
    let answer = source.migrate(&whole(&pair.unix("to")));
    assert_stays(answer, &source, "vmm receive");
    let target = pair.target("");
    source.migrate(&whole(target.waits_at())).unwrap();
    assert_moved(source, &target);
    target.stop();
}

#[test]
fn a_receiver_is_not_disturbed_by_those_who_bring_nothing() {
    let pair = Pair::new("strangers");
    let source = pair.small();
    let target = pair.target("--peer-timeout 1");
    let connect = || UnixStream::connect(pair.folder.path("to")).unwrap();
    drop(connect());
    connect().write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    // One that says nothing keeps others waiting for its time limit only.
    let silent = connect();
    source.migrate(&whole(target.waits_at())).unwrap();
    drop(silent);
    assert_moved(source, &target);
    target.stop();
}

#[test]
fn a_taken_place_is_left_to_who_has_it() {
    let pair = Pair::new("taken");
    let target = pair.target("");
    let second = Vmm::new("receive").arg(pair.unix("to")).finish();
    assert_eq!(second.code, 2, "{second}");
    assert!(
        second.one_line().contains("another process listens"),
        "{second}"
    );
    pair.folder.file("file", b"mine");
    let file = Vmm::new("receive").arg(pair.unix("file")).finish();
    assert_eq!(file.code, 2, "{file}");
    assert!(file.one_line().contains("is no socket"), "{file}");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp:{}", taken.local_addr().unwrap());
    let port = Vmm::new("receive --insecure").arg(&address).finish();
    assert_eq!(port.code, 2, "{port}");
    assert!(port.one_line().contains(&address), "{port}");
    assert!(!target.has_ended());
}
