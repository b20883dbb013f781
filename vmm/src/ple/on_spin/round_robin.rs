//! `round-robin` (Linux 2.6.39, `217ece6129f2`): directed yield to the vCPU after the one that was
//! boosted last, if it is neither halted nor on a pCPU.
//!
//! The walk is that of its time: `i < last_boosted_vcpu` instead of `<=`, so with vCPU 0 boosted last
//! (as at the start) it begins at vCPU 0 again, and boosts that one for as long as it can be boosted.
//! `5cfc2aabcb28` repaired it in 2012.

use super::{Action, Verdict};
use crate::sched::view::View;

/// Yields to the next in turn.
pub(super) fn decide(view: &View<'_>) -> Verdict {
    let count = view.vcpus.len();
    let first = match view.last_boosted {
        0 => 0,
        last => last.saturating_add(1).min(count),
    };
    let target = (first..count)
        .chain(0..first)
        .filter(|index| *index != view.spinner)
        .find(|index| {
            view.vcpus
                .get(*index)
                .is_some_and(|vcpu| vcpu.standing.waits())
        });
    target.map_or(Action::Nothing, Action::YieldTo).into()
}

#[cfg(test)]
mod tests {
    use super::super::test_views::*;
    use super::*;

    #[test]
    fn the_next_one_that_could_run_gets_the_pcpu() {
        let all = [running(), preempted(), halted(), kicked(), away()];
        for (last_boosted, action, why) in [
            (0, Action::YieldTo(1), "the first that waits for a pCPU"),
            (
                1,
                Action::YieldTo(3),
                "past the halted one; a kicked one is not halted any more",
            ),
            (
                3,
                Action::YieldTo(1),
                "around, past the one that waits for SIPI and the spinner",
            ),
            (4, Action::YieldTo(1), "around"),
            (9, Action::YieldTo(1), "a vCPU that is none: from the first"),
        ] {
            let view = View {
                last_boosted,
                ..view(&all)
            };
            assert_eq!(decide(&view).action, action, "{why}");
        }
    }

    #[test]
    fn vcpu_0_is_boosted_again_and_again_before_3_7() {
        let all = [preempted(), preempted(), running()];
        let spins = |last_boosted| View {
            spinner: 2,
            last_boosted,
            ..view(&all)
        };
        assert_eq!(decide(&spins(0)).action, Action::YieldTo(0));
        assert_eq!(decide(&spins(1)).action, Action::YieldTo(0));
    }

    #[test]
    fn one_that_spins_itself_is_as_good_as_any() {
        let all = [running(), spinning(preempted()), preempted()];
        assert_eq!(decide(&view(&all)), Action::YieldTo(1).into());
    }

    #[test]
    fn nobody_gets_what_all_have() {
        let all = [running(), running(), halted(), away()];
        assert_eq!(decide(&view(&all)), Action::Nothing.into());
    }
}
