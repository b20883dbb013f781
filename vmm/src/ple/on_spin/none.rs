//! `none`: the vCPU spins on, as on a KVM before pause-loop exiting (2009).

use super::{Action, Verdict};
use crate::sched::view::View;

/// Nothing.
pub(super) fn decide(_: &View<'_>) -> Verdict {
    Action::Nothing.into()
}

#[cfg(test)]
mod tests {
    use super::super::test_views::*;
    use super::*;

    #[test]
    fn a_spinner_keeps_its_pcpu_whoever_waits_for_one() {
        let vcpus = [running(), preempted(), kicked(), halted()];
        assert_eq!(decide(&view(&vcpus)), Action::Nothing.into());
    }
}
