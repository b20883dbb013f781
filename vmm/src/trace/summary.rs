//! What a trace amounts to.

use std::fmt;

use serde::Serialize;

use super::life::{Joined, Life, Outcome};
use super::recording::{Recording, Track};

/// Name of the format of the summary.
pub const SCHEMA: &str = "vmm-trace-v1";

/// What a trace amounts to: for the user's eye, and in the file for scripts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// Lives of kicks in the file; a broadcast has one for each target.
    pub kicks: usize,
    /// Those of which all five steps are known.
    pub whole: usize,
    /// Those that the target took the lock after.
    pub acquired: usize,
    /// Those that came when the target already had the lock.
    pub too_late: usize,
    /// Those whose lock was somebody else's by the time the target looked.
    pub stolen: usize,
    /// Those that reached nobody.
    pub not_delivered: usize,
    /// Those of which the trace does not tell the end.
    pub open: usize,
    /// Those with a step before its cause: 0 where the host's TSCs are in step.
    pub out_of_order: usize,
    /// Wakes that no kick explains.
    pub unexplained_wakes: u64,
    /// Kicks to halted vCPUs that nobody woke from.
    pub kicks_without_wake: u64,
    /// Older events of the host that the rings had no room for.
    pub host_events_lost: u64,
    /// Older events of the guest that its rings had no room for.
    pub guest_events_lost: u64,
    /// Events of the guest that cannot be and were left out.
    pub guest_events_invalid: u64,
    /// Rate of the host's TSC.
    pub tsc_khz: u64,
}

impl Summary {
    /// Of what was recorded and joined.
    pub fn new(recording: &Recording, joined: &Joined) -> Self {
        let count = |is: fn(&Life) -> bool| joined.lives.iter().filter(|life| is(life)).count();
        let sum = |of: fn(&Track) -> u64| {
            let each = recording.vcpus.iter().map(of);
            each.fold(0, u64::saturating_add)
        };
        Self {
            schema: SCHEMA,
            kicks: joined.lives.len(),
            whole: count(Life::is_whole),
            acquired: count(|life| life.outcome == Outcome::Acquired),
            too_late: count(|life| life.outcome == Outcome::TooLate),
            stolen: count(|life| life.outcome == Outcome::Stolen),
            not_delivered: count(|life| life.outcome == Outcome::NotDelivered),
            open: count(|life| life.outcome == Outcome::Open),
            out_of_order: count(|life| !life.is_ordered()),
            unexplained_wakes: joined.unexplained_wakes,
            kicks_without_wake: joined.kicks_without_wake,
            host_events_lost: sum(|track| track.host_lost),
            guest_events_lost: sum(|track| track.guest.lost),
            guest_events_invalid: sum(|track| track.guest.invalid),
            tsc_khz: recording.tsc_khz,
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kicks, whole, .. } = self;
        let plural = if *kicks == 1 { "" } else { "s" };
        write!(f, "{kicks} kick{plural}, {whole} from unlock to acquire")?;
        let lost = self.host_events_lost.saturating_add(self.guest_events_lost);
        if lost != 0 {
            write!(f, ", {lost} older events lost")?;
        }
        Ok(())
    }
}
