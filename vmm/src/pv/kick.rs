//! The kick as a service of the VMM: any part of it may wake a halted vCPU by APIC ID, not only
//! a guest's spinlock (the seed series moved the hypercall out of the spinlock option for that).

mod record;

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::apic_id::{ApicIds, ApicMode, Destination, Targets, VcpuIndex};
use super::fault::Fault;
use super::faulty::{FaultyKicks, Late};
use super::halt::Met;
use super::recorder::Tracer;

pub use record::{Fate, KickStats, Kicker, LastKick, VcpuKicks};

/// What unhalting one vCPU met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unhalted {
    /// It was halted and wakes.
    WasHalted,
    /// It was not halted: `pv_unhalted` is set, its next halt returns at once.
    WasRunning,
    /// It waits for SIPI, and goes on waiting. Only `--halt vmm` can tell.
    WaitsForSipi,
    /// KVM found no target.
    NotAccepted,
}

impl From<Met> for Unhalted {
    fn from(met: Met) -> Self {
        match met {
            Met::Halted => Self::WasHalted,
            Met::Running => Self::WasRunning,
            Met::WaitsForSipi => Self::WaitsForSipi,
        }
    }
}

/// Something that can unhalt the vCPUs of one machine.
pub trait Waker: Send + Sync + std::fmt::Debug {
    /// Sets the vCPU's `pv_unhalted` and wakes it where it is halted.
    fn unhalt(&self, vcpu: VcpuIndex, apic_id: u32) -> Unhalted;
    /// The mode its local APIC is in.
    fn apic_mode(&self, vcpu: VcpuIndex) -> ApicMode;
}

/// What became of a kick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// This many vCPUs got it.
    Delivered(usize),
    /// Nobody has that APIC ID.
    NoSuchApicId,
    /// Swallowed on purpose (`--drop-kick`, `--kick-fault`).
    Dropped,
}

/// A kick that has arrived at the VMM, has been counted and has its number.
#[derive(Debug)]
pub struct Arrived {
    number: u64,
    dropped: bool,
    fault: Fault,
}

impl Arrived {
    /// Whether it is swallowed on purpose.
    pub fn is_dropped(&self) -> bool {
        self.dropped || self.fault == Fault::Drop
    }
}

/// Kicks vCPUs of one machine.
#[derive(Debug)]
pub struct KickService {
    ids: ApicIds,
    apic_ids: Vec<u32>,
    waker: Box<dyn Waker>,
    drop_kick: Option<u64>,
    faulty: Option<FaultyKicks>,
    stats: KickStats,
    by_vcpu: Vec<VcpuKicks>,
    trace: Tracer,
    last: Vec<Mutex<Option<LastKick>>>,
}

impl KickService {
    /// For vCPUs with these APIC IDs, by index. `drop_kick` swallows the kick of that number.
    pub fn new(
        apic_ids: Vec<u32>,
        ids: ApicIds,
        waker: Box<dyn Waker>,
        drop_kick: Option<u64>,
        trace: Tracer,
    ) -> Self {
        let by_vcpu = apic_ids.iter().map(|_| VcpuKicks::default()).collect();
        let last = apic_ids.iter().map(|_| Mutex::new(None)).collect();
        Self {
            ids,
            apic_ids,
            waker,
            drop_kick,
            faulty: None,
            stats: KickStats::default(),
            by_vcpu,
            trace,
            last,
        }
    }

    /// The same, whose kicks go wrong.
    #[must_use]
    pub fn with_faults(mut self, faulty: Option<FaultyKicks>) -> Self {
        self.faulty = faulty;
        self
    }

    /// The kicks that go wrong, under `--kick-fault`.
    pub fn faulty(&self) -> Option<&FaultyKicks> {
        self.faulty.as_ref()
    }

    /// The counters.
    pub fn stats(&self) -> &KickStats {
        &self.stats
    }

    /// The kicks from and to one vCPU.
    pub fn of_vcpu(&self, vcpu: VcpuIndex) -> Option<&VcpuKicks> {
        self.by_vcpu.get(vcpu.place())
    }

    /// What reaches `vcpu`, wherever it is.
    pub fn destination_of(&self, vcpu: VcpuIndex) -> Destination {
        let apic_id = self.apic_ids.get(vcpu.place()).copied().unwrap_or(u32::MAX);
        Destination::from_a1(apic_id.into())
    }

    /// The last kick that named `vcpu`.
    pub fn last_kick(&self, vcpu: VcpuIndex) -> Option<LastKick> {
        *self
            .last
            .get(vcpu.place())?
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a kick for `destination` in.
    pub fn arrive(&self, from: Kicker, destination: Destination) -> Arrived {
        let number = self.stats.handled.fetch_add(1, Relaxed) + 1;
        if let Kicker::Vcpu(vcpu) = from
            && let Some(kicks) = self.of_vcpu(vcpu)
        {
            kicks.sent.fetch_add(1, Relaxed);
        }
        self.trace.kick(from, number, destination.apic_id());
        let dropped = self.drop_kick == Some(number);
        let fault = match &self.faulty {
            Some(faulty) if !dropped => faulty.fate(number),
            _ => Fault::None,
        };
        if dropped || fault == Fault::Drop {
            self.stats.dropped.fetch_add(1, Relaxed);
        }
        Arrived {
            number,
            dropped,
            fault,
        }
    }

    /// Brings a kick to one of its targets.
    pub fn deliver(&self, kick: &Arrived, from: Kicker, vcpu: VcpuIndex) -> Fate {
        let fate = self.trace.unhalt(from, kick.number, vcpu, || {
            let late = |faulty: &FaultyKicks| {
                faulty.put_off(Late {
                    number: kick.number,
                    fault: kick.fault,
                    from,
                    target: vcpu,
                })
            };
            if kick.dropped {
                Fate::Dropped
            } else if kick.fault == Fault::Drop {
                Fate::Swallowed
            } else if self.faulty.as_ref().is_some_and(late) {
                Fate::Delayed
            } else {
                self.bring(kick.fault, vcpu)
            }
        });
        self.note(kick.number, from, vcpu, fate);
        fate
    }

    /// Brings a kick to `vcpu` or, if that goes wrong, to somebody else.
    fn bring(&self, fault: Fault, vcpu: VcpuIndex) -> Fate {
        match fault {
            Fault::None | Fault::Drop => self.unhalt(vcpu),
            Fault::Duplicate => {
                let fate = self.unhalt(vcpu);
                self.unhalt(vcpu);
                fate
            }
            Fault::Misroute { draw } => {
                let other = self.faulty.as_ref().and_then(|it| it.other(draw, vcpu));
                // A lone vCPU has nobody to lose its kicks to.
                other.map_or_else(
                    || self.unhalt(vcpu),
                    |other| {
                        self.unhalt(other);
                        Fate::Misrouted
                    },
                )
            }
        }
    }

    /// Delivers the delayed kicks that are due. Not traced: a trace is written by the thread of the
    /// kicker alone.
    pub fn deliver_due(&self) {
        if let Some(faulty) = &self.faulty {
            faulty.deliver_due(|late| self.deliver_late(late));
        }
    }

    /// Delivers all delayed kicks at once, so that none is lost when the machine is saved; not even
    /// one that [`Self::deliver_due`] is about to deliver. The vCPUs stand still, so no more come.
    pub fn flush_late(&self) {
        if let Some(faulty) = &self.faulty {
            faulty.flush(|late| self.deliver_late(late));
        }
    }

    fn deliver_late(&self, late: &Late) {
        let fate = self.bring(late.fault, late.target);
        self.note(late.number, late.from, late.target, fate);
    }

    /// A kick whose target needs no unhalting: it finds what it was kicked for before it halts.
    pub fn note_running(&self, kick: &Arrived, from: Kicker, vcpu: VcpuIndex) {
        self.stats.to_running.fetch_add(1, Relaxed);
        let fate = Fate::ToRunning;
        self.trace.unhalt(from, kick.number, vcpu, || fate);
        self.note(kick.number, from, vcpu, fate);
    }

    /// A kick whose target has no place for it.
    pub fn note_not_accepted(&self, kick: &Arrived, from: Kicker, vcpu: VcpuIndex) {
        self.stats.not_accepted.fetch_add(1, Relaxed);
        let fate = Fate::NotAccepted;
        self.trace.unhalt(from, kick.number, vcpu, || fate);
        self.note(kick.number, from, vcpu, fate);
    }

    /// Kicks `destination`, a physical APIC destination as in the hypercall's a1.
    pub fn kick(&self, from: Kicker, destination: Destination) -> Delivery {
        let arrived = self.arrive(from, destination);
        let mut delivered = 0;
        let mut deliver = |vcpu: VcpuIndex| {
            let fate = self.deliver(&arrived, from, vcpu);
            delivered += usize::from(fate.has_arrived());
        };
        match self
            .ids
            .targets(destination, |vcpu| self.waker.apic_mode(vcpu))
        {
            Targets::Nobody => {
                self.stats.no_such_apic_id.fetch_add(1, Relaxed);
                return Delivery::NoSuchApicId;
            }
            Targets::One(vcpu) => deliver(vcpu),
            Targets::Broadcast(vcpus) => {
                self.stats.broadcast.fetch_add(1, Relaxed);
                vcpus.for_each(deliver);
            }
        }
        if arrived.is_dropped() {
            Delivery::Dropped
        } else {
            Delivery::Delivered(delivered)
        }
    }

    /// Keeps the latest kick: a kicker that was preempted after its kick comes late with its note.
    fn note(&self, number: u64, from: Kicker, vcpu: VcpuIndex, fate: Fate) {
        let Some(last) = self.last.get(vcpu.place()) else {
            return;
        };
        if fate.has_arrived()
            && let Some(kicks) = self.of_vcpu(vcpu)
        {
            kicks.received.fetch_add(1, Relaxed);
        }
        let kick = LastKick {
            number,
            from,
            at: Instant::now(),
            fate,
        };
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        // The same number comes twice where a kick is delayed.
        if last.is_none_or(|last| last.number <= number) {
            *last = Some(kick);
        }
    }

    /// The only vCPU that a kick of `destination` reaches.
    pub fn sole_target(&self, destination: Destination) -> Option<VcpuIndex> {
        let mode_of = |vcpu| self.waker.apic_mode(vcpu);
        match self.ids.targets(destination, mode_of) {
            Targets::One(vcpu) => Some(vcpu),
            Targets::Nobody | Targets::Broadcast(_) => None,
        }
    }

    /// Gives a vCPU back a kick that inspecting it has used up. Not counted: it was already.
    pub fn rekick(&self, vcpu: VcpuIndex) -> Unhalted {
        self.trace.rekick();
        let apic_id = self.apic_ids.get(vcpu.place()).copied().unwrap_or(u32::MAX);
        self.waker.unhalt(vcpu, apic_id)
    }

    fn unhalt(&self, vcpu: VcpuIndex) -> Fate {
        let apic_id = self.apic_ids.get(vcpu.place()).copied().unwrap_or(u32::MAX);
        match self.waker.unhalt(vcpu, apic_id) {
            Unhalted::WasHalted => {
                self.stats.to_halted.fetch_add(1, Relaxed);
                Fate::ToHalted
            }
            Unhalted::WasRunning => {
                self.stats.to_running.fetch_add(1, Relaxed);
                Fate::ToRunning
            }
            Unhalted::WaitsForSipi => {
                self.stats.waiting_for_sipi.fetch_add(1, Relaxed);
                Fate::WaitingForSipi
            }
            Unhalted::NotAccepted => {
                self.stats.not_accepted.fetch_add(1, Relaxed);
                Fate::NotAccepted
            }
        }
    }
}
