//! `sleep` (Linux 2.6.33, `d255f4f2bac8`): the vCPU sleeps for 100 us, "and hope lock-holder got
//! scheduled".
//!
//! Left out: `schedule_hrtimeout` slept on the vCPU's wait queue, so an interrupt could end it early.

use std::time::Duration;

use super::{Action, Verdict};
use crate::sched::view::View;

/// How long.
const NAP: Duration = Duration::from_micros(100);

/// Sleeps.
pub(super) fn decide(_: &View<'_>) -> Verdict {
    Action::Sleep(NAP).into()
}

#[cfg(test)]
mod tests {
    use super::super::test_views::*;
    use super::*;

    #[test]
    fn a_spinner_sleeps_100_us_whoever_waits_for_a_pcpu() {
        for others in [running(), preempted(), kicked(), halted(), away()] {
            let verdict = decide(&view(&[running(), others]));
            assert_eq!(verdict, Action::Sleep(Duration::from_micros(100)).into());
        }
    }
}
