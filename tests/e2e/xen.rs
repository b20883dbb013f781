//! Xen's interface: the same locks, checks and report as KVM's, and the same that survives a
//! snapshot and a migration.

use std::path::Path;

use guest_payload::lock::LockKind;
use vmm::control::{MigrateRequest, Verify};
use vmm_tests::command::{Folder, Report, Vmm};
use vmm_tests::process::{Process, assert_only_one_runs};

const HALTS: [&str; 2] = ["kvm", "vmm"];
// A slow path is sure to be taken where many CPUs do little else. CPL 0 may be emulated.
const RING_3: &str = "ring=3 threshold=16 hold=200 think=50";
const RING_0: &str = "ring=0 threshold=1 hold=4 think=1";

fn run(switches: &str, guest: &str) -> Report {
    Vmm::run("--xen")
        .words(switches)
        .words("--")
        .words(guest)
        .report()
}

/// Exits of a kind; the report leaves out those that did not happen.
fn exits(run: &Report, reason: &str) -> u64 {
    run.at("/exits")[reason].as_u64().unwrap_or(0)
}

/// What holds for every run that has come to its end.
fn assert_clean(run: &Report) {
    run.ended("completed", 0);
    for promise in ["mutual_exclusion", "fifo", "touch_after_unlock"] {
        let violations = run.count(&format!("/violations/{promise}"));
        assert_eq!(violations, 0, "{promise}: {}", run.finished);
    }
    assert!(run.count("/acquisitions") > 0, "{}", run.finished);
    assert_eq!(run.sum("halts"), run.count("/guest/halts"));
    assert_eq!(run.sum("kicks_sent"), run.count("/guest/kicks_sent"));
    // Every event comes to the VMM, whoever takes KVM's kicks.
    let handled = run.count("/kicks/handled");
    assert_eq!(run.sum("kicks_sent"), handled, "{}", run.finished);
    assert_eq!(run.count("/kicks/not_accepted"), 0, "{}", run.finished);
    assert_eq!(run.count("/kicks/dropped"), 0);
    assert!(!run.at("/config/xen_hypercalls").is_null());
}

/// Polls and events, and none of KVM's halts and kicks.
fn assert_by_events(run: &Report) {
    assert!(run.count("/guest/taken_slow") > 0, "{}", run.finished);
    assert_by_events_if_at_all(run);
}

/// As [`assert_by_events`], for a guest so slow that two vCPUs may not meet.
fn assert_by_events_if_at_all(run: &Report) {
    assert_eq!(run.text("/config/pv"), "xen");
    assert_eq!(run.at("/config/pv_active"), true);
    assert!(exits(run, "xen_hypercall") > 0, "{}", run.finished);
    let by_kvm = exits(run, "halt_stub") + exits(run, "hypercall_stub");
    assert_eq!(by_kvm, 0, "{}", run.finished);
}

/// Words that choose each lock with a slow path, and keep freed memory from those that look back.
fn pv_locks() -> impl Iterator<Item = String> {
    let locks = LockKind::ALL.into_iter().filter(|kind| kind.is_pv());
    locks.map(|kind| {
        let mortal = if kind.looks_back() { "mortal=0" } else { "" };
        format!("{} {mortal}", kind.name())
    })
}

#[test]
fn every_pv_lock_keeps_its_promises_at_cpl_3() {
    for halt in HALTS {
        for lock in pv_locks() {
            for vcpus in [2, 4, 8, 16] {
                let run = run(
                    &format!("--halt {halt} --vcpus {vcpus}"),
                    &format!("pv=xen {RING_3} seconds=0.1 lock={lock}"),
                );
                assert_clean(&run);
                assert_by_events(&run);
                assert_eq!(run.text("/config/halt"), halt);
            }
        }
    }
}

#[test]
fn every_pv_lock_keeps_its_promises_at_cpl_0() {
    for halt in HALTS {
        for lock in pv_locks() {
            let mut taken_slow = 0;
            for vcpus in [2, 4, 8, 16] {
                let run = run(
                    &format!("--halt {halt} --vcpus {vcpus}"),
                    &format!("pv=xen {RING_0} seconds=0.1 lock={lock}"),
                );
                assert_clean(&run);
                assert_by_events_if_at_all(&run);
                taken_slow += run.count("/guest/taken_slow");
            }
            assert!(taken_slow > 0, "{lock} under --halt {halt}");
        }
    }
}

#[test]
fn apic_ids_with_gaps_do_not_confuse_vcpu_ids() {
    for halt in HALTS {
        let topology = "sockets=2,cores=3,threads=1";
        let run = run(
            &format!("--halt {halt} --topology {topology}"),
            &format!("pv=xen {RING_3} seconds=0.1"),
        );
        assert_clean(&run);
        assert_by_events(&run);
        assert_eq!(run.count("/vcpus/3/apic_id"), 4);
    }
}

#[test]
fn more_vcpus_than_the_shared_info_page_has_are_kicked_too() {
    for halt in HALTS {
        let run = run(
            &format!("--halt {halt} --vcpus 40"),
            &format!("pv=xen {RING_3} seconds=0.1"),
        );
        assert_clean(&run);
        assert_by_events(&run);
    }
}

#[test]
fn without_pv_spinlocks_nobody_polls() {
    for word in ["nopvspin", "xen_nopvspin", "pv=native"] {
        for workload in [RING_0, RING_3] {
            let run = run("--vcpus 4", &format!("{workload} seconds=0.1 {word}"));
            assert_clean(&run);
            assert_eq!(run.text("/config/pv"), "native", "{word}");
            assert_eq!(run.count("/guest/taken_slow"), 0, "{word}");
            assert_eq!(exits(&run, "xen_hypercall"), 0, "{}", run.finished);
        }
    }
}

#[test]
fn auto_is_xen_where_it_is_shown_and_kvm_is_still_there() {
    let run_with = |switches, guest: &str| run(switches, &format!("{RING_3} seconds=0.1 {guest}"));
    let auto = run_with("--vcpus 4", "");
    assert_by_events(&auto);
    let kvm = run_with("--vcpus 4 --kick vmm", "pv=kvm");
    assert_clean(&kvm);
    assert_eq!(kvm.text("/config/pv"), "kvm");
    assert!(exits(&kvm, "hypercall_stub") > 0, "{}", kvm.finished);
    assert_eq!(exits(&kvm, "xen_hypercall"), 0, "{}", kvm.finished);
    // `xen_nopvspin` is Xen's alone.
    let kvm = run_with("--vcpus 4 --kick vmm", "pv=kvm xen_nopvspin");
    assert_eq!(kvm.text("/config/pv"), "kvm");
    // Without PV_UNHALT and with the realtime hint KVM's locks are native; Xen's do not ask.
    let hinted = run_with("--vcpus 4 --hint-realtime --pv-unhalt off", "");
    assert_by_events(&hinted);
}

#[test]
fn kick_latency_is_measured_by_events_too() {
    for halt in HALTS {
        let run = run(
            &format!("--halt {halt} --vcpus 2"),
            "mode=latency pv=xen ring=3 seconds=0.1",
        );
        run.ended("completed", 0);
        assert!(run.count("/acquisitions") > 0, "{}", run.finished);
        assert!(run.count("/kicks/to_halted") > 0, "{}", run.finished);
    }
}

#[test]
fn a_dropped_event_hangs_the_guest_and_the_report_says_so() {
    const TRIES: u64 = 6;
    for halt in HALTS {
        // A dropped event need not hurt: the waiter may be at its last look. Of many one does.
        let hung = (8..8 + TRIES).any(|number| {
            let run = run(
                &format!("--vcpus 4 --halt {halt} --drop-kick {number} --timeout 30"),
                "pv=xen ring=3 seconds=60 threshold=1 hold=100 think=10 mortal=0",
            );
            if run.text("/outcome") != "hung" {
                return false;
            }
            assert_eq!(run.count("/kicks/dropped"), 1);
            let culprit = run.count("/hang/culprit");
            let lost = run.at(&format!("/hang/vcpus/{culprit}"));
            assert_eq!(lost["activity"], "halted", "{}", run.finished);
            assert_eq!(lost["last_kick"]["number"], number, "{}", run.finished);
            assert_eq!(lost["last_kick"]["fate"], "dropped");
            true
        });
        assert!(hung, "--halt {halt}");
    }
}

/// Locks that somebody waits for nearly always, long windows for a save to fall into, and
/// everything that the guest can watch.
const WATCHED: &str = "pv=xen io=4 clocks=on threshold=1 think=0 hold=100 window=1000";

#[test]
fn a_machine_is_saved_many_times_and_its_copies_pass_even_without_repair() {
    let folder = Folder::new("xen-saved");
    for halt in HALTS {
        for ring in [0, 3] {
            let api = folder.path(&format!("{halt}{ring}"));
            let source = Process::run(
                &api,
                &format!("--xen --vcpus 3 --memory 16M --halt {halt}"),
                &format!("{WATCHED} ring={ring} seconds=4"),
            );
            let files = [0, 1, 2].map(|copy| folder.path(&format!("{halt}{ring}{copy}.snap")));
            for file in &files {
                let saved = Vmm::new("snapshot --api").arg(&api).arg(file).finish();
                assert_eq!(saved.code, 0, "{saved}");
            }
            let finished = source.finish();
            assert_eq!(finished.code, 0, "{finished}");
            // An event is guest memory, so there is nothing to repair.
            for (file, repair) in files.iter().zip(["", "--no-repair", "--no-repair"]) {
                assert_restores(file, repair);
            }
        }
    }
}

fn assert_restores(file: &Path, switches: &str) {
    let done = Vmm::new("restore").arg(file).words(switches).finish();
    assert_eq!(done.code, 0, "{done}");
    assert!(done.stdout.contains("PASSED: every check held"), "{done}");
}

#[test]
fn a_machine_moves_on_and_on_and_its_events_with_it() {
    let folder = Folder::new("xen-moves");
    for halt in HALTS {
        for (ring, vcpus) in [(0, 2), (3, 4), (3, 16)] {
            let start = folder.path("start");
            let mut machine = Process::run(
                &start,
                &format!("--xen --vcpus {vcpus} --memory 32M --halt {halt}"),
                &format!("{WATCHED} ring={ring} seconds=86400"),
            );
            for n in 0..4 {
                let api = folder.path(&format!("api{n}"));
                let listen = format!("unix:{}", folder.path(&format!("to{n}")).display());
                let target = Process::receive(&listen, "", &api);
                // All of memory is compared: the log has to have what the VMM itself wrote.
                let moved = machine.migrate(&MigrateRequest {
                    verify: Verify::Whole,
                    ..MigrateRequest::new(&listen)
                });
                assert!(moved.unwrap().pages > 0);
                assert_only_one_runs(&target, &machine);
                let finished = machine.finish();
                assert!(finished.stdout.contains("MIGRATED"), "{finished}");
                machine = target;
                // Somebody who waited for an event that was lost would wait for ever.
                machine.progress();
            }
            machine.stop();
        }
    }
}

#[test]
fn a_soak_without_repair_loses_no_event() {
    for mode in ["snapshot", "migrate"] {
        for halt in HALTS {
            let line = format!("soak --xen --mode {mode} --halt {halt} --cycles 5 --no-repair");
            let soak = Vmm::new(&line).words("--json -").finish();
            let report: serde_json::Value = serde_json::from_str(&soak.stdout).unwrap();
            // A vCPU that has been woken and has not run yet counts as a hidden kick: rare, and no loss.
            for count in ["lost_kicks", "hangs", "violations"] {
                assert_eq!(report[count], 0, "{count}: {soak}");
            }
            assert_eq!(report["cycles"], 5, "{soak}");
        }
    }
}

#[test]
fn a_snapshot_tells_of_its_interface() {
    let folder = Folder::new("xen-inspected");
    let api = folder.path("api");
    let file = folder.path("xen.snap");
    let guest = format!("{WATCHED} ring=3 seconds=86400");
    let source = Process::run(&api, "--xen --vcpus 2 --memory 16M", &guest);
    let saved = Vmm::new("snapshot --api").arg(&api).arg(&file).finish();
    assert_eq!(saved.code, 0, "{saved}");
    source.stop();
    let seen = Vmm::new("inspect --verify").arg(&file).finish();
    assert_eq!(seen.code, 0, "{seen}");
    assert!(seen.stdout.contains("Xen's interface (--xen)"), "{seen}");
    assert!(seen.stdout.contains("\nxen "), "{seen}");
}

#[test]
fn xens_locks_without_xens_interface_are_refused() {
    let folder = Folder::new("xen-refused");
    let refused = Vmm::run("-- pv=xen").finish();
    assert_eq!(refused.code, 2, "{refused}");
    assert_eq!(refused.stdout, "", "{refused}");
    assert!(refused.one_line().contains("--xen"), "{refused}");
    // The payload on another VMM, or as a file, finds out by itself.
    let file = folder.file("payload", guest_payload::IMAGE);
    let crashed = Vmm::run("").arg(&file).words("-- pv=xen").finish();
    assert_eq!(crashed.code, 4, "{crashed}");
    assert!(
        crashed
            .stdout
            .contains("pv=xen needs a host that shows Xen's interface"),
        "{crashed}"
    );
    let unknown = Vmm::run("--xen -- pv=hyperv").finish();
    assert_eq!(unknown.code, 2, "{unknown}");
    assert!(
        unknown.one_line().contains("pv=auto|native|kvm|xen"),
        "{unknown}"
    );
}
