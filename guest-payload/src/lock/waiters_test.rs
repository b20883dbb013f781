use super::*;

const LOCKS: [u8; 64] = [0; 64];

fn address(lock: usize) -> LockAddress {
    LockAddress::of(&LOCKS[lock])
}

#[test]
fn each_lock_gets_its_own_waiter_back_whatever_the_order() {
    let entries: Vec<_> = (0..LOCKS.len()).map(|_| Entry::new()).collect();
    let waiters = Waiters::new(&entries);
    // As full as it can get.
    for (lock, number) in (0..LOCKS.len()).zip(1..) {
        waiters.insert(address(lock), number);
    }
    for lock in (0..LOCKS.len())
        .rev()
        .step_by(2)
        .chain((0..LOCKS.len()).step_by(2))
    {
        let number = u32::try_from(lock).unwrap() + 1;
        assert_eq!(waiters.remove(address(lock)), Some(number));
        assert_eq!(waiters.remove(address(lock)), None);
    }
}

#[test]
fn an_entry_that_became_free_is_used_again() {
    let entries = [Entry::new()];
    let waiters = Waiters::new(&entries);
    for round in 1..10 {
        waiters.insert(address(0), round);
        assert_eq!(waiters.remove(address(0)), Some(round));
    }
}

#[test]
fn locks_in_a_row_have_homes_all_over_the_table() {
    // The payload's lock objects are 128 bytes apart.
    let locks = vec![[0_u8; 128]; 256];
    let homes: std::collections::HashSet<_> = locks
        .iter()
        .map(|lock| home(LockAddress::of(lock), 256))
        .collect();
    assert!(homes.len() > 128, "{}", homes.len());
}
