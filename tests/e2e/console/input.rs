//! What a guest reads from its serial port.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Command, Stdio};

use vmm_tests::command::{Folder, Vmm, binary};

use super::{ECHO_DONE, assert_sent, echo, echo_by_interrupt, finish, read_until, spawn, text};

#[test]
fn a_guest_reads_a_pipe_byte_by_byte() {
    let folder = Folder::new("console-pipe");
    for guest in [echo(), echo_by_interrupt()] {
        let mut child = spawn(&folder.file("guest", &guest), Stdio::piped());
        let mut input = child.stdin.take().unwrap();
        input.write_all(text().as_bytes()).unwrap();
        input.write_all(b"q").unwrap();
        drop(input);
        assert_sent(&finish(child), &text());
    }
}

#[test]
fn a_guest_reads_a_file() {
    let folder = Folder::new("console-file");
    let guest = folder.file("guest", &echo_by_interrupt());
    let input = folder.file("input", format!("{}q", text()).as_bytes());
    let child = spawn(&guest, File::open(input).unwrap().into());
    assert_sent(&finish(child), &text());
}

/// With its interrupt: the line is connected anew, and the controllers are as they were.
#[test]
fn a_restored_guest_goes_on_reading() {
    let folder = Folder::new("console-restore");
    let guest = folder.file("guest", &echo_by_interrupt());
    let [api, snapshot] = ["api", "machine.vmm"].map(|name| folder.path(name));
    let mut child = Command::new(binary())
        .args(["run", "--vcpus", "1", "--timeout", "60", "--api"])
        .args([&api, &guest])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.as_mut().unwrap().write_all(b"abc").unwrap();
    read_until(&mut child, &[b">abc"]);
    let saved = Vmm::new("snapshot --stop --api")
        .arg(&api)
        .arg(&snapshot)
        .finish();
    assert_eq!(saved.code, 0, "{saved}");
    assert_eq!(finish(child).code, 0);
    let mut child = Command::new(binary())
        .args(["restore", "--timeout", "60"])
        .arg(&snapshot)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"defq").unwrap();
    let finished = finish(child);
    assert!(finished.stdout.starts_with("defENDED"), "{finished}");
    assert_eq!(finished.code, ECHO_DONE, "{finished}");
}

#[test]
fn the_end_of_the_input_is_not_the_end_of_the_guest() {
    let folder = Folder::new("console-end");
    let guest = folder.file("guest", &echo());
    let run = Vmm::run("--vcpus 1 --timeout 1 --serial stdio").arg(guest);
    let finished = run.finish();
    assert!(
        finished.stdout.contains("STOPPED by --timeout"),
        "{finished}"
    );
}

#[test]
fn a_guest_with_its_serial_port_elsewhere_reads_nothing() {
    let folder = Folder::new("console-elsewhere");
    let guest = folder.file("guest", &echo());
    let input = folder.file("input", b"abcq");
    let mut input = File::open(input).unwrap();
    let child = Command::new(binary())
        .args(["run", "--timeout", "1", "--serial", "null"])
        .arg(guest)
        .stdin(input.try_clone().unwrap())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    assert_eq!(finish(child).code, 1);
    // Both share one offset.
    let mut rest = String::new();
    input.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "abcq");
}
