//! What no handler may do, whatever it is shown.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::sched::view::Said;
use crate::sched::view::Standing;

fn standing() -> impl Strategy<Value = Standing> {
    prop_oneof![
        Just(Standing::OnPcpu),
        Just(Standing::Preempted),
        Just(Standing::Kicked),
        Just(Standing::Halted),
        Just(Standing::Away),
    ]
}

/// What a guest says: mostly few locks and near tickets, so that lies meet each other.
fn said() -> impl Strategy<Value = Option<Said>> {
    let lock = || prop_oneof![8 => 0..4_u64, 1 => any::<u64>()];
    let ticket = || prop_oneof![8 => 0..8_u32, 2 => 250..260_u32, 1 => 65_530..65_540_u32, 1 => any::<u32>()];
    let said = (lock(), ticket(), ticket(), lock()).prop_map(
        |(waiting_lock, ticket, serving, holding_lock)| Said {
            waiting_lock,
            ticket,
            serving,
            holding_lock,
        },
    );
    proptest::option::weighted(0.9, said)
}

fn vcpu() -> impl Strategy<Value = VcpuView> {
    (standing(), any::<[bool; 5]>(), said()).prop_map(|(standing, flags, said)| {
        let [
            in_spin_loop,
            dy_eligible,
            in_kernel,
            has_pending_interrupt,
            has_lent,
        ] = flags;
        VcpuView {
            standing,
            in_spin_loop,
            dy_eligible,
            in_kernel,
            has_pending_interrupt,
            has_lent,
            said,
        }
    })
}

proptest! {
    #[test]
    fn no_handler_yields_to_itself_to_nobody_or_to_one_that_cannot_run(
        vcpus in vec(vcpu(), 0..40),
        spinner in prop_oneof![9 => 0..40_usize, 1 => any::<usize>()],
        last_boosted in prop_oneof![9 => 0..40_usize, 1 => any::<usize>()],
    ) {
        let view = View { vcpus: &vcpus, spinner, last_boosted };
        for on_spin in OnSpin::ALL {
            let verdict = decide(on_spin, &view);
            if let Action::YieldTo(target) | Action::LendTo(target) = verdict.action {
                prop_assert!(target != spinner, "{on_spin:?}");
                let target = vcpus.get(target);
                prop_assert!(target.is_some_and(|vcpu| vcpu.standing.waits()), "{on_spin:?} {target:?}");
            }
            for flipped in verdict.flips.iter() {
                let flipped = vcpus.get(flipped);
                prop_assert!(flipped.is_some_and(|vcpu| vcpu.in_spin_loop), "{on_spin:?}");
            }
        }
    }

    #[test]
    fn whoever_can_run_has_its_turn_under_the_walks(
        vcpus in vec(vcpu(), 2..20),
        spinner in 0..20_usize,
    ) {
        let spinner = spinner % vcpus.len();
        let ready: Vec<usize> = (0..vcpus.len())
            .filter(|vcpu| *vcpu != spinner && vcpus[*vcpu].standing == Standing::Preempted && vcpus[*vcpu].in_kernel)
            .collect();
        for on_spin in [OnSpin::DyEligible, OnSpin::KickYield, OnSpin::PendingIrq] {
            let (mut vcpus, mut last_boosted) = (vcpus.clone(), 0);
            let mut boosted = VcpuSet::EMPTY;
            // Each walk yields at least every other time, and each round boosts all.
            for _ in 0..8 * vcpus.len() {
                let verdict = decide(on_spin, &View { vcpus: &vcpus, spinner, last_boosted });
                for flipped in verdict.flips.iter() {
                    vcpus[flipped].dy_eligible ^= true;
                }
                if let Action::YieldTo(target) = verdict.action {
                    boosted.insert(target);
                    last_boosted = target;
                }
            }
            for vcpu in &ready {
                prop_assert!(boosted.contains(*vcpu), "{on_spin:?} never boosts {vcpu}");
            }
        }
    }
}
