//! What a vCPU's thread shares with the rest of the machine.

use std::fmt;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use super::Vcpu;
use super::control::{Control, Interrupt, Request};
use super::exits::Exits;
use super::hold_off::HoldOff;
use crate::kvm::immediate_exit::ImmediateExit;
use crate::os::signal::ThreadId;
use crate::pv::apic_id::ApicMode;
use crate::pv::halt::{Doing, HaltState};

/// KVM's `immediate_exit` and a signal to the vCPU's thread.
#[derive(Debug)]
pub struct KvmRunInterrupt {
    immediate_exit: ImmediateExit,
    thread: OnceLock<ThreadId>,
}

impl Interrupt for KvmRunInterrupt {
    fn thread_starts(&self) {
        let _ = self.thread.set(ThreadId::current());
    }

    fn set_immediate_exit(&self) {
        self.immediate_exit.set();
    }

    fn clear_immediate_exit(&self) {
        self.immediate_exit.clear();
    }

    fn signal(&self) {
        if let Some(thread) = self.thread.get() {
            thread.interrupt();
        }
    }
}

/// Something that a vCPU's thread does while the machine stands still.
struct Task(Box<dyn FnOnce(&mut Vcpu) + Send>);

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Task")
    }
}

/// One vCPU, seen from other threads.
#[derive(Debug)]
pub struct VcpuShared {
    /// Its x2APIC ID.
    pub apic_id: u32,
    /// Pause, go on, end.
    pub control: Control<KvmRunInterrupt>,
    /// Its halt and `pv_unhalted` under `--halt vmm`.
    pub halt: Arc<HaltState>,
    /// Why it left the guest.
    pub exits: Exits,
    /// Times it halted with the VMM's knowledge. Relaxed: it orders nothing.
    halts: AtomicU64,
    /// What it did when that was last known for sure (`--halt kvm`).
    known: Mutex<Option<Doing>>,
    hold_off: HoldOff,
    task: Mutex<Option<Task>>,
    apic_mode: AtomicU8,
}

impl VcpuShared {
    /// A vCPU that has not run yet.
    pub fn new(apic_id: u32, immediate_exit: ImmediateExit, halt: Arc<HaltState>) -> Self {
        Self {
            apic_id,
            control: Control::new(KvmRunInterrupt {
                immediate_exit,
                thread: OnceLock::new(),
            }),
            halt,
            exits: Exits::default(),
            halts: AtomicU64::new(0),
            known: Mutex::new(None),
            hold_off: HoldOff::default(),
            task: Mutex::new(None),
            apic_mode: AtomicU8::new(ApicMode::XApic as u8),
        }
    }

    /// The mode of our local APIC (`--halt vmm`). Relaxed: a kick that races with the guest's
    /// change of mode may see either, as on hardware.
    pub fn apic_mode(&self) -> ApicMode {
        match self.apic_mode.load(Relaxed) {
            mode if mode == ApicMode::X2Apic as u8 => ApicMode::X2Apic,
            mode if mode == ApicMode::Disabled as u8 => ApicMode::Disabled,
            _ => ApicMode::XApic,
        }
    }

    /// Notes the mode.
    pub fn set_apic_mode(&self, mode: ApicMode) {
        self.apic_mode.store(mode as u8, Relaxed);
    }

    /// How often it has halted with the VMM's knowledge, by whatever way.
    pub fn halts(&self) -> u64 {
        self.halts.load(Relaxed)
    }

    /// It halts.
    pub(super) fn count_halt(&self) {
        self.halts.fetch_add(1, Relaxed);
    }

    /// What it did when it was loaded, or when the machine was paused. Where KVM keeps MP_STATE, it
    /// does not tell what a vCPU that stands still would do.
    pub fn known(&self) -> Option<Doing> {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what it does before it stands still, where that is known.
    pub fn set_known(&self, doing: Option<Doing>) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = doing;
    }

    /// Leaves `task` for the thread; [`Request::Task`] has it done.
    pub fn set_task(&self, task: impl FnOnce(&mut Vcpu) + Send + 'static) {
        *self.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(Task(Box::new(task)));
    }

    /// Does what [`Self::set_task`] left.
    pub(super) fn do_task(&self, vcpu: &mut Vcpu) {
        let task = self
            .task
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(Task(task)) = task {
            task(vcpu);
        }
    }

    /// Asks the thread for something, wherever it is: in KVM_RUN, parked or kept off.
    pub fn request(&self, request: Request) {
        self.control.request(request);
        self.halt.request();
        self.hold_off.wake();
    }

    /// Keeps the vCPU off its pCPU until then.
    pub fn hold_off(&self, until: Instant) {
        self.hold_off.hold(until);
        self.control.interrupt();
        self.halt.request();
    }

    /// Whether [`Self::wait_held_off`] would wait.
    pub(super) fn is_held_off(&self) -> bool {
        self.hold_off.is_on()
    }

    /// The thread's side of [`Self::hold_off`].
    pub(super) fn wait_held_off(&self) {
        self.hold_off.wait(|| self.control.is_pending());
    }
}
