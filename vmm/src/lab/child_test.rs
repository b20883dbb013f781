//! The child is this test program itself, which lists tests and ends.

use std::fs;

use super::*;

/// Blocks until every process that this thread has started has ended.
fn until_all_have_ended() {
    let children = fs::read_to_string("/proc/thread-self/children").unwrap();
    for child in children.split_whitespace() {
        let is_there = || {
            let stat = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            let state = stat.rsplit(')').next().unwrap_or_default().trim();
            !state.is_empty() && !state.starts_with('Z')
        };
        while is_there() {
            std::thread::yield_now();
        }
    }
}

fn list(limit: Duration, tick: impl FnMut()) -> Outcome {
    let words = ["--list", "lab::child::"].map(String::from);
    let (never, _kept) = io::pipe().unwrap();
    run(&words, limit, never.as_fd(), tick).unwrap()
}

#[test]
fn a_run_that_ended_well_while_nobody_looked_has_ended_well() {
    // The first look comes too early, the next one too late.
    let outcome = list(Duration::from_nanos(1), until_all_have_ended);
    let Outcome::Ended { status, stdout, .. } = outcome else {
        panic!("{outcome:?}");
    };
    assert!(status.success());
    let said = String::from_utf8(stdout).unwrap();
    assert!(said.contains("while_nobody_looked"), "{said}");
}

#[test]
fn time_in_which_nobody_was_able_to_look_does_not_count() {
    let left = Duration::from_secs(60);
    assert_eq!(left_after(left, TICK), left - TICK);
    let after_a_night = left_after(left, Duration::from_secs(8 * 3600));
    assert_eq!(after_a_night, left - PASS_MOST);
    assert_eq!(left_after(TICK, PASS_MOST), Duration::ZERO);
}

#[test]
fn a_run_that_has_not_ended_at_its_limit_took_too_long() {
    let words = [
        "--exact",
        "lab::child::tests::waits_to_be_killed",
        "--ignored",
    ];
    let (never, _kept) = io::pipe().unwrap();
    let limit = Duration::from_millis(1);
    let outcome = run(&words.map(String::from), limit, never.as_fd(), || {}).unwrap();
    assert!(matches!(outcome, Outcome::TooLong), "{outcome:?}");
}

#[test]
#[ignore = "it is the child of another test"]
fn waits_to_be_killed() {
    loop {
        std::thread::park();
    }
}
