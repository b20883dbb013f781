//! A lost kick is found, with the right vCPU; what is merely slow is left alone.

use serde_json::Value;
use vmm_tests::command::{Report, Vmm, skip};

/// A dropped kick need not hurt: the waiter may have looked at the lock just before it would have
/// halted. Of this many in a row one does.
const TRIES: u64 = 6;

// Short enough for a waiter to halt at once, long enough in all for the watchdog to be first.
const RING_3: &str = "ring=3 seconds=60 threshold=1 hold=100 think=10 mortal=0";
const RING_0: &str = "ring=0 seconds=60 threshold=1 hold=10 think=1 mortal=0";

fn drop_kick(number: u64, halt: &str, vcpus: u32, workload: &str) -> Report {
    Vmm::run(&format!(
        "--vcpus {vcpus} --kick vmm --halt {halt} --drop-kick {number} --timeout 30 --"
    ))
    .words(workload)
    .report()
}

fn culprit(run: &Report) -> Value {
    let index = run.count("/hang/culprit");
    run.at(&format!("/hang/vcpus/{index}")).clone()
}

/// The vCPU that the report names did not get kick `number` and will never wake.
fn assert_lost(run: &Report, number: u64) -> Value {
    run.ended("hung", 1);
    assert_eq!(run.text("/ended_by"), "watchdog");
    assert_eq!(run.count("/kicks/dropped"), 1);
    let lost = culprit(run);
    assert_eq!(lost["activity"], "halted", "{}", run.finished);
    assert_eq!(lost["interrupts_enabled"], false);
    assert_eq!(lost["pv_unhalted"], false);
    assert_eq!(lost["last_kick"]["number"], number, "{}", run.finished);
    assert_eq!(lost["last_kick"]["fate"], "dropped");
    let dropped = |vcpu: &&Value| vcpu["last_kick"]["fate"] == "dropped";
    let others = run.list("/hang/vcpus");
    assert_eq!(others.iter().filter(dropped).count(), 1);

    // The same for a person.
    let text = run.finished.stderr.split_whitespace().collect::<Vec<_>>();
    let text = text.join(" ");
    let named = format!(
        "vCPU {} (APIC ID {}) is halted with IF=0 and no pv_unhalted",
        lost["index"], lost["apic_id"]
    );
    let why = format!("last kick to it: number {number} from APIC ID ");
    for part in [&named, &why, "dropped by --drop-kick", "the guest hangs"] {
        assert!(text.contains(part), "no `{part}` in {}", run.finished);
    }
    lost
}

fn a_lost_kick_is_found(halt: &str, workload: &str, first: u64) {
    for number in first..first + TRIES {
        let run = drop_kick(number, halt, 4, workload);
        let harmless = run.text("/outcome") == "timeout" && run.count("/kicks/handled") > number;
        if harmless {
            skip(&run.finished.to_string(), "this kick was not needed");
            continue;
        }
        let lost = assert_lost(&run, number);
        let wait = &lost["waits_for"];
        assert_eq!(wait["lock_index"], 0, "{}", run.finished);
        assert_eq!(wait["ticket"], wait["head"], "{}", run.finished);
        assert_eq!(wait["its_turn"], true, "{}", run.finished);
        assert_eq!(wait["owner"], Value::Null, "{}", run.finished);
        assert_eq!(wait["slow_path"], true, "{}", run.finished);
        let ticket = format!("waiting for lock 0 with ticket {}", wait["ticket"]);
        let text = run.finished.stderr.split_whitespace().collect::<Vec<_>>();
        assert!(text.join(" ").contains(&ticket), "{}", run.finished);
        return;
    }
    panic!("{TRIES} kicks in a row were not needed: nobody halts in this workload");
}

#[test]
fn a_kick_lost_in_ring_3_under_kvms_halt_is_found() {
    a_lost_kick_is_found("kvm", RING_3, 4);
    a_lost_kick_is_found("kvm", RING_3, 500);
}

#[test]
fn a_kick_lost_in_ring_3_under_the_vmms_halt_is_found() {
    a_lost_kick_is_found("vmm", RING_3, 4);
    a_lost_kick_is_found("vmm", RING_3, 500);
}

#[test]
fn a_kick_lost_in_ring_0_under_kvms_halt_is_found() {
    a_lost_kick_is_found("kvm", RING_0, 10);
}

#[test]
fn a_kick_lost_in_ring_0_under_the_vmms_halt_is_found() {
    a_lost_kick_is_found("vmm", RING_0, 10);
}

#[test]
fn a_kick_lost_at_the_start_line_is_found() {
    // The CPU that arrives last kicks all others; its first kick comes before any of a lock.
    for (halt, number) in [("kvm", 1), ("vmm", 1)] {
        let workload = "ring=3 seconds=0.1 threshold=1 mortal=0";
        let run = drop_kick(number, halt, 4, workload);
        if run.text("/outcome") == "completed" {
            skip("a kick at the start line", "its target had not halted yet");
            continue;
        }
        let lost = assert_lost(&run, number);
        assert_eq!(lost["waits_for"], Value::Null, "{}", run.finished);
        assert_eq!(lost["apic_id"], lost["index"]);
    }
}

#[test]
fn a_kick_that_never_comes_to_be_sent_cannot_be_dropped() {
    let run = drop_kick(1 << 40, "kvm", 2, "ring=3 seconds=0.1 threshold=1");
    run.ended("completed", 0);
    assert_eq!(run.count("/kicks/dropped"), 0);
}

#[test]
fn a_holder_that_takes_its_time_is_no_hang() {
    // The other CPUs are halted without interrupts and without a kick all the while.
    for halt in ["kvm", "vmm"] {
        let run = Vmm::run(&format!(
            "--vcpus 3 --kick vmm --halt {halt} --timeout 90 --"
        ))
        .words("ring=3 seconds=0.1 threshold=1 hold=1000000000 think=0 mortal=0")
        .report();
        run.ended("completed", 0);
        assert!(run.count("/guest/taken_slow") > 0, "{}", run.finished);
    }
}

#[test]
fn sixteen_spinners_in_ring_0_are_no_hang() {
    for halt in ["kvm", "vmm"] {
        let run = Vmm::run(&format!(
            "--vcpus 16 --kick vmm --halt {halt} --timeout 90 --"
        ))
        .words("ring=0 seconds=2 lock=ticket hold=1000")
        .report();
        run.ended("completed", 0);
        assert!(run.count("/acquisitions") >= 16, "{}", run.finished);
    }
}
