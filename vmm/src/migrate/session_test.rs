use std::collections::{HashSet, VecDeque};

use super::*;

/// What is on its way, at most one of each: more of the same changes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct OnTheWay {
    ready: bool,
    commit: bool,
    abort: bool,
    running: bool,
    gone: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct World {
    source: SourceSide,
    target: TargetSide,
    way: OnTheWay,
    /// Whether a side's process is alive.
    alive: [bool; 2],
    /// Whether the machine has ever run at the target.
    has_run: bool,
    /// Whether a time limit passed or a process died while the machine was on its way.
    trouble: bool,
}

/// A message on its way, and what its arrival does.
type Which = fn(&mut OnTheWay) -> &mut bool;
type Arrives = fn(World) -> World;

const START: World = World {
    source: SourceSide::Owns,
    target: TargetSide::Receives,
    way: OnTheWay {
        ready: false,
        commit: false,
        abort: false,
        running: false,
        gone: false,
    },
    alive: [true, true],
    has_run: false,
    trouble: false,
};

impl World {
    fn source(mut self, event: SourceEvent) -> Self {
        if !self.alive[0] {
            return self;
        }
        let (side, step) = self.source.on(event);
        self.source = side;
        match step {
            SourceStep::LeaveAndCommit | SourceStep::CommitAgain => self.way.commit = true,
            SourceStep::GoOn => self.way.abort = true,
            SourceStep::Finish | SourceStep::Nothing => {}
        }
        self
    }

    fn target(mut self, event: TargetEvent) -> Self {
        if !self.alive[1] {
            return self;
        }
        let (side, step) = self.target.on(event);
        self.target = side;
        match step {
            TargetStep::SayReady => self.way.ready = true,
            TargetStep::RunAndAnswer => {
                assert!(!self.has_run, "a machine is started once");
                self.has_run = true;
                self.way.running = true;
            }
            TargetStep::AnswerRunning => self.way.running = true,
            TargetStep::AnswerGone => self.way.gone = true,
            TargetStep::Listen | TargetStep::Discard | TargetStep::Nothing => {}
        }
        self
    }

    fn troubled(mut self) -> Self {
        self.trouble |= self.target == TargetSide::Holds || self.source == SourceSide::Committed;
        self
    }

    /// Everything that may happen next.
    fn next(self) -> Vec<Self> {
        let mut next = vec![
            self.target(TargetEvent::Loaded),
            self.source(SourceEvent::Fault),
            self.target(TargetEvent::Fault),
            self.troubled().source(SourceEvent::TimeOver),
            self.troubled().target(TargetEvent::TimeOver),
        ];
        // Each message arrives, arrives and comes again later, or is lost.
        let messages: [(Which, Arrives); 5] = [
            (|way| &mut way.ready, |w| w.source(SourceEvent::Ready)),
            (|way| &mut way.commit, |w| w.target(TargetEvent::Commit)),
            (|way| &mut way.abort, |w| w.target(TargetEvent::Abort)),
            (|way| &mut way.running, |w| w.source(SourceEvent::Running)),
            (|way| &mut way.gone, |w| w.source(SourceEvent::Gone)),
        ];
        for (which, arrives) in messages {
            let mut way = self.way;
            if !std::mem::take(which(&mut way)) {
                continue;
            }
            let without = World { way, ..self };
            next.push(arrives(without));
            next.push(arrives(self));
            next.push(without);
        }
        // Either process is killed.
        for side in 0..2 {
            let mut alive = self.alive;
            alive[side] = false;
            next.push(World { alive, ..self }.troubled());
        }
        next
    }

    fn source_runs(&self) -> bool {
        self.alive[0] && self.source.may_run()
    }

    fn target_runs(&self) -> bool {
        self.alive[1] && self.target.may_run()
    }
}

/// Every world that any order of events leads to.
fn reachable() -> HashSet<World> {
    let mut seen = HashSet::from([START]);
    let mut queue = VecDeque::from([START]);
    while let Some(world) = queue.pop_front() {
        for next in world.next() {
            if seen.insert(next) {
                queue.push_back(next);
            }
        }
    }
    seen
}

#[test]
fn never_do_both_sides_run() {
    let worlds = reachable();
    assert!(worlds.len() > 100, "{}", worlds.len());
    for world in worlds {
        assert!(!(world.source_runs() && world.target_runs()), "{world:?}");
        // Nor does the source while the target's process has run it and died.
        assert!(!(world.source_runs() && world.has_run), "{world:?}");
    }
}

#[test]
fn without_a_commit_the_source_runs() {
    for world in reachable() {
        let committed = !matches!(world.source, SourceSide::Owns | SourceSide::Kept);
        assert_eq!(world.source.may_run(), !committed, "{world:?}");
        assert!(!world.has_run || committed, "{world:?}");
    }
}

#[test]
fn a_source_that_says_moved_has_been_told_by_a_target_that_runs() {
    for world in reachable() {
        if world.source == SourceSide::Moved {
            assert!(
                world.has_run && world.target == TargetSide::Runs,
                "{world:?}"
            );
        }
        if world.source == SourceSide::Lost {
            assert!(!world.has_run, "{world:?}");
        }
    }
}

/// Losses alone never lose the machine: it takes a time limit or a dead process.
#[test]
fn only_time_limits_and_dead_processes_lose_a_machine() {
    for world in reachable() {
        let nobody = !world.source.may_run() && world.target == TargetSide::Empty;
        assert!(!nobody || world.trouble, "{world:?}");
    }
}

/// From everywhere with both processes alive, faithful delivery ends with one side running.
#[test]
fn delivery_in_the_end_ends_with_one_side_running() {
    for world in reachable() {
        if world.alive != [true, true] || world.trouble {
            continue;
        }
        let mut world = world;
        world.way = OnTheWay::default();
        match world.source {
            SourceSide::Owns | SourceSide::Kept => {
                assert!(!world.has_run, "{world:?}");
                continue;
            }
            SourceSide::Committed => {
                world = world.source(SourceEvent::Fault);
                assert!(world.way.commit);
                world = world.target(TargetEvent::Commit);
                world = world.source(SourceEvent::Running);
            }
            _ => {}
        }
        assert!(world.target_runs(), "{world:?}");
        assert_eq!(world.source, SourceSide::Moved, "{world:?}");
    }
}

#[test]
fn a_session_does_not_show_enough_to_be_committed() {
    let session = Session::from_bytes([0xab; 16]);
    assert_eq!(session.to_string(), "abababab");
    assert_ne!(Session::random().unwrap(), Session::random().unwrap());
}
