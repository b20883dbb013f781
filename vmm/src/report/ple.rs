//! The report's parts on pause-loop exiting and on kicks that go wrong.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::row::row;
use super::units;

/// Who took vCPUs out of their spin loops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PleBy {
    /// The hardware, where it can.
    Host,
    /// Nobody.
    Off,
    /// The guest's own loops.
    Soft,
}

/// What the hardware's PLE does in this VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HardwareActs {
    /// vCPUs that spin exit to KVM.
    On,
    /// It was switched off for this VM.
    Off,
    /// This host has none, or its modules were loaded with it off.
    None,
}

/// Pause-loop exiting in a run. Absent where the laboratory was not used and the host has none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PleReport {
    /// Who.
    pub by: PleBy,
    /// `--on-spin`.
    pub on_spin: String,
    /// Soft PLE's windows; null without it.
    pub window: Option<Windows>,
    /// Exits of vCPUs that had spun for a whole window.
    pub spin_exits: u64,
    /// What became of them, and the other exits through the stub; null where nobody served them.
    pub outcomes: Option<Outcomes>,
    /// The hardware's.
    pub hardware: HardwareActs,
    /// The parameters of KVM's modules.
    pub parameters: BTreeMap<String, String>,
    /// KVM's tracepoints, counted over the run; absent where they were not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracepoints: Option<BTreeMap<String, u64>>,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_tracepoints: Option<String>,
}

/// Soft PLE's settings, and what came of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Windows {
    /// TSC cycles between two PAUSEs of one loop, at most.
    pub gap: u32,
    /// PAUSEs before the first exit.
    pub window: u32,
    /// As the option has it.
    pub grow: u32,
    /// As the option has it.
    pub shrink: u32,
    /// The least window of any vCPU, in PAUSEs.
    pub least: u32,
    /// The greatest.
    pub most: u32,
}

/// What became of exits through the `spin_exit` stub.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcomes {
    /// Yields that gave their target the pCPU.
    pub yielded: u64,
    /// Of those, loans: the target was to give it back once outside all locks.
    pub lent: u64,
    /// Loans that came back.
    pub given_back: u64,
    /// Yields whose target had got a pCPU, or had halted, meanwhile.
    pub too_late: u64,
    /// Exits after which the handler had nobody to yield to.
    pub nobody: u64,
    /// Sleeps.
    pub slept: u64,
    /// Waits that the guest was told to halt in.
    pub told_to_halt: u64,
    /// Exits after an acquire.
    pub acquired: u64,
    /// Exits before a release.
    pub releasing: u64,
    /// Of those two, how many lost their pCPU on purpose.
    pub preempted: u64,
    /// Exits for a reason that there is not.
    pub unknown: u64,
}

impl fmt::Display for PleReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = match self.by {
            PleBy::Host => "host",
            PleBy::Off => "off",
            PleBy::Soft => "soft",
        };
        let hardware = match self.hardware {
            HardwareActs::On => "on",
            HardwareActs::Off => "off",
            HardwareActs::None => "none",
        };
        let cells = [
            ("by", by.to_owned()),
            ("hardware", hardware.to_owned()),
            ("on spin", self.on_spin.clone()),
        ];
        row(f, "PLE", 3, cells)?;
        if let Some(window) = self.window {
            let cells = [
                ("window", units::count(window.window.into())),
                ("least", units::count(window.least.into())),
                ("most", units::count(window.most.into())),
            ];
            row(f, "", 3, cells)?;
        }
        if let Some(outcomes) = &self.outcomes {
            let cells = [("spin exits", self.spin_exits)].into_iter();
            let cells = cells.chain(outcomes.cells().filter(|(_, count)| *count > 0));
            row(f, "", 3, cells.map(|(name, n)| (name, units::count(n))))?;
        }
        let parameters = self.parameters.iter();
        row(
            f,
            "",
            3,
            parameters.map(|(name, value)| (name.as_str(), value.clone())),
        )?;
        let counts = self.tracepoints.iter().flatten();
        row(
            f,
            "",
            2,
            counts.map(|(name, &n)| (name.as_str(), units::count(n))),
        )
    }
}

impl Outcomes {
    fn cells(&self) -> impl Iterator<Item = (&'static str, u64)> {
        [
            ("yielded", self.yielded),
            ("lent", self.lent),
            ("given back", self.given_back),
            ("too late", self.too_late),
            ("nobody", self.nobody),
            ("slept", self.slept),
            ("told to halt", self.told_to_halt),
            ("acquired", self.acquired),
            ("releasing", self.releasing),
            ("preempted", self.preempted),
            ("unknown", self.unknown),
        ]
        .into_iter()
    }
}

/// Kicks that went wrong on purpose. Absent without `--kick-fault`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct KickFaultReport {
    /// Seed of the draws.
    pub seed: u64,
    /// Share of the kicks that was to be swallowed.
    pub drop: f64,
    /// Share that was to be doubled.
    pub dup: f64,
    /// Share that was to go astray.
    pub misroute: f64,
    /// Each is delivered after so long.
    pub delay_ns: u64,
    /// Kicks swallowed.
    pub dropped: u64,
    /// Kicks delivered twice.
    pub duplicated: u64,
    /// Kicks that went to another vCPU.
    pub misrouted: u64,
    /// Targets whose kick was put off.
    pub delayed: u64,
    /// Of those, delivered before their time because the machine was paused.
    pub flushed: u64,
    /// Targets whose kick came at once because too many waited already.
    pub crowded: u64,
    /// Of those, not delivered when the run ended.
    pub waiting: u64,
}

impl fmt::Display for KickFaultReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cells = [
            ("dropped", self.dropped),
            ("duplicated", self.duplicated),
            ("misrouted", self.misrouted),
            ("delayed", self.delayed),
            ("flushed", self.flushed),
            ("crowded", self.crowded),
            ("waiting", self.waiting),
        ];
        // The first three are what was drawn; the others only where they happened.
        let cells = cells.into_iter().enumerate();
        let cells = cells.filter(|(index, (_, count))| *index < 3 || *count > 0);
        row(
            f,
            "kick faults",
            3,
            cells.map(|(_, (name, n))| (name, units::count(n))),
        )
    }
}
