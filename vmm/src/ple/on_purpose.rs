//! Who loses its pCPU on purpose: `--preempt-holder` and the adversary of `--sched`.

use super::lab::Lab;
use super::then::Then;
use crate::sched::config::{PolicyKind, PreemptAt, Sched};

/// What acquires and releases are preempted with.
#[derive(Clone, Copy, Debug)]
pub(super) struct OnPurpose {
    pub(super) at_acquire: Then,
    pub(super) at_release: Then,
}

impl OnPurpose {
    pub(super) fn of(lab: &Lab) -> Self {
        let adversary = match lab.sched {
            Sched::Tokens(tokens) => match tokens.policy {
                PolicyKind::Adversarial(adversary) => Some(adversary.at),
                _ => None,
            },
            Sched::Host => None,
        };
        let by_adversary = |place| match adversary {
            Some(at) if at == place => Then::BePreempted,
            _ => Then::GoOn,
        };
        Self {
            at_acquire: lab
                .preempt_holder
                .map_or(by_adversary(PreemptAt::Acquire), |holder| {
                    Then::StayOff(holder.hold)
                }),
            at_release: by_adversary(PreemptAt::Release),
        }
    }
}
