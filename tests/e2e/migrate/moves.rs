//! Machines that move.

use std::os::unix::net::UnixListener;
use std::thread;

use vmm::control::{OperationKind, State};
use vmm_tests::command::{Vmm, skip};
use vmm_tests::process::Process;

use super::{GUEST, Pair, SMALL, assert_moved, assert_stays, refused, whole};

#[test]
fn a_machine_moves_under_every_kick_and_halt() {
    let pair = Pair::new("moves");
    for (kick, halt) in [("vmm", "kvm"), ("vmm", "vmm"), ("kvm", "kvm")] {
        let switches = format!("--memory 32M --kick {kick} --halt {halt}");
        let tried = Vmm::run(&switches).words("--vcpus 1 -- seconds=0").finish();
        if tried.code == 3 {
            skip(&switches, tried.one_line());
            continue;
        }
        for (ring, workload) in [
            (0, "threshold=1 hold=4 think=1 window=4"),
            (3, "threshold=16 hold=200 think=50 window=200"),
        ] {
            for vcpus in [1, 4, 16] {
                let source = pair.source(
                    &format!("{switches} --vcpus {vcpus}"),
                    &format!("ring={ring} seconds=86400 io=8 clocks=on {workload}"),
                );
                let target = pair.target("");
                let moved = source.migrate(&whole(target.waits_at())).unwrap();
                assert!(moved.pages > 0 && moved.downtime_ns > 0, "{moved:?}");
                assert_moved(source, &target);
                target.stop();
            }
        }
    }
}

#[test]
fn sparse_apic_ids_move() {
    let pair = Pair::new("sparse");
    for (topology, apic) in [
        ("sockets=2,cores=3,threads=1", "xapic"),
        ("sockets=3,cores=1,threads=3", "x2apic"),
    ] {
        for halt in ["kvm", "vmm"] {
            let source = pair.source(
                &format!("--memory 32M --kick vmm --halt {halt} --topology {topology}"),
                &format!("{GUEST} apic={apic}"),
            );
            let target = pair.target("");
            source.migrate(&whole(target.waits_at())).unwrap();
            assert_moved(source, &target);
            target.stop();
        }
    }
}

#[test]
fn a_machine_moves_on_and_on_and_back() {
    let pair = Pair::new("chain");
    let mut machine = pair.source("--vcpus 4 --memory 16M --kick vmm", GUEST);
    for n in 0..6 {
        let api = pair.folder.path(&format!("api{n}"));
        // The places are used again, as by hosts that a machine comes back to.
        let listen = pair.unix(&format!("to{}", n % 3));
        let target = Process::receive(&listen, "", &api);
        let acquired = machine.progress().acquisitions;
        machine.migrate(&whole(&listen)).unwrap();
        assert_moved(machine, &target);
        machine = target;
        assert!(machine.progress().acquisitions > acquired);
    }
    machine.stop();
}

#[test]
fn a_guest_that_moved_comes_to_its_own_end_and_passes() {
    let pair = Pair::new("end");
    // The guest's clock goes on while it is moved, so it has to be given time enough.
    for seconds in [2, 8, 32] {
        let guest = GUEST.replace("86400", &seconds.to_string());
        let source = pair.source(SMALL, &guest);
        let report = pair.folder.path("report");
        let switches = format!("--json {}", report.display());
        let target = pair.target(&switches);
        if source.migrate(&whole(target.waits_at())).is_err() {
            continue;
        }
        let finished = target.finish();
        assert_eq!(finished.code, 0, "{finished}");
        let report: serde_json::Value =
            serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
        assert_eq!(report["outcome"], "completed", "{finished}");
        for (promise, broken) in report["violations"].as_object().unwrap() {
            assert_eq!(broken, 0, "{promise}: {finished}");
        }
        return;
    }
    panic!("a guest of 32 s ended before it could be moved");
}

#[test]
fn a_machine_that_has_hardly_started_moves() {
    let pair = Pair::new("early");
    let run = Vmm::run("--vcpus 4 --memory 16M --kick vmm --serial null --api")
        .arg(pair.folder.path("source"))
        .words("--")
        .words(GUEST);
    let source = Process::start(&run, &pair.folder.path("source"));
    let target = pair.target("");
    source.migrate(&whole(target.waits_at())).unwrap();
    assert_moved(source, &target);
    target.stop();
}

#[test]
fn a_paused_machine_is_not_moved() {
    let pair = Pair::new("paused");
    let source = pair.small();
    let target = pair.target("");
    source.client().pause().unwrap();
    let (code, message, _) = refused(source.migrate(&whole(target.waits_at())));
    assert_eq!(code, 409, "{message}");
    assert_eq!(source.client().status().unwrap().state, State::Paused);
    source.client().resume().unwrap();
    source.progress();
    // And the target waits for it still.
    source.migrate(&whole(target.waits_at())).unwrap();
    assert_moved(source, &target);
    target.stop();
}

#[test]
fn one_migration_at_a_time_and_the_machine_runs_meanwhile() {
    let pair = Pair::new("twice");
    let source = pair.small();
    let listener = UnixListener::bind(pair.folder.path("slow")).unwrap();
    thread::scope(|scope| {
        let first = scope.spawn(|| source.migrate(&whole(&pair.unix("slow"))));
        let (stream, _) = listener.accept().unwrap();
        let (code, message, _) = refused(source.migrate(&whole(&pair.unix("other"))));
        assert_eq!(code, 409, "{message}");
        let status = source.client().status().unwrap();
        assert_eq!(status.state, State::Migrating);
        assert_eq!(status.operation.unwrap().kind, OperationKind::Migrate);
        source.progress();
        drop(stream);
        assert_stays(first.join().unwrap(), &source, "");
    });
    assert_eq!(source.client().status().unwrap().state, State::Running);
    let target = pair.target("");
    source.migrate(&whole(target.waits_at())).unwrap();
    assert_moved(source, &target);
    target.stop();
}
