use super::*;

const FIRST: VcpuIndex = VcpuIndex(0);
const SECOND: VcpuIndex = VcpuIndex(1);

fn write(counter: &Counter, vcpu: VcpuIndex, number: u32) {
    counter.write(vcpu, &number.to_le_bytes());
}

fn read(counter: &Counter, vcpu: VcpuIndex) -> u32 {
    let mut data = [0; 4];
    counter.read(vcpu, &mut data);
    u32::from_le_bytes(data)
}

fn counts(writes: u64, reads: u64, duplicated: u64, lost: u64) -> IoCounts {
    IoCounts {
        writes,
        reads,
        duplicated,
        lost,
    }
}

#[test]
fn numbers_in_order_are_counted_and_nothing_else() {
    let counter = Counter::new(2);
    for number in 0..100 {
        write(&counter, FIRST, number);
        assert_eq!(read(&counter, FIRST), number);
    }
    assert_eq!(counter.counts(), counts(100, 100, 0, 0));
}

#[test]
fn every_vcpu_has_numbers_of_its_own() {
    let counter = Counter::new(2);
    for number in 0..3 {
        write(&counter, FIRST, number);
        assert_eq!(read(&counter, FIRST), number);
    }
    write(&counter, SECOND, 0);
    assert_eq!(read(&counter, SECOND), 0);
    assert_eq!(counter.counts(), counts(4, 4, 0, 0));
}

#[test]
fn a_write_done_twice_is_a_duplicate() {
    let counter = Counter::new(1);
    for number in [0, 1, 1, 2] {
        write(&counter, FIRST, number);
    }
    assert_eq!(counter.counts(), counts(4, 0, 1, 0));
}

#[test]
fn each_write_left_out_is_lost() {
    let counter = Counter::new(1);
    for number in [0, 4, 5] {
        write(&counter, FIRST, number);
    }
    assert_eq!(counter.counts(), counts(3, 0, 0, 3));
}

/// What a snapshot does that repeats the device's past, or the guest's.
#[test]
fn a_state_that_is_older_or_newer_than_its_guest_is_found_out() {
    let counter = Counter::new(1);
    let run = |numbers: std::ops::Range<u32>| {
        numbers.for_each(|number| write(&counter, FIRST, number));
    };
    run(0..10);
    let state = counter.save();
    run(10..15);
    // The guest's memory is five writes newer than the device.
    counter.restore(&state).unwrap();
    run(15..20);
    assert_eq!(counter.counts(), counts(15, 0, 0, 5));
    // The guest's memory is five writes older than the device.
    run(15..20);
    assert_eq!(counter.counts(), counts(20, 0, 5, 5));
}

#[test]
fn a_read_goes_on_where_the_state_was_saved() {
    let (source, target) = (Counter::new(2), Counter::new(2));
    for _ in 0..7 {
        read(&source, SECOND);
    }
    target.restore(&source.save()).unwrap();
    assert_eq!(target.save(), source.save());
    assert_eq!(read(&target, SECOND), 7);
    assert_eq!(read(&target, FIRST), 0);
}

#[test]
fn a_state_survives_its_encoding() {
    let counter = Counter::new(3);
    write(&counter, SECOND, 9);
    read(&counter, SECOND);
    let bytes = postcard::to_stdvec(&counter.save()).unwrap();
    let state: CounterState = postcard::from_bytes(&bytes).unwrap();
    assert_eq!(state, counter.save());
}

#[test]
fn the_state_of_another_machine_is_refused_and_changes_nothing() {
    let counter = Counter::new(2);
    write(&counter, FIRST, 0);
    let before = counter.save();
    let refused = counter.restore(&Counter::new(3).save());
    let (saved, vcpus) = (3, 2);
    assert_eq!(refused, Err(RestoreError::OtherMachine { saved, vcpus }));
    assert_eq!(counter.save(), before);
}

#[test]
fn a_vcpu_that_is_not_there_finds_an_empty_port() {
    let counter = Counter::new(1);
    assert_eq!(read(&counter, SECOND), u32::MAX);
    write(&counter, SECOND, 0);
    assert_eq!(counter.counts(), IoCounts::default());
}

#[test]
fn string_accesses_are_one_number_after_the_other() {
    let counter = Counter::new(1);
    counter.write(FIRST, &[0, 0, 0, 0, 1, 0, 0, 0]);
    let mut data = [0; 8];
    counter.read(FIRST, &mut data);
    assert_eq!(data, [0, 0, 0, 0, 1, 0, 0, 0]);
    assert_eq!(counter.counts(), counts(2, 2, 0, 0));
}

proptest::proptest! {
    #[test]
    fn any_access_and_any_state_is_answered(
        next_write: u32,
        next_read: u32,
        mut data in proptest::collection::vec(proptest::num::u8::ANY, 0..=64),
    ) {
        let counter = Counter::new(1);
        let greatest = counts(u64::MAX, u64::MAX, u64::MAX, u64::MAX);
        let channels = vec![ChannelState { next_write, next_read, counts: greatest }];
        counter.restore(&CounterState { channels }).unwrap();
        counter.write(FIRST, &data);
        counter.read(FIRST, &mut data);
        counter.counts();
    }
}
