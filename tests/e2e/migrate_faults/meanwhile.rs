//! What happens to a machine while it moves.

use std::sync::mpsc;

use vmm::control::client::Error;
use vmm_tests::command::Finished;
use vmm_tests::process::{Process, assert_only_one_runs};
use vmm_tests::proxy::{Act, At, Fault, Frame, Proxy, Way};

use super::{DECISIVE, FRAMES, Stage, assert_moved, request};

/// Frames at which the source can still be told to end, with their direction.
const BEFORE_COMMIT: [(Way, Frame); 4] = [
    (Way::ToSource, Frame::RoundDone),
    (Way::ToTarget, Frame::State),
    (Way::ToTarget, Frame::Digest),
    (Way::ToSource, Frame::Ready),
];

/// Does `act` to a source while `frame` is under way; nothing runs afterwards.
fn end_meanwhile(stage: &mut Stage, way: Way, frame: Frame, act: fn(&Process)) -> Finished {
    let place = format!("ended at {way:?} {frame:?}");
    let machine = stage.machine();
    let (target, back) = stage.target();
    let front = stage.path("proxy");
    let mut client = machine.client();
    let (ended, end) = mpsc::channel();
    let call = move || {
        act(&machine);
        let _ = ended.send(machine);
    };
    let fault = Fault {
        way,
        at: At::Into(frame, 0),
        act: Act::Call(Box::new(call)),
    };
    let proxy = Proxy::start(&front, &back, Some(fault), Vec::new());
    let answer = client.migrate(&request(&front));
    assert!(
        answer.is_err() && proxy.has_happened(),
        "{place}: {answer:?}"
    );
    let machine = end.recv().unwrap();
    let finished = machine.finish();
    drop(proxy);
    let nothing = target.finish();
    assert_eq!(nothing.code, 1, "{place}: {nothing}");
    assert!(
        nothing.stderr.contains("holds nothing"),
        "{place}: {nothing}"
    );
    finished
}

#[test]
fn a_machine_that_is_told_to_end_while_it_moves_ends() {
    let mut stage = Stage::new("ends", 6);
    for (way, frame) in BEFORE_COMMIT {
        let stop = |machine: &Process| machine.client().stop().unwrap();
        let stopped = end_meanwhile(&mut stage, way, frame, stop);
        assert_eq!(stopped.code, 0, "{frame:?}: {stopped}");
        assert!(stopped.stdout.contains("STOPPED"), "{frame:?}: {stopped}");

        let interrupt = |machine: &Process| {
            let threads = machine.threads();
            machine.signal("TERM");
            assert!(threads.end());
        };
        let interrupted = end_meanwhile(&mut stage, way, frame, interrupt);
        assert_eq!(interrupted.code, 1, "{frame:?}: {interrupted}");
    }
}

#[test]
fn a_machine_that_moves_is_not_paused() {
    let mut stage = Stage::new("pauses", 7);
    let machine = stage.machine();
    let (target, back) = stage.target();
    let front = stage.path("proxy");
    let mut client = machine.client();
    let (tell, told) = mpsc::channel();
    let fault = Fault {
        way: Way::ToSource,
        at: At::Into(Frame::RoundDone, 0),
        act: Act::Call(Box::new(move || drop(tell.send(client.pause())))),
    };
    let _proxy = Proxy::start(&front, &back, Some(fault), Vec::new());
    machine.migrate(&request(&front)).unwrap();
    let paused = told.try_recv().unwrap();
    assert!(
        matches!(&paused, Err(Error::Refused { code: 409, .. })),
        "{paused:?}"
    );
    assert_only_one_runs(&target, &machine);
    stage.end(target);
}

#[test]
fn neither_side_runs_while_the_decision_is_under_way() {
    const LOOKS: u32 = 200;
    let mut stage = Stage::new("between", 4);
    let mut machine = stage.machine();
    for (way, frame) in FRAMES[DECISIVE].iter().copied() {
        let (target, back) = stage.target();
        let front = stage.path("proxy");
        let (at_source, at_target) = (machine.threads(), target.threads());
        let (tell, told) = mpsc::channel();
        let look = move || {
            let as_it_should = match frame {
                // It has left for good, and the target runs before it says so.
                Frame::Running => at_source.end(),
                Frame::Commit => at_target.stand_still(LOOKS) && at_source.end(),
                _ => at_target.stand_still(LOOKS) && at_source.stand_still(LOOKS),
            };
            let _ = tell.send(as_it_should);
        };
        let fault = Fault {
            way,
            at: At::Into(frame, 0),
            act: Act::Call(Box::new(look)),
        };
        let proxy = Proxy::start(&front, &back, Some(fault), Vec::new());
        machine.migrate(&request(&front)).unwrap();
        assert!(proxy.has_happened());
        assert!(told.try_recv().unwrap(), "{frame:?}");
        assert_only_one_runs(&target, &machine);
        assert_moved(machine, "no fault");
        machine = target;
    }
    stage.end(machine);
}
