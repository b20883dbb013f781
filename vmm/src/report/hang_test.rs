use super::*;
use crate::report::sample::{hung_vcpus, stuck};
use crate::report::wrap::WIDTH;

#[test]
fn a_dropped_kick_is_found_and_told_in_full() {
    let report = HangReport::new(3.04, hung_vcpus());
    assert_eq!(report.culprit, Some(2));
    assert_eq!(
        report.sentence,
        "vCPU 2 (APIC ID 4) is halted with IF=0 and no pv_unhalted, waiting for lock 0 with \
         ticket 14 (head 14, tail 20, slow-path flag set), owned by nobody: it is this vCPU's \
         turn; last kick to it: number 17 from APIC ID 0, 3.04 s ago: dropped by --drop-kick"
    );
    let text = report.to_string();
    assert!(text.starts_with("hung: no progress for 3.0 s\n  vCPU 2 (APIC ID 4) is halted"));
    assert_eq!(text.matches("\n  vCPU ").count(), 4);
    assert!(text.lines().all(|line| line.len() <= WIDTH));
}

#[test]
fn a_pending_kick_or_an_interrupt_clears_a_halted_vcpu() {
    let mut vcpus = hung_vcpus();
    vcpus.truncate(3);
    vcpus[2].pv_unhalted = true;
    assert!(!vcpus[2].halted_for_ever());
    assert_ne!(HangReport::new(1.0, vcpus.clone()).culprit, Some(2));
    vcpus[2].pv_unhalted = false;
    vcpus[2].interrupts_enabled = true;
    assert!(!vcpus[2].halted_for_ever());
}

#[test]
fn a_holder_that_never_releases_is_the_culprit_of_halted_waiters() {
    let waiter = |index| StuckVcpu {
        waits_for: Some(WaitFor {
            lock_index: 1,
            ticket: Some(6),
            head: Some(4),
            tail: Some(8),
            slow_path: true,
            owner: Some(6),
            its_turn: false,
        }),
        ..stuck(index, Activity::Halted)
    };
    let holder = stuck(3, Activity::Running);
    let mut vcpus = vec![waiter(0), waiter(1), holder];
    let report = HangReport::new(1.0, vcpus.clone());
    assert_eq!(report.culprit, Some(3));
    assert!(report.sentence.contains("runs at 0x100003"));

    vcpus[2].activity = Activity::Halted;
    let report = HangReport::new(1.0, vcpus);
    assert_eq!(report.culprit, Some(3));
    assert!(report.sentence.contains("and owns a lock"));
}

#[test]
fn a_guest_that_says_nothing_still_has_its_halted_vcpu_named() {
    let vcpus = vec![stuck(0, Activity::Running), stuck(1, Activity::Halted)];
    let report = HangReport::new(1.0, vcpus);
    assert_eq!(report.culprit, Some(1));
    assert!(report.sentence.ends_with("; no kick to it was seen"));
}

#[test]
fn a_livelock_has_no_culprit() {
    let vcpus = vec![stuck(0, Activity::Running), stuck(1, Activity::Done)];
    assert_eq!(HangReport::new(1.0, vcpus).culprit, None);
}

#[test]
fn the_text_of_many_vcpus_is_short_and_starts_with_the_halted_ones() {
    let mut vcpus: Vec<_> = (0..1000).map(|i| stuck(i, Activity::Running)).collect();
    vcpus.push(stuck(1000, Activity::Halted));
    vcpus.push(stuck(1001, Activity::Halted));
    let text = HangReport::new(1.0, vcpus).to_string();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 2 + LISTED + 1);
    assert!(lines[2].contains("vCPU 1001 "));
    assert_eq!(lines.last(), Some(&"  and 985 more"));
}

#[test]
fn an_owner_that_no_vcpu_is_does_not_matter() {
    let mut vcpus = hung_vcpus();
    for vcpu in &mut vcpus {
        if let Some(wait) = &mut vcpu.waits_for {
            wait.owner = Some(u32::MAX);
            wait.its_turn = false;
        }
    }
    assert!(HangReport::new(1.0, vcpus).culprit.is_some());
}
