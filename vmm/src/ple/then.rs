//! What a vCPU does after it left through the `spin_exit` stub.

use std::time::Duration;

/// What a vCPU does after its exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Enter the guest again, if it still has its pCPU.
    GoOn,
    /// Stay off its pCPU for so long.
    StayOff(Duration),
    /// Lose its pCPU and queue for another.
    BePreempted,
}
