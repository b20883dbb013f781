//! What the PV backends need of this machine: halt, kick, time.

use core::arch::asm;
use core::sync::atomic::Ordering::Relaxed;

use guest_payload::abi::handshake::SpinExit;
use guest_payload::abi::{
    KVM_HC_KICK_CPU, STUB_HALT_OFFSET, STUB_HYPERCALL_OFFSET, STUB_SPIN_EXIT_OFFSET,
};
use guest_payload::lock::queue::Queue;
use guest_payload::pv::Platform;

use crate::arch::{clock, instr, ring3, xen};
use crate::queue_memory;
use crate::shared::{HALT_STUB_IS_PORT, HYPERCALL_STUB_IS_PORT, STUBS};

/// This machine, seen from one ring.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Machine {
    /// The workload runs at CPL 0.
    Kernel,
    /// The workload runs at CPL 3.
    User,
}

/// Calls the hypercall stub: RAX = number, RBX = `a0`, RCX = `a1`.
pub(crate) fn hypercall_stub(number: u64, a0: u64, a1: u64) -> i64 {
    let result: i64;
    // SAFETY: the stub changes RAX only. RBX is LLVM's own, so it is swapped around the call; the
    // address is in a named register, because any other choice may be RBX.
    unsafe {
        asm!(
            "xchg {a0}, rbx", "call r8", "xchg {a0}, rbx",
            in("r8") (&raw const STUBS) as u64 + STUB_HYPERCALL_OFFSET,
            a0 = inout(reg) a0 => _,
            inout("rax") number as i64 => result,
            in("rcx") a1,
        );
    }
    result
}

fn halt_stub() {
    // SAFETY: the stub changes no register.
    unsafe { asm!("call {}", in(reg) (&raw const STUBS) as u64 + STUB_HALT_OFFSET) };
}

fn spin_exit_stub(reason: SpinExit) {
    // SAFETY: the stub changes no register. Its static content is a `ret` and ours a port write,
    // which IOPL 3 lets CPL 3 do, so both rings may call it.
    unsafe {
        asm!(
            "call {}",
            in(reg) (&raw const STUBS) as u64 + STUB_SPIN_EXIT_OFFSET,
            in("al") reason as u8,
        );
    }
}

impl Machine {
    /// A hypercall, by way of CPL 0 where the stub needs it.
    pub(crate) fn hypercall(self, number: u64, a0: u64, a1: u64) -> i64 {
        match self {
            Self::User if !HYPERCALL_STUB_IS_PORT.load(Relaxed) => {
                ring3::gate_hypercall(number, a0, a1)
            }
            _ => hypercall_stub(number, a0, a1),
        }
    }

    /// Halts this CPU for good, with interrupts off.
    pub(crate) fn park(self) -> ! {
        match self {
            Self::User => ring3::gate_park(),
            Self::Kernel => loop {
                instr::hlt();
            },
        }
    }
}

impl Platform for Machine {
    fn halt(&self) {
        match self {
            Self::Kernel => instr::hlt(),
            Self::User if HALT_STUB_IS_PORT.load(Relaxed) => halt_stub(),
            Self::User => ring3::gate_halt(),
        }
    }

    fn kick(&self, apic_id: u32) {
        self.hypercall(KVM_HC_KICK_CPU, 0, u64::from(apic_id));
    }

    fn queue(&self) -> Queue<'_> {
        queue_memory::get()
    }

    fn now_ns(&self) -> u64 {
        clock::now_ns()
    }

    fn clear_event(&self, port: u32) {
        xen::clear_event(port);
    }

    fn is_event_pending(&self, port: u32) -> bool {
        xen::is_event_pending(port)
    }

    fn poll_event(&self, port: u32) {
        xen::poll_event(port);
    }

    fn send_event(&self, port: u32) {
        xen::send_event(port);
    }

    fn now_tsc(&self) -> u64 {
        instr::rdtsc()
    }

    fn spin_exit(&self, reason: SpinExit) {
        spin_exit_stub(reason);
    }
}
