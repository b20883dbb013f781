//! What a vCPU's thread shares with the rest of the machine.

use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock, PoisonError};

use super::Vcpu;
use super::control::{Control, Interrupt, Request};
use super::exits::Exits;
use crate::kvm::immediate_exit::ImmediateExit;
use crate::os::signal::ThreadId;
use crate::pv::apic_id::ApicMode;
use crate::pv::halt::HaltState;

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
    pub halt: HaltState,
    /// Why it left the guest.
    pub exits: Exits,
    task: Mutex<Option<Task>>,
    apic_mode: AtomicU8,
}

impl VcpuShared {
    /// A vCPU that has not run yet.
    pub fn new(apic_id: u32, immediate_exit: ImmediateExit, halt: HaltState) -> Self {
        Self {
            apic_id,
            control: Control::new(KvmRunInterrupt {
                immediate_exit,
                thread: OnceLock::new(),
            }),
            halt,
            exits: Exits::default(),
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

    /// Asks the thread for something, wherever it is: in KVM_RUN or parked.
    pub fn request(&self, request: Request) {
        self.control.request(request);
        self.halt.request();
    }
}
