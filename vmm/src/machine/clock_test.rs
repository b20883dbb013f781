//! What a restored guest's clocks make of the time away.

use super::load::Loading;
use super::pause::PausedMachine;
use super::test_machine::{Copy, LOADING, by_hlt, load, tiny, wait_until_said};
use crate::cpu::clock::ClockPolicy;
use crate::spec::Choice;

/// Much longer than any test takes.
const AWAY_NS: u64 = 1_000_000_000_000;

#[test]
fn kvmclock_goes_on_or_jumps_ahead_as_asked() {
    for halt in [Choice::Kvm, Choice::Vmm] {
        let mut source = tiny(by_hlt(), 1, halt);
        source.start().unwrap();
        wait_until_said(&source, 1);
        let mut copy = Copy::of(&PausedMachine::pause(&source));
        let clock = &mut copy.saved.state.clock;
        let Some(realtime) = &mut clock.realtime_ns else {
            return vmm_tests::command::skip("--clock realtime", "KVM does not tell real time");
        };
        *realtime -= AWAY_NS;
        let saved_ns = clock.clock_ns;
        for (policy, jumps) in [
            (ClockPolicy::Continue, false),
            (ClockPolicy::Realtime, true),
        ] {
            let mut restored = copy.rebuilt();
            let loading = Loading {
                clock: policy,
                ..LOADING
            };
            let state = copy.saved.state.clone();
            let (paused, _) = load(&mut restored, state, loading).unwrap();
            paused.go_on().unwrap();
            let now_ns = restored.vm.get_clock().unwrap().clock;
            assert!(now_ns >= saved_ns, "{policy:?}: kvmclock went back");
            assert_eq!(now_ns - saved_ns >= AWAY_NS, jumps, "{policy:?}: {now_ns}");
        }
    }
}
