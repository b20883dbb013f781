//! The laboratory's switches, all of which the service of spin exits has to know.

use super::config::{OnSpin, Ple};
use crate::pv::fault::KickFaults;
use crate::sched::config::{PreemptHolder, Sched};

/// Whether a kick also yields to its target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KickYield {
    /// The kicker keeps its pCPU.
    #[default]
    Off,
    /// The kicker gives its pCPU to the kicked vCPU, as KVM does since Linux 5.3.
    On,
}

/// The laboratory: what is done to the vCPUs of a run so that it can be measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lab {
    /// Who decides which vCPUs run.
    pub sched: Sched,
    /// Who takes a vCPU out of a spin loop.
    pub ple: Ple,
    /// What becomes of it then.
    pub on_spin: OnSpin,
    /// Whether a kick yields.
    pub kick_yield: KickYield,
    /// Kicks that go wrong.
    pub kick_faults: Option<KickFaults>,
    /// Lock holders that are preempted.
    pub preempt_holder: Option<PreemptHolder>,
    /// Seed of what is drawn.
    pub seed: u64,
}
