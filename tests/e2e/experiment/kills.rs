//! An experiment that is killed, at any point, and goes on.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use std::{fs, thread};

use vmm_tests::command::{signal, wait};

use super::{Case, LIMIT, TINY, assert_done, numbers, whole_lines};

/// Numbers that a seed repeats.
fn drawn(seed: u64, below: u64) -> u64 {
    seed.wrapping_mul(6_364_136_223_846_793_005).rotate_left(31) % below
}

#[test]
fn a_kill_at_any_point_loses_no_finished_run_and_repeats_none() {
    for seed in 1..=2 {
        let case = Case::new(
            &format!("kill-{seed}"),
            &TINY.replace("= 2\nbase", "= 5\nbase"),
        );
        let mut done = 0;
        for draw in 0.. {
            if done == 20 {
                break;
            }
            let mut child = case.vmm("").spawn();
            let step = usize::try_from(drawn(seed + 100 * draw, 7)).unwrap();
            let next = (done + step).min(20);
            if next == 20 {
                assert_done(&wait(child, "the last".to_owned()));
            } else {
                case.await_lines(next, &mut child);
                child.kill().unwrap();
                child.wait().unwrap();
            }
            let results = case.results();
            assert!(whole_lines(&results) >= next);
            done = whole_lines(&results);
        }
        let met: BTreeSet<_> = numbers(&case.records()).into_iter().collect();
        assert_eq!(met, (0..20).collect(), "seed {seed}");
        assert_eq!(case.records().len(), 20, "seed {seed}");
    }
}

#[test]
fn a_kill_in_the_middle_of_a_run_loses_that_run_alone() {
    let case = Case::new("middle", &TINY.replace("= 2\nbase", "= 5\nbase"));
    for draw in 0..8 {
        let before = case.results();
        let mut child = case.vmm("").spawn();
        // From before its first run to after its third.
        thread::sleep(Duration::from_millis(drawn(draw, 500)));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(case.results().starts_with(&before));
    }
    assert_done(&case.vmm("").finish());
    assert_eq!(case.records().len(), 20);
    let met: BTreeSet<_> = numbers(&case.records()).into_iter().collect();
    assert_eq!(met, (0..20).collect());
}

#[test]
fn a_run_that_is_ended_before_it_hears_signals_is_repeated() {
    for attempt in 0..4 {
        let case = Case::new(&format!("early-{attempt}"), &TINY.replace("0.02", "30"));
        assert_repeats_what_is_ended(&case, |_| true);
    }
}

#[test]
fn what_was_recorded_before_a_kill_stays_byte_for_byte() {
    let case = Case::new("prefix", TINY);
    let mut child = case.vmm("").spawn();
    case.await_lines(3, &mut child);
    child.kill().unwrap();
    child.wait().unwrap();
    let before = case.results();
    assert_done(&case.vmm("").finish());
    assert!(case.results().starts_with(&before));
}

/// The run that `experiment` has under way, as soon as it `is_due`.
fn await_run(experiment: u32, is_due: impl Fn(u32) -> bool) -> u32 {
    let start = Instant::now();
    loop {
        if let [run] = children(experiment)[..]
            && is_due(run)
        {
            return run;
        }
        assert!(start.elapsed() < LIMIT);
        thread::yield_now();
    }
}

/// Ends the first run of `case` from outside as soon as it `is_due`.
fn assert_repeats_what_is_ended(case: &Case, is_due: impl Fn(u32) -> bool) {
    let child = case.vmm("").spawn();
    assert!(signal("TERM", await_run(child.id(), is_due)));
    let finished = wait(child, "interrupted".to_owned());
    assert_eq!(finished.code, 1, "{finished}");
    assert_eq!(case.results(), b"");
}

/// The processes that `parent` started and that are there.
fn children(parent: u32) -> Vec<u32> {
    let path = format!("/proc/{parent}/task/{parent}/children");
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace()
        .map(|id| id.parse().unwrap())
        .collect()
}

fn is_there(process: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // What nobody has waited for yet is dead all the same.
    stat.rsplit(')')
        .next()
        .is_some_and(|rest| !rest.trim().starts_with('Z') && !rest.is_empty())
}

#[test]
fn an_interrupt_drops_the_run_under_way_and_the_same_command_goes_on() {
    let case = Case::new("interrupt", &TINY.replace("0.02", "30"));
    let child = case.vmm("").spawn();
    let run = await_run(child.id(), |_| true);
    assert!(signal("INT", child.id()));
    let finished = wait(child, "interrupted".to_owned());
    assert_eq!(finished.code, 1, "{finished}");
    assert!(finished.stderr.contains("goes on from here"), "{finished}");
    assert!(!is_there(run));
    assert_eq!(case.results(), b"");
    let other = case.vmm("--seconds 0.01").finish();
    assert_eq!(other.code, 2, "{other}");
}

#[test]
fn a_run_that_is_ended_from_outside_is_repeated() {
    let case = Case::new("outside", &TINY.replace("0.02", "30"));
    // It takes signals as data once it runs its guest.
    assert_repeats_what_is_ended(&case, |run| {
        fs::read_dir(format!("/proc/{run}/task")).is_ok_and(|tasks| tasks.count() > 1)
    });
}
