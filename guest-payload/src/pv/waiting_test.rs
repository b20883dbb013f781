use super::*;
use crate::abi::MAX_CPUS;

fn position(cpus: &[PerCpu], found: Option<&PerCpu>) -> Option<usize> {
    let found = found?;
    cpus.iter().position(|cpu| std::ptr::eq(cpu, found))
}

#[test]
fn waiting_cpus_are_found_in_every_word_of_the_bitmap() {
    let cpus: Vec<PerCpu> = (0..200).map(|_| PerCpu::new()).collect();
    for index in [0, 63, 64, 127, 128, 199] {
        let waiting = WaitingCpus::new();
        assert!(waiting.find(&cpus, |_| true).is_none());
        waiting.set(index);
        assert_eq!(position(&cpus, waiting.find(&cpus, |_| true)), Some(index));
        waiting.clear(index);
        assert!(waiting.find(&cpus, |_| true).is_none());
    }
}

#[test]
fn cpus_that_are_not_there_are_not_looked_at() {
    let cpus: Vec<PerCpu> = (0..3).map(|_| PerCpu::new()).collect();
    let waiting = WaitingCpus::new();
    for index in [3, 63, 64, MAX_CPUS - 1, MAX_CPUS] {
        waiting.set(index);
    }
    assert!(waiting.find(&cpus, |_| true).is_none());
}

#[test]
fn only_the_announced_lock_and_ticket_match() {
    let (lock, other) = (0_u32, 0_u32);
    let (lock, other) = (LockAddress::of(&lock), LockAddress::of(&other));
    let cpu = PerCpu::new();
    assert!(!waits_for(&cpu, lock, 0));
    announce(&cpu, lock, 4);
    assert!(waits_for(&cpu, lock, 4));
    assert!(!waits_for(&cpu, lock, 2));
    assert!(!waits_for(&cpu, other, 4));
    withdraw(&cpu);
    assert!(!waits_for(&cpu, lock, 4));
}
