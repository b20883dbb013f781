//! Soft PLE and its handlers, the hardware's PLE, preempted lock holders and kicks that go wrong, each
//! by the report of a real run.

use vmm::ple::config::OnSpin;
use vmm_tests::command::{Report, Vmm};

/// 6 vCPUs on 2 pCPUs, whose waiters leave their loops soon.
fn overcommitted(options: &str, workload: &str) -> Report {
    Vmm::run("--vcpus 6 --kick vmm --halt vmm --sched round-robin --pcpus 2 --slice 2ms")
        .words("--timeout 60 --ple soft:window=64")
        .words(options)
        .words("-- ring=3 seconds=0.3 hold=100 think=400")
        .words(workload)
        .report()
}

const TICKET: &str = "lock=ticket nopvspin";
const PV_TICKET: &str = "lock=pv-ticket-head";

#[test]
fn every_handler_of_the_history_keeps_the_locks_promises() {
    // Ours lends pCPUs too, and has tests of its own below.
    let history = OnSpin::ALL.into_iter();
    for handler in history.filter(|handler| *handler != OnSpin::Handshake) {
        let on_spin = handler.name();
        let run = overcommitted(&format!("--on-spin {on_spin}"), TICKET);
        run.ended("completed", 0);
        assert_eq!(run.text("/ple/by"), "soft");
        assert_eq!(run.text("/ple/on_spin"), on_spin);
        let exits = run.count("/ple/spin_exits");
        assert!(exits > 0, "{on_spin}: {}", run.finished);
        let of = |what: &str| run.count(&format!("/ple/outcomes/{what}"));
        let (slept, served) = (of("slept"), of("yielded") + of("nobody"));
        match handler {
            OnSpin::None => assert_eq!((slept, served), (0, 0)),
            OnSpin::Sleep => assert_eq!((slept, served), (exits, 0)),
            _ if handler.yields() => assert_eq!((slept, served), (0, exits)),
            _ => assert_eq!(served, 0),
        }
    }
}

#[test]
fn the_handshake_hands_pcpus_over_with_and_without_pv() {
    for workload in [TICKET, PV_TICKET] {
        let run = overcommitted("--on-spin handshake", workload);
        run.ended("completed", 0);
        let [yielded, lent, given_back] =
            ["yielded", "lent", "given_back"].map(|it| run.count(&format!("/ple/outcomes/{it}")));
        assert!(0 < lent && lent <= yielded, "{}", run.finished);
        assert!(0 < given_back && given_back <= lent, "{}", run.finished);
    }
}

#[test]
fn who_waits_for_a_holder_that_is_kept_away_is_told_to_halt() {
    let run = Vmm::run("--vcpus 2 --kick vmm --halt vmm --sched round-robin --pcpus 2")
        .words("--timeout 60 --ple soft:window=16 --on-spin handshake --preempt-holder 0.05,2ms")
        .words("-- ring=3 seconds=0.3 hold=100 think=100 threshold=1000000")
        .words(PV_TICKET)
        .report();
    run.ended("completed", 0);
    assert!(run.count("/ple/outcomes/preempted") > 0, "{}", run.finished);
    let told = run.count("/ple/outcomes/told_to_halt");
    assert!(told > 0, "{}", run.finished);
}

#[test]
fn windows_grow_from_the_base_and_never_below() {
    let run = overcommitted("", TICKET);
    run.ended("completed", 0);
    assert_eq!(run.count("/ple/window/window"), 64);
    assert_eq!(run.count("/ple/window/least"), 64);
    assert!(run.count("/ple/window/most") >= 128, "{}", run.finished);
}

#[test]
fn every_holder_that_is_to_lose_its_pcpu_does() {
    let run = Vmm::run("--vcpus 2 --kick vmm --halt vmm --preempt-holder 0.05,200us --timeout 60")
        .words("-- ring=3 seconds=0.2 hold=100 think=400 lock=pv-ticket-head threshold=64")
        .report();
    run.ended("completed", 0);
    let acquired = run.count("/ple/outcomes/acquired");
    assert!(acquired > 0, "{}", run.finished);
    assert_eq!(run.count("/ple/outcomes/preempted"), acquired);
    assert_eq!(run.count("/ple/spin_exits"), 0, "without soft PLE");
}

#[test]
fn the_report_tells_what_the_hardware_does() {
    let run = |ple: &str| {
        Vmm::run(&format!(
            "--vcpus 2 --ple {ple} --timeout 60 -- ring=3 seconds=0.02"
        ))
        .report()
    };
    let off = run("off");
    off.ended("completed", 0);
    assert_eq!(off.text("/ple/by"), "off");
    assert_ne!(off.text("/ple/hardware"), "on");
    if off.text("/ple/hardware") == "none" {
        // Never silently: there is nothing to count, and the report says so.
        assert!(off.text("/ple/no_tracepoints").contains("no PLE"));
        assert_eq!(run("host").json.pointer("/ple"), None, "nothing to say");
    }
}

fn faulty(faults: &str, workload: &str) -> Report {
    Vmm::run(&format!(
        "--vcpus 4 --kick vmm --halt vmm --kick-fault {faults} --timeout 30 -- ring=3 {workload}"
    ))
    .words("lock=pv-ticket-head threshold=1 hold=100 think=10")
    .report()
}

#[test]
fn kicks_that_are_swallowed_hang_the_guest_and_the_report_says_whose_they_were() {
    // Not those that start the workload: the seed decides by their numbers.
    let run = faulty("drop=0.02", "seconds=60 mortal=0");
    run.ended("hung", 1);
    let culprit = run.count("/hang/culprit");
    let kick = run.at(&format!("/hang/vcpus/{culprit}/last_kick"));
    assert_eq!(kick["fate"], "swallowed", "{}", run.finished);
    assert!(run.count("/kick_faults/dropped") > 0);
    assert!(run.finished.stderr.contains("dropped by --kick-fault"));
}

#[test]
fn kicks_that_are_doubled_or_late_hang_nobody() {
    let run = faulty("dup=0.5,delay=50", "seconds=0.3");
    run.ended("completed", 0);
    assert!(run.count("/kick_faults/duplicated") > 0, "{}", run.finished);
    let handled = run.count("/kicks/handled");
    assert_eq!(run.count("/kick_faults/delayed"), handled);
}

#[test]
fn kicks_that_go_astray_are_counted_and_may_hang_the_guest() {
    let run = faulty("misroute=0.2", "seconds=0.3 mortal=0");
    assert!(run.count("/kick_faults/misrouted") > 0, "{}", run.finished);
    match run.text("/outcome") {
        "completed" => {}
        "hung" => {
            let culprit = run.count("/hang/culprit");
            let kick = run.at(&format!("/hang/vcpus/{culprit}/last_kick"));
            assert_eq!(kick["fate"], "misrouted", "{}", run.finished);
        }
        other => panic!("{other}: {}", run.finished),
    }
}

#[test]
fn faults_of_kvms_own_kicks_are_refused_in_one_line() {
    let finished = Vmm::run("--kick kvm --kick-fault drop=0.1").finish();
    assert_eq!(finished.code, 2);
    let line = finished.one_line();
    assert!(line.contains("--kick-fault needs --kick vmm"), "{line}");
}
