//! The report, field by field as in the JSON schema `vmm.soak/1`.

use serde::{Deserialize, Serialize};

use super::plan::{Mode, Plan};
use super::tally::Tally;
use crate::pv::{HaltIn, KickBy};
use crate::report::resources::Curve;
use crate::report::run::Host;
use crate::vcpu::state::HiddenKicks;

/// Value of [`Report::schema`].
pub const SCHEMA: &str = "vmm.soak/1";

/// All that a soak found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: String,
    /// Why it is over.
    pub ended_by: EndedBy,
    /// What could not be done, where that ended it.
    pub failure: Option<String>,
    /// The host it ran on.
    pub host: Host,
    /// What was done with the machine.
    pub mode: Mode,
    /// Cycles asked for.
    pub cycles_asked: u64,
    /// Cycles done.
    pub cycles: u64,
    /// Of the random choices.
    pub seed: u64,
    /// vCPUs of the machine.
    pub vcpus: u32,
    /// Who took the kicks.
    pub kick: KickBy,
    /// Where halted vCPUs waited.
    pub halt: HaltIn,
    /// Guest memory in bytes.
    pub memory_bytes: u64,
    /// The payload's command line.
    pub guest: String,
    /// Whether hidden kicks were given back; false with `--no-repair`.
    pub repaired: bool,
    /// Kicks that no MP_STATE showed when a machine was saved.
    pub hidden_kicks: u64,
    /// Kicks among them that a machine got back where it went on.
    pub kicks_repaired: u64,
    /// vCPUs found halted for ever although the lock had been handed to them.
    pub lost_kicks: u64,
    /// Machines that made no progress any more.
    pub hangs: u64,
    /// Port accesses that were done twice.
    pub io_duplicated: u64,
    /// Port accesses that were not done.
    pub io_lost: u64,
    /// Times that the TSC went back.
    pub tsc_backwards: u64,
    /// Times that kvmclock went back.
    pub kvmclock_backwards: u64,
    /// Promises broken, of every kind: those of the locks and the four above.
    pub violations: u64,
    /// Snapshots after which the source went on and was seen to make progress.
    pub sources_went_on: u64,
    /// How long the guest stood still a cycle; null where no cycle was measured.
    pub downtime_ns: Option<Downtime>,
    /// What the processes took of the host; null in older reports.
    #[serde(default)]
    pub resources: Option<Resources>,
    /// How long all of it took.
    pub seconds: f64,
}

/// What the processes of a soak took of the host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resources {
    /// The soak's own process.
    pub soak: Curve,
    /// The process that had the machine at the time: another one after each cycle, but for
    /// [`Mode::Stay`].
    pub machine: Curve,
}

impl Resources {
    /// Of a soak of so many cycles.
    pub(super) fn over(cycles: u64) -> Self {
        Self {
            soak: Curve::over(cycles),
            machine: Curve::over(cycles),
        }
    }
}

/// Why a soak is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndedBy {
    /// All cycles are done.
    Cycles,
    /// A kick was lost, and `--until-loss` was given.
    Loss,
    /// Ctrl-C or SIGTERM.
    Interrupt,
    /// Something could not be done.
    Failure,
}

/// How long the guest stood still, in ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Downtime {
    /// The shortest.
    pub min: u64,
    /// Half of them are no longer.
    pub p50: u64,
    /// 99 % of them are no longer.
    pub p99: u64,
    /// The longest.
    pub max: u64,
    /// How many there are.
    pub count: u64,
}

impl Downtime {
    /// Of these times; `None` without any.
    pub fn of(times_ns: &[u64]) -> Option<Self> {
        let mut sorted = times_ns.to_vec();
        sorted.sort_unstable();
        let at = |percent: usize| {
            let rank = (sorted.len() * percent).div_ceil(100);
            sorted.get(rank.saturating_sub(1)).copied()
        };
        Some(Self {
            min: *sorted.first()?,
            p50: at(50)?,
            p99: at(99)?,
            max: *sorted.last()?,
            count: u64::try_from(sorted.len()).unwrap_or(u64::MAX),
        })
    }
}

/// What only the machine itself can say.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) host: Host,
    pub(super) kick: KickBy,
    pub(super) halt: HaltIn,
}

/// How a soak ended.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) by: EndedBy,
    pub(super) failure: Option<String>,
    pub(super) seconds: f64,
}

impl Report {
    pub(super) fn new(
        plan: &Plan,
        facts: Facts,
        tally: &Tally,
        resources: Resources,
        end: End,
    ) -> Self {
        let checks = tally.checks();
        Self {
            schema: SCHEMA.to_owned(),
            ended_by: end.by,
            failure: end.failure,
            host: facts.host,
            mode: plan.mode,
            cycles_asked: plan.cycles,
            cycles: tally.cycles,
            seed: plan.seed,
            vcpus: plan.vcpus,
            kick: facts.kick,
            halt: facts.halt,
            memory_bytes: plan.memory.bytes(),
            guest: plan.guest.clone(),
            repaired: plan.hidden_kicks == HiddenKicks::Repair,
            hidden_kicks: tally.hidden_kicks,
            kicks_repaired: tally.kicks_repaired,
            lost_kicks: tally.lost_kicks,
            hangs: tally.hangs,
            io_duplicated: checks.io_duplicated,
            io_lost: checks.io_lost,
            tsc_backwards: checks.tsc_backwards,
            kvmclock_backwards: checks.kvmclock_backwards,
            violations: checks.violations,
            sources_went_on: tally.sources_went_on,
            downtime_ns: Downtime::of(&tally.downtimes_ns),
            resources: Some(resources),
            seconds: end.seconds,
        }
    }

    /// Nothing was lost, repeated or bent.
    pub fn is_clean(&self) -> bool {
        [
            self.lost_kicks,
            self.hangs,
            self.io_duplicated,
            self.io_lost,
            self.tsc_backwards,
            self.kvmclock_backwards,
            self.violations,
        ]
        .iter()
        .all(|count| *count == 0)
    }

    /// Clean, and all of it done.
    pub fn has_passed(&self) -> bool {
        self.is_clean() && self.cycles == self.cycles_asked && self.failure.is_none()
    }
}

#[cfg(test)]
#[path = "report_test.rs"]
mod tests;
