//! Processes that die.

use std::thread;

use vmm_tests::process::assert_only_one_runs;
use vmm_tests::proxy::{Act, Fault, Frame, Proxy, Way};

use super::{Stage, assert_moved, faults, has_kept, request};

#[test]
fn a_source_that_dies_anywhere_leaves_one_machine_or_none() {
    let mut stage = Stage::new("dead-sources", 2);
    let machine = stage.machine();
    let (lengths, mut machine) = stage.lengths(machine);
    let mut happened = 0;
    while happened < faults() / 4 {
        let (way, at) = stage.random.place(lengths);
        let place = format!("fault {happened} at {way:?} {at:?}");
        let (target, back) = stage.target();
        let front = stage.path("proxy");
        let hand = machine.hand();
        let fault = Fault {
            way,
            at,
            act: Act::Call(Box::new(move || hand.kill())),
        };
        let proxy = Proxy::start(&front, &back, Some(fault), Vec::new());
        let answer = machine.migrate(&request(&front));
        proxy.wait_for_end(Way::ToTarget);
        let died = proxy.has_happened();
        happened += u64::from(died);
        if proxy.has_passed(Way::ToTarget, Frame::Commit) {
            target.progress();
            assert_only_one_runs(&target, &machine);
            if !died {
                assert!(answer.is_ok(), "{place}: {answer:?}");
                assert_moved(machine, &place);
            }
            machine = target;
            stage.count("runs at the target");
        } else {
            assert!(died && answer.is_err(), "{place}: {answer:?}");
            machine = stage.machine();
            assert_only_one_runs(&machine, &target);
            stage.must_give_up(target, "holds nothing", &place);
            stage.count("died with its source");
        }
    }
    stage.end(machine);
}

#[test]
fn a_target_that_dies_anywhere_leaves_one_machine_or_none() {
    let mut stage = Stage::new("dead-targets", 3);
    let machine = stage.machine();
    let (lengths, mut machine) = stage.lengths(machine);
    let mut happened = 0;
    while happened < faults() / 4 {
        let (way, at) = stage.random.place(lengths);
        let place = format!("fault {happened} at {way:?} {at:?}");
        let (target, back) = stage.target();
        let front = stage.path("proxy");
        let hand = target.hand();
        let fault = Fault {
            way,
            at,
            act: Act::Call(Box::new(move || hand.kill())),
        };
        let proxy = Proxy::start(&front, &back, Some(fault), Vec::new());
        // A source that has left tells a dead target so for a long time.
        let mut client = machine.client();
        let request = request(&front);
        let migration = thread::spawn(move || client.migrate(&request));
        proxy.wait_for_end(Way::ToSource);
        let died = proxy.has_happened();
        happened += u64::from(died);
        let left = proxy.has_passed(Way::ToSource, Frame::Ready);
        let ran = proxy.has_passed(Way::ToSource, Frame::Running);
        if !left {
            let answer = migration.join().unwrap();
            assert!(has_kept(&answer), "{place}: {answer:?}");
            machine.progress();
            stage.count("runs on at the source");
        } else if ran {
            let answer = migration.join().unwrap();
            assert!(answer.is_ok(), "{place}: {answer:?}");
            assert_moved(machine, &place);
            machine = if died { stage.machine() } else { target };
            stage.count(if died {
                "ran at the target and died there"
            } else {
                "runs at the target"
            });
        } else {
            assert!(died, "{place}");
            let new = stage.machine();
            assert_only_one_runs(&new, &machine);
            let source = std::mem::replace(&mut machine, new);
            stage.must_give_up(source, "the machine does not run here", &place);
            stage.count("committed to the dead");
        }
    }
    stage.end(machine);
}
