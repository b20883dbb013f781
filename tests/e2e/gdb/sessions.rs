//! Debuggers that come and go.

use std::path::Path;

use guest_payload::IMAGE;
use object::{Object, ObjectSegment};
use vmm_tests::command::{Folder, Vmm};

use super::{LONG, SHORT, address, held, running};

#[test]
fn a_running_guest_is_interrupted_and_let_go() {
    let folder = Folder::new("gdb-interrupt");
    let target = running(&folder, "", "-- seconds=1 ring=0");
    let mut gdb = target.connect();
    // Coming stops it.
    assert!(gdb.ask("?").starts_with("T05"));
    for _ in 0..3 {
        gdb.send("vCont;c");
        gdb.raw(b"\x03");
        assert!(gdb.answer().starts_with("T02"), "SIGINT");
    }
    assert_eq!(gdb.ask("D"), "OK");
    gdb.closed();
    assert_eq!(target.finish().code, 0);
}

#[test]
fn who_goes_without_a_word_leaves_no_breakpoint_behind() {
    let folder = Folder::new("gdb-gone");
    let target = held(&folder, SHORT);
    // Inside the address that goes to CR3 next.
    let entry = address("pvh_entry");
    let to_cr3 = [0x0f, 0x22, 0xd8];
    let at = code_at(entry).windows(3).position(|bytes| bytes == to_cr3);
    let inside = entry + at.unwrap() as u64 - 3;
    let mut gdb = target.connect();
    assert_eq!(gdb.ask(&format!("Z0,{inside:x},1")), "OK");
    drop(gdb);
    assert_eq!(target.finish().code, 0);
}

#[test]
fn kill_ends_the_machine() {
    let folder = Folder::new("gdb-kill");
    let target = running(&folder, "", LONG);
    let mut gdb = target.connect();
    gdb.ask("?");
    gdb.send("k");
    gdb.closed();
    let finished = target.finish();
    assert_eq!(finished.code, 0);
    assert!(finished.stdout.contains("STOPPED"), "{finished}");
}

#[test]
fn one_debugger_at_a_time_and_then_the_next() {
    let folder = Folder::new("gdb-two");
    let target = running(&folder, "", LONG);
    let mut first = target.connect();
    first.ask("?");
    target.connect().closed();
    assert_eq!(first.ask("D"), "OK");
    first.closed();
    let mut second = target.connect();
    assert!(second.ask("?").starts_with("T05"));
    second.send("k");
    assert_eq!(target.finish().code, 0);
}

#[test]
fn a_snapshot_has_none_of_the_debugger_s_breakpoints() {
    let folder = Folder::new("gdb-snapshot");
    let (api, file) = (folder.path("api"), folder.path("snapshot"));
    let target = running(
        &folder,
        &format!("--memory 16M --api {}", api.display()),
        LONG,
    );
    let mut gdb = target.connect();
    gdb.ask("?");
    // A lock that this run does not use.
    let spin = address("<guest_payload::lock::tas::TasLock>::spin");
    assert_eq!(gdb.ask(&format!("Z0,{spin:x},1")), "OK");
    gdb.send("vCont;c");
    let snapshot = |to: &Path| {
        let saved = Vmm::new("snapshot --api").arg(&api).arg(to).finish();
        assert_eq!(saved.code, 0, "{saved}");
    };
    snapshot(&file);
    // And while the debugger has the word.
    gdb.raw(b"\x03");
    assert!(gdb.answer().starts_with("T02"));
    let held = folder.path("held");
    snapshot(&held);
    let code = code_at(spin);
    for file in [&file, &held] {
        let saved = std::fs::read(file).unwrap();
        let is_there = saved.windows(code.len()).any(|bytes| bytes == code);
        assert!(is_there, "{} has the function as it was", file.display());
    }
    let migrate = Vmm::new("migrate --api")
        .arg(&api)
        .arg("unix:/nowhere")
        .finish();
    assert_eq!(migrate.code, 1, "{migrate}");
    assert!(
        migrate.stderr.contains("a debugger is attached"),
        "{migrate}"
    );
    gdb.send("k");
    assert_eq!(target.finish().code, 0);
}

/// The payload's code as the file has it.
fn code_at(address: u64) -> &'static [u8] {
    let file = object::File::parse(IMAGE).unwrap();
    for segment in file.segments() {
        let (start, bytes) = (segment.address(), segment.data().unwrap());
        let at = usize::try_from(address.wrapping_sub(start)).unwrap_or(usize::MAX);
        if let Some(code) = bytes.get(at..at.saturating_add(32)) {
            return code;
        }
    }
    panic!("{address:#x} is in no segment")
}

#[test]
fn only_this_host_can_be_let_in() {
    for (address, why) in [
        ("tcp:0.0.0.0:1234", "no loopback address"),
        ("tcp:[::]:1234", "no loopback address"),
        ("1234", "unix:PATH"),
        ("unix:/no/such/folder/gdb", "no such folder"),
    ] {
        let finished = Vmm::run("--gdb").arg(address).finish();
        assert_eq!(finished.code, 2, "{finished}");
        assert!(finished.stderr.contains(why), "{finished}");
    }
}

#[test]
fn what_is_no_packet_does_no_harm() {
    let folder = Folder::new("gdb-hostile");
    let target = running(&folder, "", LONG);
    let long = vec![b'a'; 1 << 20];
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"$#00",
        b"$m#xx",
        b"$vCont;#00$vCont;s#00",
        b"$QStartNoAckMode#b0\x00\xff\x03\x03\x03",
        b"$G00#d7",
        &long,
        b"$",
    ] {
        let mut client = target.connect();
        client.shove(b"$?#3f");
        client.shove(bytes);
        client.hang_up();
    }
    let mut gdb = target.connect();
    assert!(gdb.ask("?").starts_with("T05"), "it still serves");
    gdb.send("k");
    assert_eq!(target.finish().code, 0);
}
