//! What is known of each kick.

use crate::pv::kick::Fate;

/// The life of one kick at one target. Times are the host's TSC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Life {
    /// The kick's number at the VMM; `None` where KVM took it.
    pub number: Option<u64>,
    /// The vCPU that kicked.
    pub from: usize,
    /// The vCPU that was kicked; `None` where nobody has that APIC ID.
    pub to: Option<usize>,
    /// What it met there, where the VMM took it.
    pub fate: Option<Fate>,
    /// Address of the lock and the ticket that came next, where the guest noted its release.
    pub waited_for: Option<(u64, u32)>,
    /// The release that kicks.
    pub unlock: Option<u64>,
    /// The kick arrived at the VMM.
    pub kick: Option<u64>,
    /// It was handed to the target (begin and end).
    pub unhalt: Option<(u64, u64)>,
    /// The target was woken: its thread came back from its park, or KVM was told.
    pub wake: Option<u64>,
    /// The target ran, and how that is known.
    pub run: Option<Run>,
    /// It has the lock.
    pub acquire: Option<u64>,
    /// How it ended.
    pub outcome: Outcome,
}

/// The target runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// The guest's first instruction after its halt.
    InGuest(u64),
    /// Its thread entered the guest.
    Entered(u64),
    /// It left the guest some time later.
    SeenAfter(u64),
}

impl Run {
    /// When.
    pub fn tsc(self) -> u64 {
        match self {
            Self::InGuest(tsc) | Self::Entered(tsc) | Self::SeenAfter(tsc) => tsc,
        }
    }
}

/// How the life of a kick ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The target took the lock.
    Acquired,
    /// The target had the lock before the kick arrived.
    TooLate,
    /// The target ran, and somebody else had the lock: it waits again.
    Stolen,
    /// It was swallowed on purpose, or its target does not exist or took nothing.
    NotDelivered,
    /// The trace does not say: it ends before, or the guest notes nothing.
    Open,
}

/// What came out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Joined {
    /// In the order of the first step that is known.
    pub lives: Vec<Life>,
    /// Wakes that no kick explains although all kicks of that time are there.
    pub unexplained_wakes: u64,
    /// Kicks to halted vCPUs that nobody woke from, although the trace goes on.
    pub kicks_without_wake: u64,
}

impl Life {
    /// The steps that are known, in the order of causes.
    pub fn steps(&self) -> impl Iterator<Item = u64> + use<> {
        let run = self.run.map(Run::tsc);
        [self.unlock, self.kick, self.wake, run, self.acquire]
            .into_iter()
            .flatten()
    }

    /// All five steps are known.
    pub fn is_whole(&self) -> bool {
        self.steps().count() == 5
    }

    /// No step comes before its cause.
    pub fn is_ordered(&self) -> bool {
        self.steps().is_sorted()
    }
}
