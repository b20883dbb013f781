//! Every lock keeps its promises on every ring, under every kick and halt this host has.

use guest_payload::lock::{LockKind, TicketBits};
use vmm_tests::command::{Report, Vmm, skip};

/// A lock of the table, as the runs here use it.
struct Lock {
    kind: LockKind,
    /// Words for the payload.
    args: String,
    ticket_bits: u64,
}

/// Every lock, with tickets of both widths if it has tickets, and what a lock has besides.
fn locks() -> Vec<Lock> {
    let mut locks = Vec::new();
    for kind in LockKind::ALL {
        // A lock that looks at itself after its release is kept from memory that is freed under it.
        // That it is caught otherwise has a test of its own below.
        let mortal = if kind.looks_back() { "mortal=0" } else { "" };
        let name = kind.name();
        if kind.has_tickets() {
            for (width, bits) in [("small", TicketBits::Eight), ("large", TicketBits::Sixteen)] {
                locks.push(Lock {
                    kind,
                    args: format!("lock={name} tickets={width} {mortal}"),
                    ticket_bits: bits.bits().into(),
                });
            }
        } else {
            locks.push(Lock {
                kind,
                args: format!("lock={name} {mortal}"),
                ticket_bits: 0,
            });
        }
    }
    locks.push(Lock {
        kind: LockKind::PvQspinlock,
        args: "lock=pv-qspinlock wait-early=off".to_owned(),
        ticket_bits: 0,
    });
    locks
}

const VCPUS: [u64; 4] = [1, 2, 4, 16];

/// Whether this host has the combination; if not, the reason is printed.
fn host_has(switches: &str) -> bool {
    let tried = Vmm::run(switches).words("--vcpus 1 -- seconds=0").finish();
    match tried.code {
        0 => true,
        3 => {
            skip(switches, tried.one_line());
            false
        }
        _ => panic!("{tried}"),
    }
}

/// What holds for every run that has come to its end.
fn assert_clean(run: &Report) {
    run.ended("completed", 0);
    for promise in ["mutual_exclusion", "fifo", "touch_after_unlock"] {
        let violations = run.count(&format!("/violations/{promise}"));
        assert_eq!(violations, 0, "{promise}: {}", run.finished);
    }
    let acquisitions = run.count("/acquisitions");
    assert!(acquisitions > 0, "{}", run.finished);
    assert_eq!(run.sum("acquisitions"), acquisitions, "{}", run.finished);
    assert_eq!(run.sum("halts"), run.count("/guest/halts"));
    assert_eq!(run.sum("kicks_sent"), run.count("/guest/kicks_sent"));
    if run.text("/config/kick") == "vmm" {
        let handled = run.count("/kicks/handled");
        assert_eq!(run.sum("kicks_sent"), handled, "{}", run.finished);
        assert_eq!(run.count("/kicks/no_such_apic_id"), 0, "{}", run.finished);
        assert_eq!(run.count("/kicks/dropped"), 0);
    }
}

fn every_lock_on(switches: &str, ring: u64, workload: &str) {
    if !host_has(switches) {
        return;
    }
    for lock in &locks() {
        let is_pv = lock.kind.is_pv();
        let mut slow = 0;
        for vcpus in VCPUS {
            let run = Vmm::run(switches)
                .words(&format!("--vcpus {vcpus} --timeout 60 --"))
                .words(&format!("ring={ring} seconds=0.05 {workload}"))
                .words(&lock.args)
                .report();
            assert_clean(&run);
            assert_eq!(run.text("/config/lock"), lock.kind.name());
            assert_eq!(run.count("/config/ticket_bits"), lock.ticket_bits);
            assert_eq!(run.count("/config/ring"), ring);
            assert_eq!(run.count("/config/vcpus"), vcpus);
            assert_eq!(run.at("/config/pv_active"), is_pv);
            assert_eq!(run.list("/vcpus").len() as u64, vcpus);
            if !is_pv {
                assert_eq!(run.sum("kicks_sent") + run.sum("halts"), 0);
            }
            slow += run.count("/guest/taken_slow");
        }
        assert_eq!(slow > 0, is_pv, "{}: {slow} slow paths", lock.args);
    }
}

// A slow path is sure to be taken where many CPUs do little else. CPL 0 may be emulated.
const RING_3: &str = "threshold=16 hold=200 think=50";
const RING_0: &str = "threshold=1 hold=4 think=1";

#[test]
fn kvm_kicks_and_halts_in_ring_0() {
    every_lock_on("--kick kvm --halt kvm", 0, RING_0);
}

#[test]
fn kvm_kicks_and_halts_in_ring_3() {
    every_lock_on("--kick kvm --halt kvm", 3, RING_3);
}

#[test]
fn the_vmm_kicks_and_kvm_halts_in_ring_0() {
    every_lock_on("--kick vmm --halt kvm", 0, RING_0);
}

#[test]
fn the_vmm_kicks_and_kvm_halts_in_ring_3() {
    every_lock_on("--kick vmm --halt kvm", 3, RING_3);
}

#[test]
fn the_vmm_kicks_and_halts_in_ring_0() {
    every_lock_on("--kick vmm --halt vmm", 0, RING_0);
}

#[test]
fn the_vmm_kicks_and_halts_in_ring_3() {
    every_lock_on("--kick vmm --halt vmm", 3, RING_3);
}

#[test]
fn kvm_cannot_kick_a_vcpu_that_the_vmm_halts() {
    let refused = Vmm::run("--kick kvm --halt vmm").finish();
    assert_eq!(refused.code, 2);
    assert!(refused.one_line().contains("wakes nobody"), "{refused}");
}

#[test]
fn without_pv_the_lock_runs_natively_and_nobody_kicks() {
    for (switches, words) in [
        ("", "nopvspin"),
        ("--pv-unhalt off", ""),
        ("--hint-realtime", ""),
        ("--disable-exits hlt", ""),
    ] {
        for halt in ["kvm", "vmm"] {
            let switches = format!("{switches} --kick vmm --halt {halt}");
            if !host_has(&switches) {
                continue;
            }
            for lock in ["pv-ticket-head", "pv-qspinlock"] {
                let run = Vmm::run(&switches)
                    .words("--vcpus 4 --timeout 60 -- ring=3 seconds=0.05 threshold=16")
                    .words(&format!("lock={lock} {words}"))
                    .report();
                assert_clean(&run);
                assert_eq!(run.at("/config/pv_active"), false, "{}", run.finished);
                assert_eq!(run.count("/kicks/handled"), 0, "{}", run.finished);
                assert_eq!(run.sum("halts"), 0, "{}", run.finished);
                let shown = words == "nopvspin" || switches.contains("realtime");
                assert_eq!(run.at("/config/pv_unhalt"), shown, "{}", run.finished);
            }
        }
    }
}

/// The bug of V8 that Linux 4.0 fixed (`d6abfdb20223`).
#[test]
fn v8_is_caught_touching_freed_memory_and_its_successors_are_not() {
    for (halt, ring) in [
        ("kvm", "ring=3 linger=2000"),
        ("vmm", "ring=3 linger=2000"),
        ("kvm", "ring=0 linger=50"),
    ] {
        let with = |lock: &str| {
            Vmm::run(&format!(
                "--vcpus 4 --kick vmm --halt {halt} --timeout 60 --"
            ))
            .words("seconds=0.7 mortal=1 threshold=1 hold=0 think=0")
            .words(ring)
            .words(lock)
            .report()
        };
        let caught = with("lock=pv-ticket");
        caught.ended("violated", 1);
        let touched = caught.count("/violations/touch_after_unlock");
        assert!(touched > 0, "{}", caught.finished);
        for lock in ["lock=pv-ticket-head", "lock=pv-qspinlock"] {
            let fixed = with(lock);
            assert_clean(&fixed);
            assert!(fixed.count("/guest/freed") > 0, "{}", fixed.finished);
        }
    }
}

#[test]
fn sparse_apic_ids_are_kicked() {
    // Three cores take two bits: the IDs have gaps.
    let run = Vmm::run("--topology sockets=2,cores=3,threads=1 --kick vmm --timeout 60 --")
        .words("ring=3 seconds=0.1 threshold=1")
        .report();
    assert_clean(&run);
    let vcpus = run.list("/vcpus").iter();
    let ids: Vec<_> = vcpus.map(|vcpu| vcpu["apic_id"].as_u64()).collect();
    assert_eq!(ids, [0, 1, 2, 4, 5, 6].map(Some));
    assert!(run.count("/kicks/handled") > 5);
}
