//! `pending-irq` (Linux 5.13, `52acd22faa1a`): as kick-yield, and a vCPU that was preempted outside
//! its kernel is a candidate too if an interrupt waits for it: its interrupt handler may be what the
//! spinner waits for.
//!
//! A guest that takes no interrupts, as the bundled payload, is treated as by kick-yield.
//!
//! Left out: `dy_apicv_has_pending_interrupt`, which sees only interrupts posted by hardware.

use super::{Verdict, first_eligible};
use crate::sched::view::{Standing, VcpuView, View};

/// Yields to the next that is ready, eligible, and in its kernel or about to be.
pub(super) fn decide(view: &View<'_>) -> Verdict {
    first_eligible(view, helps)
}

fn helps(vcpu: &VcpuView) -> bool {
    match vcpu.standing {
        Standing::Kicked => true,
        Standing::Preempted => vcpu.in_kernel || vcpu.has_pending_interrupt,
        Standing::OnPcpu | Standing::Halted | Standing::Away => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Action;
    use super::super::test_views::*;
    use super::*;

    #[test]
    fn an_interrupt_makes_a_vcpu_in_user_mode_a_candidate() {
        let user = in_user_mode(preempted());
        for (vcpus, action) in [
            ([running(), user, preempted()], Action::YieldTo(2)),
            (
                [running(), interrupted(user), preempted()],
                Action::YieldTo(1),
            ),
            ([running(), user, kicked()], Action::YieldTo(2)),
            ([running(), user, user], Action::Nothing),
        ] {
            assert_eq!(decide(&view(&vcpus)), action.into());
        }
    }

    #[test]
    fn an_interrupt_does_not_make_a_halted_vcpu_ready() {
        let all = [running(), interrupted(halted()), interrupted(away())];
        assert_eq!(decide(&view(&all)), Action::Nothing.into());
    }
}
