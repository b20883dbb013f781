//! `--gdb`: a real gdb looks into the payload and into Linux, and bare packets where gdb is too
//! polite.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::env;
use std::path::{Path, PathBuf};

use guest_payload::IMAGE;
use object::{Object, ObjectSegment, ObjectSymbol};
use vmm_tests::command::{Folder, Vmm, skip};
use vmm_tests::gdb::{self, Remote, Target};

/// Ends by itself soon.
const SHORT: &str = "-- seconds=0.2 ring=0";
/// Runs until somebody ends it.
const LONG: &str = "-- seconds=90 ring=0";

/// Two vCPUs that wait for a debugger at a Unix socket.
fn held(folder: &Folder, guest: &str) -> Target {
    let place = format!("unix:{}", folder.path("gdb").display());
    Target::start(&Vmm::run("--vcpus 2 --gdb").arg(place).words(guest))
}

/// The same, and the guest runs.
fn running(folder: &Folder, switches: &str, guest: &str) -> Target {
    let place = format!("unix:{},nowait", folder.path("gdb").display());
    let run = Vmm::run("--vcpus 2").words(switches).words("--gdb");
    Target::start(&run.arg(place).words(guest))
}

/// The address of a function of the payload, of the only one where it is generic.
fn address(function: &str) -> u64 {
    let file = object::File::parse(IMAGE).unwrap();
    let named = |symbol: &object::Symbol<'_, '_>| {
        let name = rustc_demangle::demangle(symbol.name().unwrap_or(""));
        let name = format!("{name:#}");
        name.strip_prefix(function)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with("::<"))
    };
    let found = file.symbols().find(named);
    found.unwrap_or_else(|| panic!("no {function}")).address()
}

/// Every line of `expected` is in `said`, in this order.
fn says(said: &str, expected: &[&str]) {
    let mut rest = said;
    for line in expected {
        let at = rest.find(line);
        let at = at.unwrap_or_else(|| panic!("no `{line}` in what is left of\n{said}"));
        rest = &rest[at + line.len()..];
    }
}

#[test]
fn the_guest_waits_before_its_first_instruction() {
    if !gdb::is_installed("the guest waits") {
        return;
    }
    let folder = Folder::new("gdb-first");
    let target = held(&folder, SHORT);
    let said = target.gdb(
        &gdb::payload(&folder),
        &[
            "info registers rip rbx cr0 efer",
            "info threads",
            "x/i $pc",
            "stepi",
            "continue",
        ],
    );
    says(
        &said,
        &[
            "pvh_entry",
            // PVH: the start info's address, protected mode without paging.
            "rip            0x100000",
            "rbx            0x6000",
            "cr0            0x11",
            "efer           0x0",
            "vcpu0, APIC ID 0: CPL 0",
            "vcpu1, APIC ID 1: waits for SIPI",
            "cld",
            "0x0000000000100001 in pvh_entry",
            "exited normally",
        ],
    );
    assert_eq!(target.finish().code, 0);
}

#[test]
fn breakpoints_in_registers_and_in_memory_stop_the_vcpu_that_meets_them() {
    if !gdb::is_installed("breakpoints") {
        return;
    }
    let folder = Folder::new("gdb-break");
    for (set, place) in [
        (
            "hbreak ap_main",
            format!("unix:{}", folder.path("gdb").display()),
        ),
        ("break ap_main", "tcp:127.0.0.1:0".to_owned()),
    ] {
        let target = Target::start(&Vmm::run("--vcpus 2 --gdb").arg(place).words(SHORT));
        let said = target.gdb(
            &gdb::payload(&folder),
            &[
                set,
                "continue",
                "info threads",
                "stepi",
                "x/i $pc",
                "delete",
                "continue",
            ],
        );
        says(
            &said,
            &[
                "Thread 2 hit Breakpoint 1",
                "in ap_main ()",
                "vcpu0, APIC ID 0",
                "* 2    Thread 1.2 (vcpu1, APIC ID 1: CPL 0)",
                "ap_main+1>",
                "exited normally",
            ],
        );
        assert_eq!(target.finish().code, 0, "{set}");
    }
}

#[test]
fn code_at_cpl_3_can_be_stopped_and_stepped() {
    let folder = Folder::new("gdb-cpl3");
    let target = held(&folder, "-- seconds=0.2 ring=3");
    let mut gdb = target.connect();
    let run = address("payload::workload::run");
    assert_eq!(gdb.ask(&format!("Z0,{run:x},1")), "OK");
    // Whoever comes first.
    let stop = gdb.ask("vCont;c");
    let thread = stop
        .split("thread:")
        .nth(1)
        .unwrap()
        .split(';')
        .next()
        .unwrap();
    assert!(stop.contains("swbreak"), "{stop}");
    assert_eq!(gdb.ask(&format!("z0,{run:x},1")), "OK");
    assert_eq!(gdb.ask(&format!("Hg{thread}")), "OK");
    assert_eq!(rip(&mut gdb), run);
    assert_eq!(u64_register(&mut gdb, 0x12) & 3, 3, "CS.RPL");
    let mut before = run;
    for _ in 0..20 {
        let stop = gdb.ask(&format!("vCont;s:{thread}"));
        assert!(stop.starts_with("T05"), "{stop}");
        let now = rip(&mut gdb);
        assert_ne!(now, before, "a step leads on");
        before = now;
    }
    assert_eq!(gdb.ask("vCont;c"), "W00");
    assert_eq!(target.finish().code, 0);
}

/// A register by gdb's number, of the thread that `Hg` chose.
fn u64_register(gdb: &mut Remote, number: u32) -> u64 {
    let hex = gdb.ask(&format!("p{number:x}"));
    let bytes: Vec<u8> = (0..hex.len() / 2)
        .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap())
        .collect();
    bytes
        .iter()
        .rev()
        .fold(0, |value, byte| value << 8 | u64::from(*byte))
}

fn rip(gdb: &mut Remote) -> u64 {
    u64_register(gdb, 16)
}

#[test]
fn registers_and_memory_can_be_changed() {
    let folder = Folder::new("gdb-change");
    let target = held(&folder, SHORT);
    let mut gdb = target.connect();
    let entry = rip(&mut gdb);
    for (number, value) in [
        (0, "8877665544332211"),
        (40, "000102030405060708090a0b0c0d0e0f"),
    ] {
        let before = gdb.ask(&format!("p{number:x}"));
        assert_ne!(before, value);
        assert_eq!(gdb.ask(&format!("P{number:x}={value}")), "OK");
        assert_eq!(gdb.ask(&format!("p{number:x}")), value);
        assert_eq!(gdb.ask(&format!("P{number:x}={before}")), "OK");
    }
    // A selector needs a descriptor, which only the guest can load.
    assert!(gdb.ask("P12=18000000").starts_with('E'));
    let all = gdb.ask("g");
    assert_eq!(gdb.ask(&format!("G{all}")), "OK");
    assert_eq!(gdb.ask("g"), all);

    assert_eq!(gdb.ask("M40000,4:01020304"), "OK");
    assert_eq!(gdb.ask("m40000,4"), "01020304");
    // What is planted is not seen, and stays under what is written.
    let code = gdb.ask(&format!("m{entry:x},8"));
    assert_eq!(gdb.ask(&format!("Z0,{:x},1", entry + 1)), "OK");
    assert_eq!(gdb.ask(&format!("m{entry:x},8")), code);
    assert_eq!(gdb.ask(&format!("M{entry:x},8:{code}")), "OK");
    assert_eq!(gdb.ask(&format!("m{entry:x},8")), code);
    assert!(gdb.ask("vCont;c").contains("swbreak"));
    assert_eq!(rip(&mut gdb), entry + 1);
    assert_eq!(gdb.ask("D"), "OK");
    assert_eq!(target.finish().code, 0);
}

#[test]
fn where_there_is_no_memory_there_is_an_error() {
    let folder = Folder::new("gdb-memory");
    let target = held(&folder, SHORT);
    let mut gdb = target.connect();
    for packet in [
        "m8000000,4",
        "mffffffffffffffff,1",
        "mfffffffffffff000,2000",
        "mffffffffffffff00,100",
        "M8000000,1:00",
        "Z0,8000000,1",
        "z0,1234,1",
        "Z2,1,8",
        "Z2,ffffffffffffffff,8",
        "Z3,0,ffffffffffffffff",
    ] {
        let answer = gdb.ask(packet);
        assert!(
            answer.starts_with('E') || packet.starts_with("Z2,1,"),
            "{packet}: {answer}"
        );
    }
    assert_eq!(gdb.ask("D"), "OK");
    assert_eq!(target.finish().code, 0);
}

#[test]
fn one_vcpu_steps_while_the_other_stays() {
    let folder = Folder::new("gdb-locked");
    let target = held(&folder, SHORT);
    let mut gdb = target.connect();
    let entry = address("ap_main");
    assert_eq!(gdb.ask(&format!("Z1,{entry:x},1")), "OK");
    assert!(gdb.ask("vCont;c").contains("thread:02"));
    assert_eq!(gdb.ask(&format!("z1,{entry:x},1")), "OK");
    gdb.ask("Hg1");
    let first = gdb.ask("g");
    for _ in 0..10 {
        assert!(gdb.ask("vCont;s:2").starts_with("T05thread:02"));
    }
    gdb.ask("Hg1");
    assert_eq!(gdb.ask("g"), first, "only the second was let go");
    gdb.ask("Hg2");
    assert_ne!(rip(&mut gdb), entry);
    assert_eq!(gdb.ask("vCont;c"), "W00");
    assert_eq!(target.finish().code, 0);
}

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
fn a_crash_can_be_looked_at_before_it_ends_the_machine() {
    let folder = Folder::new("gdb-crash");
    let target = held(&folder, SHORT);
    let mut gdb = target.connect();
    // There is nothing there.
    assert_eq!(gdb.ask("P10=000000f000000000"), "OK");
    let stop = gdb.ask("vCont;c");
    assert!(stop.starts_with("T06"), "SIGABRT: {stop}");
    assert_eq!(rip(&mut gdb), 0xf000_0000);
    assert_eq!(gdb.ask("vCont;c"), "W04");
    assert_eq!(target.finish().code, 4);
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

#[test]
fn a_watchpoint_stops_where_the_host_has_them_and_is_refused_elsewhere() {
    let folder = Folder::new("gdb-watch");
    let target = held(&folder, SHORT);
    let mut gdb = target.connect();
    // The first push of the boot code is right below its stack's top; watch all CPUs' APIC IDs.
    let answer = gdb.ask("Z2,6000,8");
    if answer == "OK" {
        assert_eq!(gdb.ask("z2,6000,8"), "OK");
    } else {
        assert!(answer.starts_with('E'));
        skip("watchpoints", "this host's KVM has none for a guest");
    }
    assert_eq!(gdb.ask("D"), "OK");
    let finished = target.finish();
    assert_eq!(finished.code, 0);
    if answer != "OK" {
        assert!(
            finished.stderr.contains("can-use-hw-watchpoints 0"),
            "{finished}"
        );
    }
}

/// The small Linux of `make linux-guest`, which `make test-linux` names.
fn vmlinux() -> Option<PathBuf> {
    let folder = env::var_os("LINUX_GUEST").map(PathBuf::from);
    let image = folder.map(|folder| folder.join("vmlinux"));
    if image.is_none() {
        skip("gdb on Linux", "`make test-linux` has it");
    }
    image
}

#[test]
fn linux_stops_where_it_starts() {
    let Some(image) = vmlinux() else { return };
    if !gdb::is_installed("gdb on Linux") {
        return;
    }
    let run = Vmm::run("--vcpus 2 --serial null --gdb tcp:127.0.0.1:0").arg(&image);
    let target = Target::start(&run);
    let said = target.gdb(
        &image,
        &[
            "hbreak start_kernel",
            "continue",
            "bt",
            "info threads",
            "stepi",
            "x/i $pc",
            // Only now is it mapped where it was linked.
            "break rest_init",
            "continue",
            "bt",
            "kill",
        ],
    );
    says(
        &said,
        &[
            "hit Breakpoint 1",
            "in start_kernel ()",
            "in secondary_startup_64 ()",
            "vcpu0, APIC ID 0: CPL 0",
            "vcpu1, APIC ID 1: waits for SIPI",
            "start_kernel+",
            "hit Breakpoint 2",
            "in rest_init ()",
            "in start_kernel ()",
        ],
    );
    assert_eq!(target.finish().code, 0);
}
