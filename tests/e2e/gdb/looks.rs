//! What a debugger sees and changes.

use vmm_tests::command::Folder;

use super::{SHORT, held, rip};

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
