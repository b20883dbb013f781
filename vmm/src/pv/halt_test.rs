use std::sync::Arc;
use std::thread;

use super::*;

const NO_POLL: Duration = Duration::ZERO;

#[test]
fn a_kick_before_the_halt_makes_it_return_at_once() {
    let vcpu = HaltState::default();
    assert_eq!(vcpu.kick(), Met::Running);
    assert!(vcpu.pv_unhalted());
    assert_eq!(vcpu.halt(NO_POLL), Wake::Kicked);
    assert!(!vcpu.pv_unhalted());
}

#[test]
fn many_kicks_are_one() {
    let vcpu = HaltState::default();
    for _ in 0..5 {
        vcpu.kick();
    }
    assert_eq!(vcpu.halt(NO_POLL), Wake::Kicked);
    vcpu.request();
    assert_eq!(vcpu.halt(NO_POLL), Wake::Request);
}

#[test]
fn a_request_leaves_the_vcpu_halted_and_its_kick_in_place() {
    let vcpu = HaltState::default();
    vcpu.request();
    assert_eq!(vcpu.halt(NO_POLL), Wake::Request);
    assert_eq!(vcpu.kick(), Met::Halted);
    assert_eq!(vcpu.halt(NO_POLL), Wake::Kicked);
}

#[test]
fn sipi_counts_after_init_only_and_the_first_wins() {
    let vcpu = HaltState::default();
    vcpu.sipi(1);
    vcpu.init();
    assert!(vcpu.take_init());
    vcpu.sipi(8);
    vcpu.sipi(9);
    assert_eq!(vcpu.wait_for_sipi(), Start::Sipi(8));
    vcpu.sipi(7);
    vcpu.request();
    assert_eq!(vcpu.halt(NO_POLL), Wake::Request);
}

#[test]
fn starting_clears_a_kick_that_came_while_waiting_for_sipi() {
    let vcpu = HaltState::waiting_for_sipi();
    assert_eq!(vcpu.kick(), Met::WaitsForSipi);
    vcpu.sipi(8);
    assert_eq!(vcpu.wait_for_sipi(), Start::Sipi(8));
    assert!(!vcpu.pv_unhalted());
}

#[test]
fn an_init_voids_the_sipi_before_it() {
    let vcpu = HaltState::default();
    vcpu.init();
    assert!(vcpu.take_init());
    vcpu.sipi(8);
    vcpu.init();
    vcpu.request();
    assert_eq!(vcpu.wait_for_sipi(), Start::Request);
    vcpu.sipi(9);
    assert_eq!(vcpu.wait_for_sipi(), Start::Sipi(9));
}

#[test]
fn init_wakes_a_halted_vcpu_into_waiting_for_sipi() {
    let vcpu = HaltState::default();
    vcpu.init();
    vcpu.sipi(3);
    assert_eq!(vcpu.halt(NO_POLL), Wake::Init);
    assert_eq!(vcpu.wait_for_sipi(), Start::Sipi(3));
}

#[test]
fn every_halt_ends_when_each_has_its_kick() {
    let vcpus: Arc<[HaltState; 2]> = Arc::default();
    let other = Arc::clone(&vcpus);
    let thread = thread::spawn(move || {
        for _ in 0..20_000 {
            other[0].kick();
            assert_eq!(other[1].halt(NO_POLL), Wake::Kicked);
        }
    });
    for _ in 0..20_000 {
        assert_eq!(vcpus[0].halt(NO_POLL), Wake::Kicked);
        vcpus[1].kick();
    }
    thread.join().unwrap();
}
