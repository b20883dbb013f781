use clap::ValueEnum;
use proptest::prelude::*;

use super::*;

const KHZ: u64 = 2_000_000;
const SECOND_NS: u64 = 1_000_000_000;
const SECOND_TICKS: u64 = KHZ * 1000;

fn sample(clock_ns: u64, host_tsc: u64) -> ClockSample {
    ClockSample {
        clock_ns,
        realtime_ns: Some(1_800_000_000 * SECOND_NS + clock_ns),
        host_tsc: Some(host_tsc),
    }
}

#[test]
fn an_offset_follows_the_guests_clock_and_not_the_hosts() {
    let before = sample(10 * SECOND_NS, 1000 * SECOND_TICKS);
    let offset = 0u64.wrapping_sub(990 * SECOND_TICKS);
    for (name, target, expected) in [
        ("same host, at once", before, offset),
        (
            "same host, 3 s later, kvmclock stood still: so does the TSC",
            sample(10 * SECOND_NS, 1003 * SECOND_TICKS),
            offset.wrapping_sub(3 * SECOND_TICKS),
        ),
        (
            "same host, 3 s later, kvmclock went on: the offset stays",
            sample(13 * SECOND_NS, 1003 * SECOND_TICKS),
            offset,
        ),
        (
            "a host that was started later",
            sample(10 * SECOND_NS, 7 * SECOND_TICKS),
            3 * SECOND_TICKS,
        ),
        (
            "a host that was started later, with 5 s away",
            sample(15 * SECOND_NS, 7 * SECOND_TICKS),
            8 * SECOND_TICKS,
        ),
        (
            "a host whose TSC has wrapped",
            sample(10 * SECOND_NS, 0u64.wrapping_sub(SECOND_TICKS)),
            11 * SECOND_TICKS,
        ),
    ] {
        let found = tsc_offset_on_target(offset, &before, &target, KHZ);
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn without_the_hosts_tsc_the_offset_stays() {
    let known = sample(1, 2);
    let unknown = ClockSample {
        host_tsc: None,
        ..known
    };
    for (source, target) in [(&known, &unknown), (&unknown, &known)] {
        assert_eq!(tsc_offset_on_target(5, source, target, KHZ), 5);
    }
}

proptest! {
    /// The kernel's own statement of the algorithm: the guest TSC at kvmclock 0 is the same.
    #[test]
    fn kvmclock_0_falls_on_the_same_guest_tsc(
        offset: u64, tsc: [u64; 2], ns in proptest::array::uniform2(0u64..1 << 58),
        khz in 1_000u64..10_000_000,
    ) {
        let [source, target] = [sample(ns[0], tsc[0]), sample(ns[1], tsc[1])];
        let moved = tsc_offset_on_target(offset, &source, &target, khz);
        let ticks = |ns: u64| u128::from(ns) * u128::from(khz) / 1_000_000;
        let at_zero = |offset: u64, tsc: u64, ns: u64| {
            offset.wrapping_add(tsc).wrapping_sub(u64::try_from(ticks(ns)).unwrap())
        };
        let apart = at_zero(moved, tsc[1], ns[1]).wrapping_sub(at_zero(offset, tsc[0], ns[0]));
        // Rounding.
        prop_assert!(apart.cast_signed().abs() <= 1, "{}", apart);
    }

    /// Which is why it is done once for a machine and not once for a vCPU.
    #[test]
    fn the_distance_between_vcpus_stays(
        offsets: [u64; 2], tsc: [u64; 2], ns: [u32; 2],
    ) {
        let [source, target] = [sample(ns[0].into(), tsc[0]), sample(ns[1].into(), tsc[1])];
        let [a, b] = offsets.map(|offset| tsc_offset_on_target(offset, &source, &target, KHZ));
        prop_assert_eq!(a.wrapping_sub(b), offsets[0].wrapping_sub(offsets[1]));
    }
}

#[test]
fn a_clock_is_set_with_real_time_only_by_the_policy_that_counts_it() {
    let source = sample(77, 88);
    let set = clock_to_set(&source, ClockPolicy::Continue);
    assert_eq!((set.clock, set.flags, set.realtime), (77, 0, 0));
    let set = clock_to_set(&source, ClockPolicy::Realtime);
    assert_eq!(
        (set.clock, set.flags, set.realtime),
        (77, KVM_CLOCK_REALTIME, source.realtime_ns.unwrap())
    );
    let untold = ClockSample {
        realtime_ns: None,
        ..source
    };
    assert_eq!(clock_to_set(&untold, ClockPolicy::Realtime).flags, 0);
}

#[test]
fn a_sample_holds_what_kvm_vouches_for() {
    let mut data = kvm_clock_data {
        clock: 1,
        realtime: 2,
        host_tsc: 3,
        ..Default::default()
    };
    let told = |data: &kvm_clock_data| {
        let sample = ClockSample::from(data);
        (sample.clock_ns, sample.realtime_ns, sample.host_tsc)
    };
    assert_eq!(told(&data), (1, None, None));
    data.flags = KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC;
    assert_eq!(told(&data), (1, Some(2), Some(3)));
}

#[test]
fn a_tsc_goes_back_on_a_host_that_was_started_later() {
    for (saved, now, back) in [
        (100, 100, false),
        (100, 101, false),
        (100, 99, true),
        (u64::MAX, 5, false),
        (5, u64::MAX, true),
    ] {
        assert_eq!(tsc_goes_back(saved, now), back, "{saved} {now}");
    }
}

#[test]
fn a_policy_is_named_on_the_command_line_as_in_json() {
    for policy in ClockPolicy::value_variants() {
        let json = serde_json::to_string(policy).unwrap();
        let argument = policy.to_possible_value().unwrap();
        assert_eq!(json, format!("\"{}\"", argument.get_name()));
    }
}
