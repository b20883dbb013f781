//! The hang report: no vCPU makes progress, and why.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::hex::Hex;
use super::units;
use super::wrap::wrap;

/// vCPUs that the text form lists; the JSON form has them all.
const LISTED: usize = 16;

/// What the watchdog found when no vCPU had made progress.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HangReport {
    /// Seconds since the last progress.
    pub seconds_without_progress: f64,
    /// Index of the vCPU that stops all the others; null when none stands out.
    pub culprit: Option<u32>,
    /// The finding in one sentence.
    pub sentence: String,
    /// Every vCPU.
    pub vcpus: Vec<StuckVcpu>,
}

/// One vCPU, as the watchdog saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StuckVcpu {
    /// Its index.
    pub index: u32,
    /// Its APIC ID.
    pub apic_id: u32,
    /// What it does.
    pub activity: Activity,
    /// RFLAGS.IF. A halted vCPU without it wakes by a kick only.
    pub interrupts_enabled: bool,
    /// A kick is pending: its halt returns at once.
    pub pv_unhalted: bool,
    /// Where it is.
    pub rip: Hex,
    /// The lock it waits for, where the payload says so.
    pub waits_for: Option<WaitFor>,
    /// The last kick sent to it, where the VMM saw one.
    pub last_kick: Option<LastKick>,
    /// Whether it had a pCPU, where the VMM schedules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_pcpu: Option<OnPcpu>,
}

/// A vCPU's part in the VMM's scheduling before it was stopped to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnPcpu {
    /// It had a token.
    Holds,
    /// It could run and waited for a token.
    Waits,
    /// It wanted none.
    Off,
}

impl StuckVcpu {
    /// Halted, and neither an interrupt nor a pending kick will wake it.
    pub fn halted_for_ever(&self) -> bool {
        self.activity == Activity::Halted && !self.interrupts_enabled && !self.pv_unhalted
    }
}

/// What a vCPU does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activity {
    /// In HLT.
    Halted,
    /// Executes instructions.
    Running,
    /// An application processor that nobody has started.
    WaitingForSipi,
    /// Has left the workload.
    Done,
}

impl fmt::Display for Activity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Halted => "halted",
            Self::Running => "running",
            Self::WaitingForSipi => "waiting for SIPI",
            Self::Done => "done",
        })
    }
}

/// The lock that a vCPU waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitFor {
    /// Index of the lock.
    pub lock_index: u64,
    /// The waiter's ticket; null for locks without tickets.
    pub ticket: Option<u32>,
    /// The ticket being served; null for locks without tickets.
    pub head: Option<u32>,
    /// The next ticket to be drawn; null for locks without tickets.
    pub tail: Option<u32>,
    /// Whether the lock's slow path flag is set.
    pub slow_path: bool,
    /// APIC ID of the holder; null when nobody holds it.
    pub owner: Option<u32>,
    /// Whether the lock was handed to this vCPU, which does not know it.
    pub its_turn: bool,
}

impl fmt::Display for WaitFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lock {}", self.lock_index)?;
        if let Some(ticket) = self.ticket {
            write!(f, " with ticket {ticket}")?;
        }
        if let (Some(head), Some(tail)) = (self.head, self.tail) {
            write!(f, " (head {head}, tail {tail}")?;
            if self.slow_path {
                f.write_str(", slow-path flag set")?;
            }
            f.write_str(")")?;
        }
        match self.owner {
            Some(owner) => write!(f, ", owned by APIC ID {owner}"),
            None if self.its_turn => f.write_str(", owned by nobody: it is this vCPU's turn"),
            None => f.write_str(", owned by nobody"),
        }
    }
}

/// The last kick to a vCPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastKick {
    /// Its number in the run, from 1, as `--drop-kick` counts.
    pub number: u64,
    /// APIC ID of the sender; null when the VMM itself kicked.
    pub from_apic_id: Option<u32>,
    /// How long ago it was sent.
    pub age_ns: u64,
    /// What became of it.
    pub fate: KickFate,
}

/// What became of a kick.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KickFate {
    /// It woke the halted vCPU.
    ToHalted,
    /// The vCPU was not halted: `pv_unhalted` was set for its next halt.
    ToRunning,
    /// The vCPU waited for SIPI: ignored.
    WaitingForSipi,
    /// The vCPU's local APIC is software-disabled and took nothing.
    NotAccepted,
    /// Swallowed by `--drop-kick`.
    Dropped,
    /// Swallowed by `--kick-fault drop`.
    Swallowed,
    /// Brought to another vCPU by `--kick-fault misroute`.
    Misrouted,
    /// Held back by `--kick-fault delay`, and not delivered yet.
    Delayed,
}

impl fmt::Display for LastKick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fate = match self.fate {
            KickFate::ToHalted => "it woke a halt",
            KickFate::ToRunning => "it was kept as pv_unhalted for the next halt",
            KickFate::WaitingForSipi => "ignored, the vCPU waited for SIPI",
            KickFate::NotAccepted => "its local APIC is disabled and took nothing",
            KickFate::Dropped => "dropped by --drop-kick",
            KickFate::Swallowed => "dropped by --kick-fault",
            KickFate::Misrouted => "brought to another vCPU by --kick-fault",
            KickFate::Delayed => "held back by --kick-fault, it is still to come",
        };
        write!(f, "number {} from ", self.number)?;
        match self.from_apic_id {
            Some(apic_id) => write!(f, "APIC ID {apic_id}")?,
            None => f.write_str("the VMM")?,
        }
        write!(f, ", {} ago: {fate}", units::ns(self.age_ns))
    }
}

impl HangReport {
    /// Finds the culprit among `vcpus` and says why.
    pub fn new(seconds_without_progress: f64, vcpus: Vec<StuckVcpu>) -> Self {
        let finding = Finding::of(&vcpus);
        Self {
            seconds_without_progress,
            culprit: finding.culprit().map(|vcpu| vcpu.index),
            sentence: finding.to_string(),
            vcpus,
        }
    }
}

/// Why nothing moves. The order of the variants is the order in which they are looked for: each
/// explains more than the next.
#[derive(Debug)]
enum Finding<'a> {
    /// A halted vCPU has the lock and was not told.
    LostKick(&'a StuckVcpu),
    /// A halted vCPU owns a lock that another waits for.
    HolderHalted(&'a StuckVcpu),
    /// A vCPU runs, owns a lock that another waits for and does not release it.
    HolderKeeps(&'a StuckVcpu),
    /// A vCPU is halted for ever, for a reason that is not known.
    HaltedForEver(&'a StuckVcpu),
    /// None is halted for ever.
    NoneHalted,
}

impl<'a> Finding<'a> {
    fn of(vcpus: &'a [StuckVcpu]) -> Self {
        let halted = || vcpus.iter().filter(|vcpu| vcpu.halted_for_ever());
        let its_turn = |vcpu: &&StuckVcpu| vcpu.waits_for.is_some_and(|wait| wait.its_turn);
        let owner = || {
            let owner = |vcpu: &StuckVcpu| vcpu.waits_for?.owner;
            vcpus.iter().filter_map(owner).find_map(|apic_id| {
                let owns = |vcpu: &&StuckVcpu| vcpu.apic_id == apic_id;
                // A holder that itself waits for a lock is no root of the hang.
                vcpus
                    .iter()
                    .find(owns)
                    .filter(|vcpu| vcpu.waits_for.is_none())
            })
        };
        if let Some(vcpu) = halted().find(its_turn) {
            return Self::LostKick(vcpu);
        }
        match owner() {
            Some(vcpu) if vcpu.halted_for_ever() => return Self::HolderHalted(vcpu),
            Some(vcpu) if vcpu.activity == Activity::Running => return Self::HolderKeeps(vcpu),
            _ => {}
        }
        halted()
            .next()
            .map_or(Self::NoneHalted, Self::HaltedForEver)
    }

    fn culprit(&self) -> Option<&'a StuckVcpu> {
        match *self {
            Self::LostKick(vcpu)
            | Self::HolderHalted(vcpu)
            | Self::HolderKeeps(vcpu)
            | Self::HaltedForEver(vcpu) => Some(vcpu),
            Self::NoneHalted => None,
        }
    }
}

impl fmt::Display for Finding<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(vcpu) = self.culprit() else {
            return f.write_str("no vCPU makes progress, yet none is halted for ever");
        };
        write!(f, "vCPU {} (APIC ID {}) ", vcpu.index, vcpu.apic_id)?;
        if let Self::HolderKeeps(_) = self {
            return write!(
                f,
                "runs at {} and owns a lock that others wait for",
                vcpu.rip
            );
        }
        f.write_str("is halted with IF=0 and no pv_unhalted")?;
        if let Self::HolderHalted(_) = self {
            f.write_str(" and owns a lock that others wait for")?;
        }
        if let Some(wait) = vcpu.waits_for {
            write!(f, ", waiting for {wait}")?;
        }
        match vcpu.last_kick {
            Some(kick) => write!(f, "; last kick to it: {kick}"),
            None => f.write_str("; no kick to it was seen"),
        }
    }
}

impl fmt::Display for HangReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "hung: no progress for {:.1} s",
            self.seconds_without_progress
        )?;
        f.write_str(&wrap(&self.sentence, 2))?;
        // The culprit is in the sentence; those that are halted for ever tell more than the rest.
        let mut others: Vec<_> = self
            .vcpus
            .iter()
            .filter(|vcpu| Some(vcpu.index) != self.culprit)
            .collect();
        others.sort_by_key(|vcpu| !vcpu.halted_for_ever());
        for vcpu in others.iter().take(LISTED) {
            f.write_str(&wrap(&vcpu.to_string(), 2))?;
        }
        if others.len() > LISTED {
            writeln!(f, "  and {} more", others.len() - LISTED)?;
        }
        Ok(())
    }
}

impl fmt::Display for StuckVcpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "vCPU {} (APIC ID {}) {} at {}, IF={}, pv_unhalted={}",
            self.index,
            self.apic_id,
            self.activity,
            self.rip,
            u8::from(self.interrupts_enabled),
            u8::from(self.pv_unhalted),
        )?;
        if let Some(wait) = self.waits_for {
            write!(f, ", for {wait}")?;
        }
        match self.on_pcpu {
            Some(OnPcpu::Holds) => f.write_str(", on a pCPU")?,
            Some(OnPcpu::Waits) => f.write_str(", waiting for a pCPU")?,
            Some(OnPcpu::Off) | None => {}
        }
        if let Some(kick) = self.last_kick {
            write!(f, "; last kick: {kick}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "hang_test.rs"]
mod tests;
