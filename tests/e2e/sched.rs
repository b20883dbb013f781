//! vCPUs that the VMM schedules: every policy, every lock, and what is asked of a machine meanwhile.

use std::time::Duration;

use guest_payload::lock::LockKind;
use vmm::control::{SnapshotRequest, Then};
use vmm::sched::config::PolicyKind;
use vmm_tests::command::{Folder, Report, Vmm, skip};
use vmm_tests::process::Process;

/// Every policy there is.
fn policies() -> impl Iterator<Item = &'static str> {
    let plain = PolicyKind::PLAIN.map(PolicyKind::name);
    plain.into_iter().chain(["adversarial"])
}

fn run(sched: &str, vcpus: u32, pcpus: u32, payload: &str) -> Report {
    Vmm::run(&format!(
        "--vcpus {vcpus} --sched {sched} --pcpus {pcpus} --slice 1ms --timeout 60 --"
    ))
    .words(payload)
    .report()
}

/// Every check held, and no more was scheduled than there was to schedule.
fn assert_scheduled(run: &Report, sched: &str, vcpus: u32, pcpus: u32) {
    run.ended("completed", 0);
    assert_eq!(run.text("/config/halt"), "vmm");
    assert_eq!(run.text("/sched/policy"), sched);
    assert_eq!(run.count("/sched/pcpus"), u64::from(pcpus));
    assert!(run.count("/sched/switches") >= u64::from(vcpus));
    if vcpus <= pcpus {
        assert_eq!(run.count("/sched/expired"), 0, "{}", run.finished);
        assert_eq!(run.count("/sched/decisions"), 0, "{}", run.finished);
    }
}

#[test]
fn every_policy_runs_every_number_of_vcpus_on_every_number_of_pcpus() {
    for sched in policies() {
        for (vcpus, pcpus) in [(1, 1), (2, 1), (2, 2), (8, 1), (8, 2), (8, 4)] {
            for lock in ["ticket", "pv-ticket-head"] {
                let payload = format!("lock={lock} seconds=0.1");
                let run = run(sched, vcpus, pcpus, &payload);
                assert_scheduled(&run, sched, vcpus, pcpus);
            }
        }
    }
}

#[test]
fn every_lock_keeps_its_promises_on_both_rings() {
    for lock in LockKind::ALL {
        let mortal = if lock.looks_back() { "mortal=0" } else { "" };
        for (ring, sched) in [("0 hold=4 think=1", "round-robin"), ("3", "random")] {
            let payload = format!("lock={} {mortal} ring={ring} seconds=0.2", lock.name());
            assert_scheduled(&run(sched, 4, 1, &payload), sched, 4, 1);
        }
    }
}

#[test]
fn a_vcpu_that_never_halts_loses_its_token_at_its_slices_end() {
    let run = run("round-robin", 2, 1, "lock=ticket ring=3 seconds=0.3");
    assert_scheduled(&run, "round-robin", 2, 1);
    assert!(run.count("/sched/expired") > 0, "{}", run.finished);
    let shown = &run.finished.stderr;
    assert!(shown.contains("round-robin"), "{shown}");
}

#[test]
fn a_kick_yields_where_it_is_asked_to() {
    let payload = "lock=pv-ticket-head ring=3 threshold=16 seconds=0.3";
    for (kick_yield, yields) in [("off", false), ("on", true)] {
        let run = Vmm::run(&format!(
            "--vcpus 4 --sched round-robin --pcpus 1 --kick-yield {kick_yield} --timeout 60 --"
        ))
        .words(payload)
        .report();
        run.ended("completed", 0);
        assert!(run.count("/kicks/to_halted") > 0);
        assert_eq!(run.count("/sched/yields") > 0, yields, "{}", run.finished);
    }
}

#[test]
fn a_lost_kick_is_found_though_nobody_else_has_a_pcpu() {
    const TRIES: u64 = 6;
    for number in 20..20 + TRIES {
        let run = Vmm::run(&format!(
            "--vcpus 4 --sched round-robin --pcpus 1 --drop-kick {number} --timeout 30 --"
        ))
        .words("ring=3 seconds=60 threshold=1 hold=100 think=10 mortal=0")
        .report();
        if run.text("/outcome") == "timeout" {
            skip(&run.finished.to_string(), "this kick was not needed");
            continue;
        }
        run.ended("hung", 1);
        let culprit = run.count("/hang/culprit");
        let lost = run.at(&format!("/hang/vcpus/{culprit}"));
        assert_eq!(lost["last_kick"]["fate"], "dropped", "{}", run.finished);
        assert_eq!(lost["on_pcpu"], "off", "{}", run.finished);
        return;
    }
    panic!("{TRIES} kicks in a row were not needed: nobody halts in this workload");
}

#[test]
fn a_vcpu_that_waits_long_for_its_token_is_not_stuck() {
    // Longer than the watchdog's first judgement.
    let run = Vmm::run("--vcpus 4 --sched round-robin --pcpus 1 --slice 700ms --timeout 90 --")
        .words("lock=ticket ring=3 seconds=0.5")
        .report();
    run.ended("completed", 0);
}

#[test]
fn only_random_draws() {
    for (sched, draws) in [("round-robin", false), ("random", true)] {
        let run = run(sched, 4, 1, "lock=ticket ring=3 seconds=0.1");
        assert_scheduled(&run, sched, 4, 1);
        assert!(run.count("/sched/decisions") > 0, "{}", run.finished);
        assert_eq!(run.at("/sched/draws_digest").is_string(), draws);
        assert!(run.at("/sched/picks_digest").is_string());
    }
}

#[test]
fn a_scheduled_machine_is_paused_saved_and_stopped_as_any_other() {
    let folder = Folder::new("sched");
    let (socket, file) = (folder.path("api"), folder.path("snapshot"));
    let vmm = Vmm::run("--memory 16M --vcpus 4 --sched round-robin --pcpus 1 --api")
        .arg(&socket)
        .words("-- lock=pv-ticket-head ring=3 threshold=16 seconds=8");
    let process = Process::start(&vmm, &socket);
    process.progress();
    let mut client = process.client();
    client.pause().unwrap();
    client.resume().unwrap();
    process.progress();
    let request = SnapshotRequest {
        file: file.clone(),
        then: Then::Resume,
    };
    client.snapshot(&request).unwrap();
    process.progress();
    process.stop();
    let copy = Vmm::new("restore")
        .arg(&file)
        .within(Duration::from_secs(60))
        .finish();
    assert_eq!(copy.code, 0, "{copy}");
}
