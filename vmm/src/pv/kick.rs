//! The kick as a service of the VMM: any part of it may wake a halted vCPU by APIC ID, not only
//! a guest's spinlock (the seed series moved the hypercall out of the spinlock option for that).

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::apic_id::{ApicIds, ApicMode, Destination, Targets, VcpuIndex};
use super::halt::Met;
use crate::trace::Tracer;

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

/// Where a kick comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kicker {
    /// A vCPU's hypercall.
    Vcpu(VcpuIndex),
    /// The VMM itself.
    Vmm,
}

/// A vCPU's place in tables by index.
fn at(vcpu: VcpuIndex) -> usize {
    usize::try_from(vcpu.0).unwrap_or(usize::MAX)
}

/// What became of a kick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// This many vCPUs got it.
    Delivered(usize),
    /// Nobody has that APIC ID.
    NoSuchApicId,
    /// Swallowed on purpose (`--drop-kick`).
    Dropped,
}

/// The last kick that named a vCPU, for the hang report.
#[derive(Clone, Copy, Debug)]
pub struct LastKick {
    /// Its number, from 1, in the order of arrival at the VMM.
    pub number: u64,
    /// Who sent it.
    pub from: Kicker,
    /// When.
    pub at: Instant,
    /// What became of it.
    pub fate: Fate,
}

/// What became of a kick at one target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Reached a halted vCPU.
    ToHalted,
    /// Reached a vCPU that was not halted.
    ToRunning,
    /// Reached a vCPU that waits for SIPI, which uses the kick up.
    WaitingForSipi,
    /// The local APIC took nothing.
    NotAccepted,
    /// Swallowed on purpose.
    Dropped,
}

/// Counters of the kick path. Relaxed: they order nothing.
#[derive(Debug, Default)]
pub struct KickStats {
    /// Kicks that arrived at the VMM.
    pub handled: AtomicU64,
    /// Targets that were halted.
    pub to_halted: AtomicU64,
    /// Targets that were not.
    pub to_running: AtomicU64,
    /// Targets that waited for SIPI.
    pub waiting_for_sipi: AtomicU64,
    /// Targets that KVM did not find.
    pub not_accepted: AtomicU64,
    /// Kicks for an APIC ID nobody has.
    pub no_such_apic_id: AtomicU64,
    /// Kicks for everybody.
    pub broadcast: AtomicU64,
    /// Kicks swallowed by `--drop-kick`.
    pub dropped: AtomicU64,
}

/// A kick that has arrived at the VMM, has been counted and has its number.
#[derive(Debug)]
pub struct Arrived {
    number: u64,
    dropped: bool,
}

impl Arrived {
    /// Whether `--drop-kick` swallows it.
    pub fn is_dropped(&self) -> bool {
        self.dropped
    }
}

/// Kicks from and to one vCPU. Relaxed: they order nothing.
#[derive(Debug, Default)]
pub struct VcpuKicks {
    /// It sent.
    pub sent: AtomicU64,
    /// It got: those that set its `pv_unhalted` or woke it.
    pub received: AtomicU64,
}

/// Kicks vCPUs of one machine.
#[derive(Debug)]
pub struct KickService {
    ids: ApicIds,
    apic_ids: Vec<u32>,
    waker: Box<dyn Waker>,
    drop_kick: Option<u64>,
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
            stats: KickStats::default(),
            by_vcpu,
            trace,
            last,
        }
    }

    /// The counters.
    pub fn stats(&self) -> &KickStats {
        &self.stats
    }

    /// The kicks from and to one vCPU.
    pub fn of_vcpu(&self, vcpu: VcpuIndex) -> Option<&VcpuKicks> {
        self.by_vcpu.get(at(vcpu))
    }

    /// What reaches `vcpu`, wherever it is.
    pub fn destination_of(&self, vcpu: VcpuIndex) -> Destination {
        let apic_id = self.apic_ids.get(at(vcpu)).copied().unwrap_or(u32::MAX);
        Destination::from_a1(apic_id.into())
    }

    /// The last kick that named `vcpu`.
    pub fn last_kick(&self, vcpu: VcpuIndex) -> Option<LastKick> {
        *self
            .last
            .get(at(vcpu))?
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
        if dropped {
            self.stats.dropped.fetch_add(1, Relaxed);
        }
        Arrived { number, dropped }
    }

    /// Brings a kick to one of its targets.
    pub fn deliver(&self, kick: &Arrived, from: Kicker, vcpu: VcpuIndex) -> Fate {
        let fate = self
            .trace
            .unhalt(from, kick.number, vcpu, || match kick.dropped {
                true => Fate::Dropped,
                false => self.unhalt(vcpu),
            });
        self.note(kick, from, vcpu, fate);
        fate
    }

    /// A kick whose target needs no unhalting: it finds what it was kicked for before it halts.
    pub fn note_running(&self, kick: &Arrived, from: Kicker, vcpu: VcpuIndex) {
        self.stats.to_running.fetch_add(1, Relaxed);
        let fate = Fate::ToRunning;
        self.trace.unhalt(from, kick.number, vcpu, || fate);
        self.note(kick, from, vcpu, fate);
    }

    /// A kick whose target has no place for it.
    pub fn note_not_accepted(&self, kick: &Arrived, from: Kicker, vcpu: VcpuIndex) {
        self.stats.not_accepted.fetch_add(1, Relaxed);
        let fate = Fate::NotAccepted;
        self.trace.unhalt(from, kick.number, vcpu, || fate);
        self.note(kick, from, vcpu, fate);
    }

    /// Kicks `destination`, a physical APIC destination as in the hypercall's a1.
    pub fn kick(&self, from: Kicker, destination: Destination) -> Delivery {
        let arrived = self.arrive(from, destination);
        let mut delivered = 0;
        let mut deliver = |vcpu: VcpuIndex| {
            let fate = self.deliver(&arrived, from, vcpu);
            delivered += usize::from(matches!(
                fate,
                Fate::ToHalted | Fate::ToRunning | Fate::WaitingForSipi
            ));
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
        if arrived.dropped {
            Delivery::Dropped
        } else {
            Delivery::Delivered(delivered)
        }
    }

    /// Keeps the latest kick: a kicker that was preempted after its kick comes late with its note.
    fn note(&self, kick: &Arrived, from: Kicker, vcpu: VcpuIndex, fate: Fate) {
        let Some(last) = self.last.get(at(vcpu)) else {
            return;
        };
        if matches!(
            fate,
            Fate::ToHalted | Fate::ToRunning | Fate::WaitingForSipi
        ) && let Some(kicks) = self.of_vcpu(vcpu)
        {
            kicks.received.fetch_add(1, Relaxed);
        }
        let kick = LastKick {
            number: kick.number,
            from,
            at: Instant::now(),
            fate,
        };
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| last.number < kick.number) {
            *last = Some(kick);
        }
    }

    /// Gives a vCPU back a kick that inspecting it has used up. Not counted: it was already.
    pub fn rekick(&self, vcpu: VcpuIndex) -> Unhalted {
        self.trace.rekick();
        let apic_id = self.apic_ids.get(at(vcpu)).copied().unwrap_or(u32::MAX);
        self.waker.unhalt(vcpu, apic_id)
    }

    fn unhalt(&self, vcpu: VcpuIndex) -> Fate {
        let apic_id = self.apic_ids.get(at(vcpu)).copied().unwrap_or(u32::MAX);
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
