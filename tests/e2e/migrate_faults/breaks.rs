//! Connections that break or fall silent.

use vmm::control::MigrateRequest;
use vmm_tests::process::assert_only_one_runs;
use vmm_tests::proxy::{Act, At, Fault, Frame, Proxy, Way};

use super::{FRAMES, Stage, assert_moved, faults, has_kept, request};

#[test]
fn a_connection_that_breaks_anywhere_leaves_one_machine() {
    let mut stage = Stage::new("cuts", 1);
    let machine = stage.machine();
    let (lengths, mut machine) = stage.lengths(machine);
    let mut happened = 0;
    while happened < faults() / 2 {
        let (way, at) = stage.random.place(lengths);
        // The source comes again with its COMMIT: over connections that break too.
        let again = (0..stage.random.below(4)).map(|_| {
            let way =
                [Way::ToTarget, Way::ToSource][usize::try_from(stage.random.below(2)).unwrap()];
            (way, 1 + stage.random.below(70))
        });
        let again: Vec<_> = again.collect();
        let place = format!("fault {happened} at {way:?} {at:?}, then {again:?}");
        let (target, back) = stage.target();
        let front = stage.path("proxy");
        let fault = Fault {
            way,
            at,
            act: Act::Cut,
        };
        let proxy = Proxy::start(&front, &back, Some(fault), again);
        let answer = machine.migrate(&request(&front));
        happened += u64::from(proxy.has_happened());
        if proxy.has_passed(Way::ToSource, Frame::Ready) {
            assert!(answer.is_ok(), "{place}: {answer:?}");
            assert_only_one_runs(&target, &machine);
            assert_moved(machine, &place);
            machine = target;
            stage.count(match proxy.connections() {
                1 => "moved over one connection",
                _ => "moved over several",
            });
        } else {
            assert!(has_kept(&answer), "{place}: {answer:?}");
            assert_only_one_runs(&machine, &target);
            stage.must_give_up(target, "holds nothing", &place);
            stage.count("stayed");
        }
    }
    stage.end(machine);
}

#[test]
fn a_connection_that_goes_silent_anywhere_leaves_one_machine() {
    let mut stage = Stage::new("stalls", 5);
    let mut machine = stage.machine();
    for (way, frame) in FRAMES {
        let place = format!("silence at {way:?} {frame:?}");
        let (target, back) = stage.target();
        let front = stage.path("proxy");
        let fault = Fault {
            way,
            at: At::Into(frame, stage.random.next()),
            act: Act::Stall,
        };
        let proxy = Proxy::start(&front, &back, Some(fault), Vec::new());
        let request = MigrateRequest {
            peer_timeout_seconds: Some(2.0),
            ..request(&front)
        };
        let answer = machine.migrate(&request);
        assert!(proxy.has_happened(), "{place}");
        if answer.is_ok() {
            assert_only_one_runs(&target, &machine);
            assert_moved(machine, &place);
            machine = target;
            stage.count("moved");
        } else {
            assert!(has_kept(&answer), "{place}: {answer:?}");
            assert_only_one_runs(&machine, &target);
            stage.must_give_up(target, "holds nothing", &place);
            stage.count("stayed");
        }
    }
    stage.end(machine);
}
