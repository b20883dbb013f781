//! Xen's interface: finding it, its hypercall page, its shared info page, and one event channel a
//! CPU.

use core::arch::asm;
use core::sync::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed},
};

use guest_payload::abi::CpuResults;
use guest_payload::abi::xen::{
    AddToPhysmap, BindIpi, CPUID_BASE, DOMID_SELF, EVENT_BIND_IPI, EVENT_SEND, EVENT_WORDS,
    EventPort, HVM_VCPU_ID_PRESENT, HYPERCALL_ENTRY_BYTES, HYPERCALL_EVENT_CHANNEL_OP,
    HYPERCALL_MEMORY_OP, HYPERCALL_SCHED_OP, LEAF_HVM, LEAF_HYPERCALL_PAGE, MAPSPACE_SHARED_INFO,
    MEMORY_ADD_TO_PHYSMAP, SCHED_POLL, SHARED_VCPUS, SIGNATURE, SchedPoll, SharedInfo, VcpuInfo,
};

use super::clock::hypervisor_base;
use super::instr::{cpuid, wrmsr};

#[repr(align(4096))]
struct Page {
    /// Entries of [`HYPERCALL_ENTRY_BYTES`] each.
    _code: [u8; 4096],
}

/// The host writes it.
static mut HYPERCALL_PAGE: Page = Page { _code: [0; 4096] };

/// The host changes it, and so do all CPUs, by atomic instructions.
static SHARED_INFO: SharedInfo = SharedInfo {
    vcpu_info: [const {
        VcpuInfo {
            evtchn_upcall_pending: core::sync::atomic::AtomicU8::new(0),
            evtchn_upcall_mask: core::sync::atomic::AtomicU8::new(0),
            reserved: [0; 6],
            evtchn_pending_sel: AtomicU64::new(0),
            arch_and_time: [0; 6],
        }
    }; SHARED_VCPUS],
    evtchn_pending: [const { AtomicU64::new(0) }; EVENT_WORDS],
    evtchn_mask: [const { AtomicU64::new(0) }; EVENT_WORDS],
    rest: [0; 128],
};

/// Whether a host shows Xen's leaves.
pub(crate) fn is_there() -> bool {
    hypervisor_base(SIGNATURE).is_some()
}

/// The hypercall page and the shared info page. Once, on the boot CPU, before any other runs.
///
/// # Errors
/// What the host does not do, as one line for the serial port.
pub(crate) fn prepare() -> Result<(), &'static str> {
    let base = hypervisor_base(SIGNATURE).ok_or("the host does not show Xen's interface")?;
    let msr = cpuid(base + LEAF_HYPERCALL_PAGE, 0).ebx;
    wrmsr(msr, (&raw const HYPERCALL_PAGE) as u64);
    let place = AddToPhysmap {
        domid: DOMID_SELF,
        size: 0,
        space: MAPSPACE_SHARED_INFO,
        idx: 0,
        gpfn: (&raw const SHARED_INFO) as u64 >> 12,
    };
    let at = core::ptr::from_ref(&place) as u64;
    if hypercall(HYPERCALL_MEMORY_OP, MEMORY_ADD_TO_PHYSMAP, at) != 0 {
        return Err("Xen gives no shared info page");
    }
    // Nobody wants an upcall. As Linux: all masked at first, and the locks' stay so.
    for word in &SHARED_INFO.evtchn_mask {
        word.store(u64::MAX, Relaxed);
    }
    Ok(())
}

/// Gives this CPU its event channel.
///
/// # Errors
/// The host has none for it, or does not say which vCPU this is.
pub(crate) fn bind(cpu: &CpuResults) -> Result<(), &'static str> {
    let base = hypervisor_base(SIGNATURE).unwrap_or(CPUID_BASE);
    let hvm = cpuid(base + LEAF_HVM, 0);
    if hvm.eax & HVM_VCPU_ID_PRESENT == 0 {
        return Err("Xen does not tell the vCPU's ID");
    }
    let bound = BindIpi {
        vcpu: hvm.ebx,
        port: 0,
    };
    let at = core::ptr::from_ref(&bound) as u64;
    if hypercall(HYPERCALL_EVENT_CHANNEL_OP, EVENT_BIND_IPI, at) != 0 {
        return Err("Xen has no event channel left");
    }
    // SAFETY: our own structure; the host has written to it.
    let port = unsafe { (&raw const bound.port).read_volatile() };
    cpu.kick_port.store(port, Relaxed);
    Ok(())
}

/// A hypercall by the hypercall page, from either ring.
fn hypercall(number: u32, operation: u64, argument: u64) -> i64 {
    let result: i64;
    let entry =
        (&raw const HYPERCALL_PAGE) as u64 + u64::from(number) * HYPERCALL_ENTRY_BYTES as u64;
    // SAFETY: the host has filled the page; an entry changes RAX, and what the argument points to.
    unsafe {
        asm!(
            "call {entry}",
            entry = in(reg) entry,
            in("rdi") operation,
            in("rsi") argument,
            out("rax") result,
        );
    }
    result
}

fn word(port: u32) -> (&'static AtomicU64, u64) {
    let index = port as usize / 64 % EVENT_WORDS;
    (&SHARED_INFO.evtchn_pending[index], 1 << (port % 64))
}

/// Forgets an event of `port`.
pub(crate) fn clear_event(port: u32) {
    let (word, bit) = word(port);
    // AcqRel: what the sender did before the event that this forgets is seen.
    word.fetch_and(!bit, AcqRel);
}

/// Whether an event of `port` is pending.
pub(crate) fn is_event_pending(port: u32) -> bool {
    let (word, bit) = word(port);
    word.load(Acquire) & bit != 0
}

/// Halts this CPU until an event of `port` is pending, or perhaps for no reason.
pub(crate) fn poll_event(port: u32) {
    let poll = SchedPoll {
        ports: core::ptr::from_ref(&port) as u64,
        nr_ports: 1,
        reserved: 0,
        timeout: 0,
    };
    hypercall(
        HYPERCALL_SCHED_OP,
        SCHED_POLL,
        core::ptr::from_ref(&poll) as u64,
    );
}

/// Sends an event to `port`.
pub(crate) fn send_event(port: u32) {
    let send = EventPort { port };
    hypercall(
        HYPERCALL_EVENT_CHANNEL_OP,
        EVENT_SEND,
        core::ptr::from_ref(&send) as u64,
    );
}
