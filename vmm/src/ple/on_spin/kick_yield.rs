//! `kick-yield` (Linux 5.3, `d73eb57b80b9` with `266e85a5ec91`): as dy-eligible, and a vCPU that was
//! kicked out of its halt counts as able to run (`vcpu->ready`).
//!
//! The other half, the yield inside the kick's hypercall, is `--kick-yield`. With it, of 4.14
//! (`199b5763d329`): a vCPU that was preempted outside its kernel holds no spinlock and is passed
//! over.

use super::{Verdict, first_eligible};
use crate::sched::view::{Standing, VcpuView, View};

/// Yields to the next that is ready and eligible.
pub(super) fn decide(view: &View<'_>) -> Verdict {
    first_eligible(view, may_hold_a_lock)
}

fn may_hold_a_lock(vcpu: &VcpuView) -> bool {
    match vcpu.standing {
        Standing::Kicked => true,
        Standing::Preempted => vcpu.in_kernel,
        Standing::OnPcpu | Standing::Halted | Standing::Away => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_views::*;
    use super::super::{Action, VcpuSet};
    use super::*;

    #[test]
    fn who_was_kicked_is_as_good_as_who_was_preempted() {
        for (vcpus, target) in [
            ([running(), halted(), kicked(), preempted()], 2),
            ([running(), halted(), preempted(), kicked()], 2),
            ([running(), away(), halted(), kicked()], 3),
        ] {
            assert_eq!(decide(&view(&vcpus)), Action::YieldTo(target).into());
        }
    }

    #[test]
    fn outside_the_kernel_nobody_holds_a_spinlock() {
        let all = [running(), in_user_mode(preempted()), preempted()];
        assert_eq!(decide(&view(&all)), Action::YieldTo(2).into());
        let interrupted = [running(), interrupted(in_user_mode(preempted()))];
        assert_eq!(
            decide(&view(&interrupted)),
            Action::Nothing.into(),
            "until 5.13"
        );
        let woken = [running(), in_user_mode(kicked())];
        assert_eq!(
            decide(&view(&woken)),
            Action::YieldTo(1).into(),
            "not preempted"
        );
    }

    #[test]
    fn who_spins_is_passed_over_every_other_time() {
        let all = [
            running(),
            spinning(preempted()),
            eligible(spinning(preempted())),
        ];
        let verdict = decide(&view(&all));
        assert_eq!(verdict.action, Action::YieldTo(2));
        assert_eq!(verdict.flips, VcpuSet::from_iter([1, 2]));
    }
}
