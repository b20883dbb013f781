//! `dy-eligible` (Linux 3.7, `4c088493c8d0` and `06e48c510aa3`, as it stood until 5.2): directed yield
//! to the next vCPU that does not spin itself, or that spins and was passed over the last time.
//!
//! With it the walk that was repaired just before (`5cfc2aabcb28`), and `vcpu->preempted`
//! (`7bc7ae25b143`, 2013): only a vCPU that lost its pCPU against its will. A vCPU that was kicked out of
//! its halt is passed over, which went unseen until 2019.
//!
//! Left out: giving up after three `yield_to` that failed because both run queues were short
//! (`c45c528e89ed`). Here a vCPU that waits has no pCPU, so a yield to it cannot fail for that. One whose
//! target has got a pCPU meanwhile does, and is followed by another walk: see
//! [`SpinService`](crate::ple::service::SpinService).

use super::{Verdict, first_eligible};
use crate::sched::view::{Standing, View};

/// Yields to the next that was preempted and is eligible.
pub(super) fn decide(view: &View<'_>) -> Verdict {
    first_eligible(view, |vcpu| vcpu.standing == Standing::Preempted)
}

#[cfg(test)]
mod tests {
    use super::super::test_views::*;
    use super::super::{Action, VcpuSet};
    use super::*;

    #[test]
    fn the_walk_begins_after_the_last_boosted() {
        let all = [preempted(), running(), preempted(), preempted()];
        for (last_boosted, target) in [(0, 2), (2, 3), (3, 0), (7, 0)] {
            let view = View {
                spinner: 1,
                last_boosted,
                ..view(&all)
            };
            assert_eq!(decide(&view), Action::YieldTo(target).into());
        }
    }

    #[test]
    fn who_spins_is_passed_over_every_other_time() {
        let fresh = [running(), spinning(preempted()), preempted()];
        let verdict = decide(&view(&fresh));
        assert_eq!(
            verdict.action,
            Action::YieldTo(2),
            "the one that does not spin"
        );
        assert_eq!(
            verdict.flips,
            VcpuSet::from_iter([1]),
            "next time it is its turn"
        );

        let passed_over = [running(), eligible(spinning(preempted())), preempted()];
        let verdict = decide(&view(&passed_over));
        assert_eq!(verdict.action, Action::YieldTo(1), "its turn");
        assert_eq!(
            verdict.flips,
            VcpuSet::from_iter([1]),
            "and not the time after"
        );
    }

    #[test]
    fn only_who_was_looked_at_flips() {
        let all = [running(), preempted(), spinning(preempted())];
        assert_eq!(decide(&view(&all)).flips, VcpuSet::EMPTY);
    }

    #[test]
    fn where_all_spin_the_first_time_nobody_gets_the_pcpu() {
        let all = [running(), spinning(preempted()), spinning(preempted())];
        let verdict = decide(&view(&all));
        assert_eq!(verdict.action, Action::Nothing);
        assert_eq!(verdict.flips, VcpuSet::from_iter([1, 2]));
    }

    #[test]
    fn who_was_kicked_is_not_preempted() {
        let all = [running(), kicked(), halted(), away()];
        assert_eq!(decide(&view(&all)), Action::Nothing.into());
    }
}
