//! Recording kicks as they happen: one ring a vCPU, written by the vCPU's thread only.

mod event;
mod ring;

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use super::HaltIn;
use super::apic_id::VcpuIndex;
use super::kick::{Fate, Kicker};
use crate::kvm::tsc::host_tsc;
use ring::Ring;

pub use event::{HostEvent, HostStep};

/// Events that all rings of a machine hold together, and so the memory they take (10 MiB).
pub const EVENTS_MAX: u64 = 1 << 18;
/// The most that one ring holds.
const RING_MAX: u64 = 1 << 13;

/// Events that each of `vcpus` rings holds.
pub fn ring_events(vcpus: u32) -> u32 {
    let share = EVENTS_MAX / u64::from(vcpus.max(1));
    u32::try_from(share.min(RING_MAX)).unwrap_or(1)
}

/// Whether a machine records, and where to.
#[derive(Clone, Debug, Default)]
pub struct Tracer(Option<Arc<Recorder>>);

/// A machine's rings.
#[derive(Debug)]
pub struct Recorder {
    vcpus: Vec<Track>,
    halt_in: HaltIn,
    /// Kicks that the VMM gave back to somebody: nobody's hypercall, but a wake-up all the same.
    rekicks: AtomicU64,
    start: u64,
    started: Instant,
    /// Rate of the host's TSC, where KVM tells it.
    tsc_khz: Option<u32>,
}

/// One vCPU's.
#[derive(Debug)]
struct Track {
    ring: Ring,
    /// What its thread is to note next: one of the constants below.
    due: AtomicU8,
}

/// Nothing.
const NOTHING: u8 = 0;
/// It woke and has not entered the guest yet.
const ENTRY: u8 = 1;
/// It was unhalted in KVM and has not left the guest since.
const EXIT: u8 = 2;

impl Tracer {
    /// One that records nothing.
    pub fn off() -> Self {
        Self(None)
    }

    /// One for this many vCPUs.
    /// `tsc_khz` is the rate of the host's TSC, where KVM tells it.
    pub fn on(vcpus: u32, halt_in: HaltIn, tsc_khz: Option<u32>) -> Self {
        let events = usize::try_from(ring_events(vcpus)).unwrap_or(1);
        let track = |_| Track {
            ring: Ring::new(events),
            due: AtomicU8::new(NOTHING),
        };
        Self(Some(Arc::new(Recorder {
            vcpus: (0..vcpus).map(track).collect(),
            halt_in,
            rekicks: AtomicU64::new(0),
            start: host_tsc(),
            started: Instant::now(),
            tsc_khz,
        })))
    }

    /// The rings, where there are some.
    pub fn recorder(&self) -> Option<&Recorder> {
        self.0.as_deref()
    }

    #[inline]
    fn note(&self, vcpu: VcpuIndex, what: HostStep) {
        if let Some(recorder) = &self.0 {
            recorder.note(vcpu, host_tsc(), what);
        }
    }

    /// On the vCPU's own thread, here and in what follows: its kick arrived.
    #[inline]
    pub fn kick(&self, from: Kicker, number: u64, destination: u32) {
        match from {
            Kicker::Vcpu(vcpu) => {
                let what = HostStep::Kick {
                    number,
                    destination,
                };
                self.note(vcpu, what);
            }
            Kicker::Vmm => self.rekick(),
        }
    }

    /// Hands kick `number` to `target` by `unhalt`.
    #[inline]
    pub fn unhalt(
        &self,
        from: Kicker,
        number: u64,
        target: VcpuIndex,
        unhalt: impl FnOnce() -> Fate,
    ) -> Fate {
        let (Some(recorder), Kicker::Vcpu(from)) = (&self.0, from) else {
            return unhalt();
        };
        let tsc = host_tsc();
        let fate = unhalt();
        let done = host_tsc();
        // Only now: an exit of before KVM had the kick may be one of before the halt.
        if recorder.halt_in == HaltIn::Kvm
            && fate == Fate::ToHalted
            && let Some(track) = recorder.track(target)
        {
            // Relaxed: if the target's thread misses it, it notes a later exit.
            track.due.store(EXIT, Relaxed);
        }
        let what = HostStep::Unhalt {
            number,
            target,
            fate,
            done,
        };
        recorder.note(from, tsc, what);
        fate
    }

    /// The VMM gave a kick back.
    pub fn rekick(&self) {
        if let Some(recorder) = &self.0 {
            recorder.rekicks.fetch_add(1, Relaxed);
        }
    }

    /// It halts.
    #[inline]
    pub fn halted(&self, vcpu: VcpuIndex) {
        self.note(vcpu, HostStep::Halted);
    }

    /// It came back from where it was parked, because it was kicked.
    #[inline]
    pub fn woke(&self, vcpu: VcpuIndex) {
        if let Some(recorder) = &self.0 {
            recorder.note(vcpu, host_tsc(), HostStep::Woke);
            if let Some(track) = recorder.track(vcpu) {
                track.due.store(ENTRY, Relaxed);
            }
        }
    }

    /// It is about to enter the guest.
    #[inline]
    pub fn enters(&self, vcpu: VcpuIndex) {
        self.note_due(vcpu, ENTRY, HostStep::Runs);
    }

    /// It has left the guest.
    #[inline]
    pub fn left(&self, vcpu: VcpuIndex) {
        self.note_due(vcpu, EXIT, HostStep::Seen);
    }

    #[inline]
    fn note_due(&self, vcpu: VcpuIndex, due: u8, what: HostStep) {
        if let Some(recorder) = &self.0
            && let Some(track) = recorder.track(vcpu)
            && track.due.load(Relaxed) == due
        {
            track.due.store(NOTHING, Relaxed);
            recorder.note(vcpu, host_tsc(), what);
        }
    }
}

impl Recorder {
    fn track(&self, vcpu: VcpuIndex) -> Option<&Track> {
        self.vcpus.get(usize::try_from(vcpu.0).ok()?)
    }

    fn note(&self, vcpu: VcpuIndex, tsc: u64, what: HostStep) {
        if let Some(track) = self.track(vcpu) {
            track.ring.push(HostEvent { tsc, what }.to_words());
        }
    }

    /// The host's TSC when recording began.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Rate of the host's TSC: as KVM has it, or as it was since the start.
    pub fn tsc_khz(&self) -> u64 {
        let measured = || {
            let cycles = u128::from(host_tsc().wrapping_sub(self.start));
            let khz = (cycles * 1_000_000).checked_div(self.started.elapsed().as_nanos())?;
            u64::try_from(khz).ok()
        };
        self.tsc_khz
            .map(u64::from)
            .filter(|khz| *khz != 0)
            .or_else(measured)
            .unwrap_or(0)
    }

    /// Kicks that the VMM gave back by itself.
    pub fn rekicks(&self) -> u64 {
        self.rekicks.load(Relaxed)
    }

    /// Each vCPU's events, oldest first, and how many older ones are lost.
    pub fn contents(&self) -> Vec<(Vec<HostEvent>, u64)> {
        let of = |track: &Track| {
            let contents = track.ring.contents();
            let events = contents.events.into_iter();
            (
                events.filter_map(HostEvent::from_words).collect(),
                contents.lost,
            )
        };
        self.vcpus.iter().map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_exit_of_after_the_kick_tells_that_the_target_ran() {
        let tracer = Tracer::on(2, HaltIn::Kvm, Some(1_000_000));
        let target = VcpuIndex(1);
        tracer.unhalt(Kicker::Vcpu(VcpuIndex(0)), 1, target, || {
            tracer.left(target);
            Fate::ToHalted
        });
        let seen = || {
            let contents = tracer.recorder().unwrap().contents();
            contents[1].0.len()
        };
        assert_eq!(seen(), 0, "it may have halted since");
        tracer.left(target);
        tracer.left(target);
        assert_eq!(seen(), 1);
    }
}
