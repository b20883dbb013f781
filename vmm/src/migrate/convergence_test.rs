use proptest::prelude::*;

use super::*;

const MIB: u64 = 1 << 20;

fn limits(downtime_ms: u64, max_rounds: u32) -> Limits {
    Limits {
        downtime: Duration::from_millis(downtime_ms),
        max_rounds,
    }
}

fn seen(round: u32, bytes_left: u64) -> Observed {
    Observed {
        round,
        bytes_left,
        rate: 1000 * MIB,
        round_trip: Duration::ZERO,
    }
}

/// Rounds until the switchover of a guest that writes `dirty_rate`, and why it came.
fn simulate(memory: u64, rate: u64, dirty_rate: u64, limits: Limits) -> (u32, Why, Outlook) {
    let mut convergence = Convergence::new(limits);
    let mut bytes = memory;
    for round in 1.. {
        let left = u128::from(bytes) * u128::from(dirty_rate) / u128::from(rate);
        bytes = u64::try_from(left).unwrap().min(memory);
        let seen = Observed {
            round,
            bytes_left: bytes,
            rate,
            round_trip: Duration::ZERO,
        };
        if let Next::SwitchOver(why) = convergence.after(seen) {
            return (round, why, convergence.outlook());
        }
    }
    unreachable!()
}

#[test]
fn the_switchover_comes_when_the_rest_fits_the_limit() {
    let mut convergence = Convergence::new(limits(50, 30));
    assert_eq!(convergence.after(seen(1, 51 * MIB)), Next::Round);
    assert_eq!(
        convergence.after(seen(2, 50 * MIB)),
        Next::SwitchOver(Why::Fits)
    );
}

#[test]
fn round_trips_are_part_of_the_downtime() {
    let mut convergence = Convergence::new(limits(50, 30));
    let far = Observed {
        round_trip: Duration::from_millis(10),
        ..seen(1, 31 * MIB)
    };
    assert_eq!(convergence.after(far), Next::Round);
    let near = Observed {
        bytes_left: 30 * MIB,
        ..far
    };
    assert_eq!(convergence.after(near), Next::SwitchOver(Why::Fits));
}

#[test]
fn an_idle_guest_moves_after_one_round() {
    let (rounds, why, _) = simulate(1024 * MIB, 1000 * MIB, 0, limits(50, 30));
    assert_eq!((rounds, why), (1, Why::Fits));
}

#[test]
fn a_guest_that_writes_half_as_fast_as_we_send_halves_the_rest_each_round() {
    // 1024, 512, 256, 128, 64, 32 MiB left: 32 MiB take 32 ms.
    let (rounds, why, outlook) = simulate(2048 * MIB, 1000 * MIB, 500 * MIB, limits(50, 30));
    assert_eq!((rounds, why, outlook), (6, Why::Fits, Outlook::Converging));
}

#[test]
fn a_guest_that_writes_faster_than_we_send_moves_after_the_last_round() {
    let (rounds, why, outlook) = simulate(1024 * MIB, 1000 * MIB, 3000 * MIB, limits(50, 7));
    assert_eq!(
        (rounds, why, outlook),
        (7, Why::MaxRounds, Outlook::NotConverging)
    );
}

#[test]
fn no_rate_at_all_is_no_division_by_zero() {
    assert_eq!(expected_downtime(0, 0, Duration::ZERO), Duration::ZERO);
    assert!(expected_downtime(u64::MAX, 0, Duration::MAX) > Duration::from_secs(1 << 30));
    assert_eq!(rate(5, Duration::ZERO), 5_000_000_000);
}

proptest! {
    #[test]
    fn every_guest_moves_within_its_rounds(
        memory in 0u64..1 << 46, rate in 1u64..1 << 40, dirty_rate in 0u64..1 << 40,
        downtime_ms in 0u64..10_000, max_rounds in 1u32..100,
    ) {
        let (rounds, _, _) = simulate(memory, rate, dirty_rate, limits(downtime_ms, max_rounds));
        prop_assert!(rounds <= max_rounds);
    }
}
