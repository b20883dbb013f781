//! The payload leaves its spin loops and its critical sections where the host asks, and nowhere
//! else; it says how long its kicks take; who cannot do that is refused.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use vmm_tests::command::{Folder, Report, Vmm};
use vmm_tests::elf::{CODE_GPA, Elf};

/// Exits by the spin stub, 0 where the report has none.
fn spin_stub(run: &Report) -> u64 {
    let exits = run.at("/exits");
    exits.get("spin_stub").map_or(0, |n| n.as_u64().unwrap())
}

#[test]
fn spin_loops_are_left_only_under_soft_ple() {
    // More vCPUs than host CPUs, so that some wait for one that does not run.
    let guest = "ring=3 seconds=0.3 lock=ticket hold=2000 think=0";
    for (switches, leaves) in [
        ("--ple soft:window=16,gap=1000000", true),
        ("--ple soft:gap=0", false),
        ("--ple host", false),
        ("", false),
    ] {
        let run = Vmm::run(&format!("--vcpus 8 --timeout 60 {switches} --"))
            .words(guest)
            .report();
        run.ended("completed", 0);
        let exits = spin_stub(&run);
        assert_eq!(exits > 0, leaves, "{switches}: {}", run.finished);
        assert_eq!(run.count("/guest/spin_exits"), exits, "{}", run.finished);
    }
}

#[test]
fn every_acquire_can_be_an_exit() {
    let run = Vmm::run("--vcpus 2 --timeout 60 --preempt-holder 1,1us --")
        .words("ring=3 seconds=0.1 settle=0 locks=3 mortal=5")
        .report();
    run.ended("completed", 0);
    let acquisitions = run.count("/acquisitions");
    assert_eq!(spin_stub(&run), acquisitions, "{}", run.finished);
    assert_eq!(run.count("/guest/spin_exits"), 0, "{}", run.finished);
}

#[test]
fn kicks_are_timed_where_some_were_sent() {
    let run = |lock| {
        Vmm::run("--vcpus 4 --halt vmm --timeout 60 --")
            .words(&format!("ring=3 seconds=0.3 threshold=1 lock={lock}"))
            .report()
    };
    let kicked = run("pv-ticket-head");
    let ns = ["/kick_p50_ns", "/kick_p99_ns", "/kick_max_ns"].map(|at| kicked.count(at));
    assert!(0 < ns[0] && ns.is_sorted(), "{}", kicked.finished);
    let spun = run("ticket");
    assert!(
        spun.at("").get("kick_p50_ns").is_none(),
        "{}",
        spun.finished
    );
}

#[test]
fn a_guest_without_the_page_is_refused_by_name_of_the_option() {
    let folder = Folder::new("no-handshake");
    let bare = folder.file("bare", &Elf::guest(b"\xf4").bytes());
    let stubs = Elf::guest(b"\xf4").stub_page(CODE_GPA + 0x8000);
    let stubs = folder.file("stubs", &stubs.bytes());
    for (switches, guest, lacks) in [
        ("--ple soft", &bare, "no stub page"),
        ("--ple soft", &stubs, "no handshake page"),
        ("--preempt-holder 0.1", &stubs, "no handshake page"),
    ] {
        let refused = Vmm::run(&format!("--timeout 5 {switches}"))
            .arg(guest)
            .finish();
        assert_eq!(refused.code, 2, "{refused}");
        let line = refused.one_line();
        assert!(line.contains(lacks), "{refused}");
        let option = switches.split(" 0").next().unwrap();
        assert!(line.starts_with(&format!("vmm: {option}: ")), "{refused}");
    }
}
