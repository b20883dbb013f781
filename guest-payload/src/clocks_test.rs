use std::cell::Cell;
use std::mem::offset_of;

use super::*;

/// 2 GHz: half a nanosecond a cycle.
fn page() -> PvClock {
    let page = PvClock::default();
    page.version.store(2, Relaxed);
    page.tsc_timestamp.store(1_000_000, Relaxed);
    page.system_time.store(5_000, Relaxed);
    page.tsc_to_system_mul.store(1 << 31, Relaxed);
    page
}

#[test]
fn a_clock_that_goes_back_is_found_once() {
    let mut clock = Monotonic::default();
    let found: Vec<_> = [5, 5, 9, 8, 8, 9, 3]
        .map(|now| clock.has_gone_back(now))
        .into();
    assert_eq!(found, [false, false, false, true, false, false, true]);
}

#[test]
fn tscs_in_step_may_not_differ_by_one_cycle() {
    let mut handover = Handover::new();
    for turn in 0..u64::from(LEARNING_TURNS) {
        assert_eq!(handover.judge(turn, turn, 0), Order::Kept);
    }
    assert_eq!(handover.judge(1000, 1000, 0), Order::Kept);
    assert_eq!(handover.judge(1000, 999, 0), Order::Broken);
}

#[test]
fn tscs_that_differ_from_the_start_may_differ_no_further() {
    let mut handover = Handover::new();
    for _ in 0..LEARNING_TURNS {
        assert_eq!(handover.judge(1000, 900, 0), Order::Learnt(100));
    }
    assert_eq!(handover.judge(1000, 1000 - 128, 100), Order::Kept);
    assert_eq!(handover.judge(1000, 1000 - 129, 100), Order::Broken);
    assert_eq!(handover.judge(u64::MAX, 0, u64::MAX), Order::Kept);
}

#[test]
fn the_page_is_as_kvm_writes_it() {
    assert_eq!(offset_of!(PvClock, tsc_timestamp), 8);
    assert_eq!(offset_of!(PvClock, system_time), 16);
    assert_eq!(offset_of!(PvClock, tsc_to_system_mul), 24);
    assert_eq!(offset_of!(PvClock, tsc_shift), 28);
    assert_eq!(offset_of!(PvClock, flags), 29);
    assert_eq!(offset_of!(PvClock, pad_end) + 2, 32);
}

#[test]
fn time_goes_with_the_tsc() {
    let read = |tsc| page().read(|| tsc).unwrap().ns;
    assert_eq!(read(1_000_000), 5_000);
    assert_eq!(read(1_000_200), 5_100);
}

#[test]
fn cycles_are_shifted_before_they_are_multiplied() {
    assert_eq!(cycles_to_ns(100, 1 << 31, 0), 50);
    assert_eq!(cycles_to_ns(100, 1 << 31, -1), 25);
    assert_eq!(cycles_to_ns(100, 1 << 31, 1), 100);
    // A day at 4 GHz does not overflow.
    let day = 4_000_000_000 * 86_400;
    assert_eq!(cycles_to_ns(day, 1 << 31, -1), 86_400_000_000_000);
    // What nobody sane writes is answered.
    assert_eq!(cycles_to_ns(1, 1, 127), 0);
    assert_eq!(cycles_to_ns(1, 1, -128), 0);
}

#[test]
fn a_page_that_was_never_written_tells_no_time() {
    assert_eq!(PvClock::default().read(|| 1), None);
}

#[test]
fn a_page_that_changes_meanwhile_is_read_again() {
    let page = page();
    let looks = Cell::new(0);
    let time = page.read(|| {
        looks.set(looks.get() + 1);
        match looks.get() {
            // KVM begins to write, and has written.
            1 => page.version.store(3, Relaxed),
            2 => {
                page.system_time.store(7_000, Relaxed);
                page.version.store(4, Relaxed);
            }
            _ => {}
        }
        1_000_000
    });
    assert_eq!(time.unwrap().ns, 7_000);
    assert_eq!(looks.get(), 3);
}

#[test]
fn a_stop_is_told_once() {
    let page = page();
    let flags = PVCLOCK_GUEST_STOPPED | PVCLOCK_TSC_STABLE;
    page.flags.store(flags, Relaxed);
    let (first, second) = (page.read(|| 0).unwrap(), page.read(|| 0).unwrap());
    assert_eq!((first.was_stopped, second.was_stopped), (true, false));
    assert!(first.is_stable && second.is_stable);
}
