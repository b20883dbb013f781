//! What a machine's payload has done so far, in a few numbers: for who asks while it runs.

use serde::{Deserialize, Serialize};

use super::violations::Violations;

/// Sums over all vCPUs at one moment. The guest goes on while they are read, so they need not fit
/// each other to the last one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveCounts {
    /// Locks taken, those before the workload settled left out.
    pub acquisitions: u64,
    /// Halts.
    pub halts: u64,
    /// Kicks sent.
    pub kicks_sent: u64,
    /// Turns that wrote and read a sequence number.
    pub io_turns: u64,
    /// Times a vCPU learnt that the host had stopped it.
    pub clock_stops: u64,
    /// Promises broken, one by one.
    pub violations: Violations,
    /// All of them.
    pub violations_total: u64,
}
