//! Hypercalls, KVM's and Xen's, and halts.

use core::arch::asm;
use core::sync::atomic::Ordering::{Relaxed, SeqCst};

use guest_payload::abi::xen::{
    DOMID_SELF, HYPERCALL_EVENT_CHANNEL_OP, HYPERCALL_HVM_OP, HYPERCALL_MEMORY_OP,
    HYPERCALL_SCHED_OP, HYPERCALL_XEN_VERSION, PORT_XEN_HYPERCALL, SCHED_POLL,
};
use guest_payload::abi::{KVM_HC_KICK_CPU, PORT_HALT, PORT_HYPERCALL};

use super::Turn;
use crate::arch::instr::{hlt, outb};
use crate::platform::hypercall_stub;
use crate::shared::HYPERCALL_STUB_IS_PORT;

/// A hypercall by the port that the stub page writes to.
fn by_port(number: u64, arguments: [u64; 5]) {
    let [rbx, rcx, rdx, rsi, rdi] = arguments;
    // SAFETY: as the hypercall stub, without the call. RBX is LLVM's own, so it is swapped in.
    unsafe {
        asm!(
            "xchg {rbx}, rbx", "out {port}, al", "xchg {rbx}, rbx",
            rbx = inout(reg) rbx => _,
            port = const PORT_HYPERCALL,
            inout("rax") number => _,
            in("rcx") rcx, in("rdx") rdx, in("rsi") rsi, in("rdi") rdi,
            options(nostack),
        );
    }
}

/// By the port or, where the host has put that there, by the stub page.
fn call(turn: &mut Turn, number: u64, arguments: [u64; 5]) {
    if HYPERCALL_STUB_IS_PORT.load(Relaxed) && turn.draws.one_in(4) {
        hypercall_stub(number, arguments[0], arguments[1]);
    } else {
        by_port(number, arguments);
    }
}

/// A kick.
pub(super) fn kicks(turn: &mut Turn) {
    let flags = turn.draws.value();
    let mut apic_id = u64::from(turn.apic_id());
    if turn.draws.one_in(4) {
        apic_id |= turn.draws.value() << 32;
    }
    let mut number = KVM_HC_KICK_CPU;
    if turn.draws.one_in(8) {
        number |= turn.draws.value() << 32;
    }
    call(turn, number, [flags, apic_id, 0, 0, 0]);
}

/// Any hypercall.
pub(super) fn hypercalls(turn: &mut Turn) {
    let number = match turn.draws.below(2) {
        0 => u64::from(turn.draws.below(16)),
        _ => turn.draws.value(),
    };
    let arguments = [(); 5].map(|()| turn.draws.value());
    call(turn, number, arguments);
}

/// `vmcall` itself.
pub(super) fn vmcall(turn: &mut Turn) {
    let (number, rbx, rcx) = (
        u64::from(turn.draws.below(16)),
        turn.draws.value(),
        turn.apic_id(),
    );
    // SAFETY: as in `by_port`.
    unsafe {
        asm!(
            "xchg {rbx}, rbx", "vmcall", "xchg {rbx}, rbx",
            rbx = inout(reg) rbx => _,
            inout("rax") number => _,
            in("rcx") rcx,
            options(nostack),
        );
    }
}

/// A hypercall of Xen's, its argument in scratch memory or nowhere.
pub(super) fn xen(turn: &mut Turn) {
    const NUMBERS: [u32; 5] = [
        HYPERCALL_MEMORY_OP,
        HYPERCALL_XEN_VERSION,
        HYPERCALL_SCHED_OP,
        HYPERCALL_EVENT_CHANNEL_OP,
        HYPERCALL_HVM_OP,
    ];
    let number = if turn.draws.one_in(8) {
        turn.draws.value()
    } else {
        turn.draws.pick(&NUMBERS).into()
    };
    let operation = u64::from(turn.draws.below(12)) | u64::from(turn.draws.one_in(8)) << 32;
    if turn.is_boot_cpu()
        && number == HYPERCALL_SCHED_OP.into()
        && operation as u32 == SCHED_POLL as u32
    {
        return;
    }
    let at = match turn.draws.below(8) {
        0 => turn.draws.value(),
        1 => turn.hole(),
        // The last bytes of a page that another follows, and of the last one.
        2 => turn.own.scratch() + 4096 - 4,
        _ => turn.own.scratch() + 8 * u64::from(turn.draws.below(256)),
    };
    if at.wrapping_sub(turn.own.scratch()) < 8192 {
        argument(turn, number, at);
    }
    // SAFETY: as the entries of Xen's hypercall page; what the host writes goes to scratch memory.
    unsafe {
        asm!(
            "out {port}, al",
            port = const PORT_XEN_HYPERCALL,
            inout("rax") number => _,
            in("rdi") operation, in("rsi") at, in("rdx") turn.draws.value(),
            options(nostack),
        );
    }
}

/// Three words at `at` that have the look of an argument.
fn argument(turn: &mut Turn, number: u64, at: u64) {
    let mut small = || u64::from(turn.draws.below(40)) | u64::from(turn.draws.below(40)) << 32;
    let mut words = [small(), small(), small()];
    if number == HYPERCALL_MEMORY_OP.into() || number == HYPERCALL_HVM_OP.into() {
        words[0] = u64::from(DOMID_SELF);
        words[1] = 0;
        words[2] = turn.gpa_for_the_host() >> 12;
    } else if turn.draws.one_in(2) {
        // A poll's ports.
        words[0] = turn.own.scratch() + u64::from(turn.draws.below(4096));
        words[1] = u64::from(turn.draws.below(140));
        words[2] = 0;
    }
    if turn.draws.one_in(8) {
        words[turn.draws.below(3) as usize] = turn.draws.value();
    }
    for (index, word) in (0_u64..).zip(words) {
        // SAFETY: `at` and what follows are this CPU's scratch memory.
        unsafe { ((at + 8 * index) as usize as *mut u64).write_unaligned(word) };
    }
}

/// A halt: in half of all cases after a kick to itself, so that it returns at once.
pub(super) fn halts(turn: &mut Turn) {
    if turn.is_boot_cpu() {
        return;
    }
    if turn.draws.one_in(2) {
        let own = u64::from(turn.own.apic_id.load(Relaxed));
        by_port(KVM_HC_KICK_CPU, [0, own, 0, 0, 0]);
    }
    // Who ends the run does not wait for a CPU that waits.
    turn.own.is_busy.store(0, SeqCst);
    match turn.draws.below(4) {
        0 => outb(PORT_HALT.into(), turn.draws.value() as u8),
        // SAFETY: every vector leads to the next turn.
        1 => unsafe { asm!("sti", "hlt", "cli", options(nostack)) },
        _ => hlt(),
    }
}
