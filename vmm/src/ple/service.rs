//! What happens when a vCPU leaves through the `spin_exit` stub: soft PLE, and the preemption of lock
//! holders on purpose.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use guest_payload::abi::handshake::SpinExit;

use super::config::{OnSpin, Ple};
use super::lab::Lab;
use super::loans::Loans;
use super::on_purpose::OnPurpose;
use super::on_spin::{Action, Tell, VcpuSet, Verdict, decide};
use super::slots::{Advice, Slots};
use super::windows::Windows;
use crate::sched::view::{Standing, VcpuView, View};
use crate::sched::{Pcpus, Yielded};

pub use super::stats::SpinStats;
pub use super::then::Then;

/// A yield whose target has got a pCPU meanwhile is followed by another, up to so many in all.
///
/// Not KVM's walk: there such a yield returns 0, and the same walk goes on. Its `try`
/// (`c45c528e89ed`) counts yields that fail because both run queues are short, which no yield here does.
const TRIES: usize = 3;

/// One vCPU's. Relaxed, all of it: its own thread writes but for `dy_eligible`, and what other threads
/// miss is a worse guess, as with KVM's own unlocked fields.
#[derive(Debug)]
struct Spinner {
    in_spin_loop: AtomicBool,
    dy_eligible: AtomicBool,
    /// Context switches of its thread when it spun last, where the host schedules.
    switches: AtomicU64,
}

/// Serves the spin exits of one machine.
#[derive(Debug)]
pub struct SpinService {
    on_spin: OnSpin,
    /// With soft PLE.
    windows: Option<Windows>,
    on_purpose: OnPurpose,
    pcpus: Option<Arc<dyn Pcpus + Send + Sync>>,
    slots: Slots,
    vcpus: Vec<Spinner>,
    loans: Loans,
    last_boosted: AtomicUsize,
    /// For views; as many as there were exits at a time.
    buffers: Mutex<Vec<Vec<VcpuView>>>,
    stats: SpinStats,
}

impl SpinService {
    /// Of a machine with `vcpus` vCPUs, for what `lab` asks. `pcpus` is who schedules them, unless the
    /// host does.
    pub fn new(
        lab: &Lab,
        vcpus: usize,
        slots: Slots,
        pcpus: Option<Arc<dyn Pcpus + Send + Sync>>,
    ) -> Self {
        let windows = match lab.ple {
            Ple::Soft(window) => Some(Windows::new(window, vcpus)),
            Ple::Host | Ple::Off => None,
        };
        let spinner = |_| Spinner {
            in_spin_loop: AtomicBool::new(false),
            dy_eligible: AtomicBool::new(false),
            switches: AtomicU64::new(0),
        };
        Self {
            on_spin: lab.on_spin,
            windows,
            on_purpose: OnPurpose::of(lab),
            pcpus,
            slots,
            vcpus: (0..vcpus).map(spinner).collect(),
            loans: Loans::new(vcpus),
            last_boosted: AtomicUsize::new(0),
            buffers: Mutex::default(),
            stats: SpinStats::default(),
        }
    }

    /// The counters.
    pub fn stats(&self) -> &SpinStats {
        &self.stats
    }

    /// The least and the greatest window so far, in PAUSEs; `None` without soft PLE.
    pub fn windows(&self) -> Option<(u32, u32)> {
        self.windows.as_ref().map(Windows::extremes)
    }

    /// `vcpu` has left with `reason` in AL. Called by its thread. `is_interrupted` says whether an
    /// interrupt waits for a vCPU; `switches` how often its thread was switched to another, where the
    /// host schedules.
    pub fn left(
        &self,
        vcpu: usize,
        reason: u8,
        is_interrupted: impl Fn(usize) -> bool,
        switches: impl FnOnce() -> u64,
    ) -> Then {
        let count = |counter: &AtomicU64| {
            counter.fetch_add(1, Relaxed);
        };
        match SpinExit::from_byte(reason) {
            Some(SpinExit::Spinning) => {
                count(&self.stats.spinning);
                if self.pcpus.is_none() {
                    self.notice_switches(vcpu, switches());
                }
                self.spins(vcpu, is_interrupted)
            }
            Some(SpinExit::Acquired) => {
                count(&self.stats.acquired);
                self.on_purpose(self.on_purpose.at_acquire)
            }
            Some(SpinExit::Releasing) => {
                count(&self.stats.releasing);
                self.on_purpose(self.on_purpose.at_release)
            }
            Some(SpinExit::Released) => {
                self.give_back(vcpu);
                Then::GoOn
            }
            None => {
                count(&self.stats.unknown);
                Then::GoOn
            }
        }
    }

    fn on_purpose(&self, then: Then) -> Then {
        let is_lost = match then {
            Then::GoOn => false,
            Then::StayOff(_) => true,
            // Where nobody waits it has its pCPU back at once.
            Then::BePreempted => self.does_anybody_wait(),
        };
        if is_lost {
            self.stats.preempted.fetch_add(1, Relaxed);
        }
        then
    }

    fn does_anybody_wait(&self) -> bool {
        let mut waits = false;
        if let Some(pcpus) = &self.pcpus {
            pcpus.each(&mut |_, standing| {
                waits |= standing.waits();
            });
        }
        waits
    }

    /// `vcpu` has a pCPU again: its window shrinks as in KVM's `vmx_vcpu_load`, and the exit that it
    /// may have yielded in is over, as after the `yield_to` in `kvm_vcpu_on_spin`.
    pub fn gets_pcpu(&self, vcpu: usize) {
        let Some(spinner) = self.vcpus.get(vcpu) else {
            return;
        };
        if let Some(windows) = &self.windows {
            windows.shrink(vcpu, &self.slots);
        }
        spinner.is_done();
        if self.on_spin == OnSpin::Handshake && self.loans.gets_pcpu(vcpu) {
            self.slots.advise(vcpu, Advice::None);
        }
    }

    /// `vcpu` is outside all locks: its lender gets the pCPU back.
    fn give_back(&self, vcpu: usize) {
        let (Some(lender), Some(pcpus)) = (self.loans.end(vcpu), &self.pcpus) else {
            return;
        };
        // Before the lender's thread can see its pCPU.
        self.loans.comes_back_to(lender);
        if pcpus.yield_to(vcpu, lender) == Yielded::HandedOver {
            self.stats.given_back.fetch_add(1, Relaxed);
        }
    }

    /// Notes a loan before it is made. A guest may never give it back; then the slice ends it. Where
    /// another is about to lend to `to`, the first to yield does, and only he may get his back.
    fn lend(&self, from: usize, to: usize) {
        if self.loans.lend(from, to) {
            self.slots.advise(to, Advice::GiveBack);
        }
    }

    /// It was not made.
    fn take_loan_back(&self, from: usize, to: usize) {
        if self.loans.cancel(from, to) {
            self.slots.advise(to, Advice::None);
        }
    }

    /// Where the host schedules, all that tells that a vCPU lost its pCPU is what the host counts of
    /// its thread, and it is noticed at the next exit.
    fn notice_switches(&self, vcpu: usize, switches: u64) {
        if let Some(spinner) = self.vcpus.get(vcpu)
            && spinner.switches.swap(switches, Relaxed) != switches
        {
            self.gets_pcpu(vcpu);
        }
    }

    fn spins(&self, vcpu: usize, is_interrupted: impl Fn(usize) -> bool) -> Then {
        let Some(spinner) = self.vcpus.get(vcpu) else {
            return Then::GoOn;
        };
        spinner.in_spin_loop.store(true, Relaxed);
        let then = self.decide(vcpu, is_interrupted);
        if then == Done::SpinsOn {
            spinner.is_done();
        }
        match then {
            Done::SpinsOn | Done::HasYielded => Then::GoOn,
            Done::Sleeps(time) => Then::StayOff(time),
        }
    }

    fn decide(&self, vcpu: usize, is_interrupted: impl Fn(usize) -> bool) -> Done {
        let count = |counter: &AtomicU64| counter.fetch_add(1, Relaxed);
        let mut last_boosted = self.last_boosted.load(Relaxed);
        for tried in 0..TRIES {
            let verdict = self.look(vcpu, last_boosted, &is_interrupted);
            self.flip(&verdict.flips);
            if verdict.tell == Tell::ToHalt {
                count(&self.stats.told_to_halt);
                self.slots.advise(vcpu, Advice::Halt);
            }
            if let (0, Some(windows)) = (tried, &self.windows) {
                windows.grow(vcpu, verdict.patience, &self.slots);
            }
            match verdict.action {
                Action::Nothing => break,
                Action::Sleep(time) => {
                    count(&self.stats.slept);
                    return Done::Sleeps(time);
                }
                Action::YieldTo(target) | Action::LendTo(target) => {
                    let Some(pcpus) = &self.pcpus else { break };
                    let is_loan = verdict.action == Action::LendTo(target);
                    if is_loan {
                        self.lend(vcpu, target);
                    }
                    match pcpus.yield_to(vcpu, target) {
                        Yielded::HandedOver => {
                            count(&self.stats.yielded);
                            self.stats.lent.fetch_add(u64::from(is_loan), Relaxed);
                            self.last_boosted.store(target, Relaxed);
                            return Done::HasYielded;
                        }
                        Yielded::NotWaiting => {
                            count(&self.stats.too_late);
                            if is_loan {
                                self.take_loan_back(vcpu, target);
                            }
                            // The next walk begins after it.
                            last_boosted = target;
                        }
                    }
                }
            }
        }
        if self.on_spin.yields() {
            count(&self.stats.nobody);
        }
        Done::SpinsOn
    }

    /// What the handler says now.
    fn look(
        &self,
        spinner: usize,
        last_boosted: usize,
        is_interrupted: impl Fn(usize) -> bool,
    ) -> Verdict {
        let mut vcpus = self.lock_buffers().pop().unwrap_or_default();
        vcpus.clear();
        if let (Some(pcpus), true) = (&self.pcpus, self.on_spin.yields()) {
            pcpus.each(&mut |index, standing| {
                let state = self.vcpus.get(index);
                vcpus.push(VcpuView {
                    standing,
                    in_spin_loop: state.is_some_and(|state| state.in_spin_loop.load(Relaxed)),
                    dy_eligible: state.is_some_and(|state| state.dy_eligible.load(Relaxed)),
                    // Only a kernel's locks leave through the stub: to them ring 3 is where the
                    // payload's kernel runs on hosts that emulate ring 0.
                    in_kernel: true,
                    has_pending_interrupt: false,
                    has_lent: false,
                    said: None,
                });
            });
            // Not under the scheduler's lock.
            for (index, vcpu) in vcpus.iter_mut().enumerate() {
                vcpu.has_pending_interrupt = is_interrupted(index);
            }
            if self.on_spin == OnSpin::Handshake {
                for (vcpu, said) in vcpus.iter_mut().zip(self.slots.each_said()) {
                    vcpu.said = said;
                }
            }
        }
        if self.on_spin == OnSpin::Handshake {
            self.mark_lenders(&mut vcpus);
        }
        let verdict = decide(
            self.on_spin,
            &View {
                vcpus: &vcpus,
                spinner,
                last_boosted,
            },
        );
        self.lock_buffers().push(vcpus);
        verdict
    }

    fn mark_lenders(&self, vcpus: &mut [VcpuView]) {
        for borrower in 0..vcpus.len() {
            let runs = |vcpu: &VcpuView| vcpu.standing == Standing::OnPcpu;
            if vcpus.get(borrower).is_some_and(runs)
                && let Some(lender) = self.loans.lender_of(borrower)
                && let Some(lender) = vcpus.get_mut(lender)
            {
                lender.has_lent = true;
            }
        }
    }

    fn lock_buffers(&self) -> std::sync::MutexGuard<'_, Vec<Vec<VcpuView>>> {
        self.buffers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn flip(&self, flips: &VcpuSet) {
        for spinner in flips.iter().filter_map(|vcpu| self.vcpus.get(vcpu)) {
            spinner.dy_eligible.fetch_xor(true, Relaxed);
        }
    }
}

/// What an exit came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Done {
    SpinsOn,
    HasYielded,
    Sleeps(Duration),
}

impl Spinner {
    /// The exit is over: `kvm_vcpu_set_in_spin_loop(me, false)` and
    /// `kvm_vcpu_set_dy_eligible(me, false)`.
    fn is_done(&self) {
        self.in_spin_loop.store(false, Relaxed);
        self.dy_eligible.store(false, Relaxed);
    }
}

#[cfg(test)]
#[path = "service_test.rs"]
mod tests;
