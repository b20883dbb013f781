//! A machine for loom: CPUs that halt and kick each other.

use std::sync::atomic::Ordering::Relaxed;

use guest_payload::abi::CpuResults;
use guest_payload::lock::RawLock;
use guest_payload::lock::queue::{Node, Queue};
use guest_payload::lock::waiters::{Entry, Waiters};
use guest_payload::pv::{Backend, Cpu, PerCpu, Platform, WaitingCpus};
use loom::sync::{Condvar, Mutex};

/// Counters that outlive the interleavings: they sum up over the whole model.
pub(crate) fn leak_results(cpus: usize) -> &'static [CpuResults] {
    let results: Vec<_> = (0..cpus).map(|_| CpuResults::new()).collect();
    for (index, cpu) in (0..).zip(&results) {
        cpu.apic_id.store(3 * index, Relaxed);
        cpu.kick_port.store(index + 1, Relaxed);
    }
    results.leak()
}

/// All that CPUs share, for one interleaving.
pub(crate) struct Machine<L> {
    pub(crate) lock: L,
    cpus: Vec<PerCpu>,
    waiting_cpus: WaitingCpus,
    nodes: Vec<Node>,
    entries: Vec<Entry>,
    pv_unhalted: Vec<PvUnhalted>,
    backend: Backend,
    census: Census,
}

impl<L: RawLock> Machine<L> {
    pub(crate) fn new(results: &'static [CpuResults], backend: Backend) -> Self {
        Self {
            backend,
            lock: L::unlocked(),
            cpus: results.iter().map(PerCpu::new).collect(),
            waiting_cpus: WaitingCpus::new(),
            nodes: results.iter().map(|_| Node::new()).collect(),
            entries: results.iter().map(|_| Entry::new()).collect(),
            pv_unhalted: results.iter().map(|_| PvUnhalted::default()).collect(),
            census: Census::new(results.len()),
        }
    }

    /// The CPU with this index; it halts at the first failed look.
    pub(crate) fn cpu(&self, index: usize) -> Cpu<'_, Halting<'_, L>> {
        let platform = Halting {
            machine: self,
            index,
        };
        let backend = self.backend;
        Cpu::new(index, &self.cpus, &self.waiting_cpus, backend, 1, platform).unwrap()
    }

    /// This CPU takes no lock and kicks nobody any more.
    pub(crate) fn finish(&self, index: usize) {
        self.census.enter(index, Doing::Finished);
    }
}

/// What a CPU is doing.
#[derive(Clone, Copy, PartialEq)]
enum Doing {
    Runs,
    Halts,
    Finished,
}

/// Finds the wait that is for ever, before loom does: its own report panics once more while it
/// unwinds, and that is the end of the process. Not part of the model.
struct Census {
    cpus: std::sync::Mutex<Vec<Doing>>,
}

impl Census {
    fn new(cpus: usize) -> Self {
        let cpus = std::sync::Mutex::new(vec![Doing::Runs; cpus]);
        Self { cpus }
    }

    fn kick(&self, index: usize) {
        let doing = &mut self.cpus.lock().unwrap()[index];
        if *doing == Doing::Halts {
            *doing = Doing::Runs;
        }
    }

    fn enter(&self, index: usize, doing: Doing) {
        let mut cpus = self.cpus.lock().unwrap();
        cpus[index] = doing;
        let is_lost = cpus.contains(&Doing::Halts) && !cpus.contains(&Doing::Runs);
        drop(cpus);
        assert!(
            !is_lost,
            "lost kick: a CPU halts and none is left to kick it"
        );
    }
}

/// KVM's `pv_unhalted`: set by a kick, used up by a halt. Or Xen's pending bit of one event: set by a
/// sender, cleared by the guest.
#[derive(Default)]
struct PvUnhalted {
    is_set: Mutex<bool>,
    changed: Condvar,
}

pub(crate) struct Halting<'a, L> {
    machine: &'a Machine<L>,
    index: usize,
}

impl<L> Halting<'_, L> {
    /// Waits for the bit of this CPU, and leaves it as it is.
    fn wait(&self) -> loom::sync::MutexGuard<'_, bool> {
        let PvUnhalted { is_set, changed } = &self.machine.pv_unhalted[self.index];
        let mut guard = is_set.lock().unwrap();
        while !*guard {
            self.machine.census.enter(self.index, Doing::Halts);
            guard = changed.wait(guard).unwrap();
        }
        guard
    }

    fn wake(&self, target: usize) {
        let PvUnhalted { is_set, changed } = &self.machine.pv_unhalted[target];
        let mut guard = is_set.lock().unwrap();
        *guard = true;
        self.machine.census.kick(target);
        changed.notify_one();
    }
}

impl<L> Platform for Halting<'_, L> {
    fn halt(&self) {
        *self.wait() = false;
    }

    fn kick(&self, apic_id: u32) {
        let is_target = |cpu: &PerCpu| cpu.apic_id.load(Relaxed) == apic_id;
        self.wake(self.machine.cpus.iter().position(is_target).unwrap());
    }

    fn queue(&self) -> Queue<'_> {
        Queue::new(&self.machine.nodes, Waiters::new(&self.machine.entries))
    }

    fn now_ns(&self) -> u64 {
        0
    }

    fn clear_event(&self, port: u32) {
        let bit = &self.machine.pv_unhalted[port as usize - 1];
        *bit.is_set.lock().unwrap() = false;
    }

    fn is_event_pending(&self, port: u32) -> bool {
        *self.machine.pv_unhalted[port as usize - 1]
            .is_set
            .lock()
            .unwrap()
    }

    fn poll_event(&self, _: u32) {
        drop(self.wait());
    }

    fn send_event(&self, port: u32) {
        self.wake(port as usize - 1);
    }
}
