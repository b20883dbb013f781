//! The order of saving and of restoring: one table, which both directions read.
//!
//! It is a table and not two functions, so that a test can permute it and show which rows matter.

/// A part of a vCPU's state: what one ioctl (or one MSR) holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// `KVM_SET_CPUID2`.
    Cpuid,
    /// `KVM_SET_TSC_KHZ`.
    TscKhz,
    /// `KVM_SET_SREGS`.
    Sregs,
    /// `KVM_SET_REGS`.
    Regs,
    /// `KVM_SET_XCRS`.
    Xcrs,
    /// `KVM_SET_XSAVE`.
    Xsave,
    /// `KVM_SET_DEBUGREGS`.
    DebugRegs,
    /// `KVM_SET_LAPIC`.
    Lapic,
    /// The attribute `KVM_VCPU_TSC_OFFSET`, or the MSR where there is no such attribute.
    Tsc,
    /// `KVM_SET_MSRS`.
    Msrs,
    /// The MSR IA32_TSC_DEADLINE.
    TscDeadline,
    /// `KVM_SET_VCPU_EVENTS`.
    VcpuEvents,
    /// `KVM_SET_MP_STATE`.
    MpState,
}

/// Where a part stands in both orders, and why.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Which part.
    pub part: Part,
    /// Its place in saving, from 0.
    pub saved: usize,
    /// Its place in restoring, from 0.
    pub restored: usize,
    /// Why it stands there.
    pub why: &'static str,
}

const fn row(part: Part, saved: usize, restored: usize, why: &'static str) -> Row {
    Row {
        part,
        saved,
        restored,
        why,
    }
}

/// How many parts there are.
pub const PARTS: usize = 13;

/// The table. Functions named are those of Linux's arch/x86/kvm/x86.c and lapic.c.
pub const ROWS: [Row; PARTS] = [
    row(
        Part::MpState,
        0,
        12,
        "saved first: kvm_apic_accept_events() may reset the vCPU; restored last: a halted vCPU \
         is complete, and moving to RUNNABLE clears pv_unhalted",
    ),
    row(
        Part::VcpuEvents,
        1,
        11,
        "saved before CR2 and DR6: kvm_deliver_exception_payload() writes them; restored after \
         REGS, which drop a pending exception, and SREGS, which queue an interrupt",
    ),
    row(
        Part::Cpuid,
        2,
        0,
        "restored first: it says which bits of CR4, XCR0, EFER and which MSRs there are",
    ),
    row(
        Part::TscKhz,
        3,
        1,
        "restored before the TSC and its deadline: both are in its ticks",
    ),
    row(
        Part::Sregs,
        4,
        2,
        "restored before LAPIC: IA32_APIC_BASE says which form its registers have",
    ),
    row(Part::Regs, 5, 3, "restored before VCPU_EVENTS"),
    row(
        Part::Xcrs,
        6,
        4,
        "restored after CPUID, which limits XCR0; before XSAVE, as XCR0 says what of it is used",
    ),
    row(
        Part::Xsave,
        7,
        5,
        "restored after CPUID: it makes room for large components",
    ),
    row(Part::DebugRegs, 8, 6, "saved after VCPU_EVENTS"),
    row(
        Part::Lapic,
        9,
        7,
        "restored after SREGS; before MSRs, of which KVM's end-of-interrupt page needs it",
    ),
    row(
        Part::Tsc,
        10,
        8,
        "by offset: writing the TSC MSR of each vCPU would let them drift apart",
    ),
    row(Part::Msrs, 11, 9, "restored after CPUID and LAPIC"),
    row(
        Part::TscDeadline,
        12,
        10,
        "restored after LAPIC (without the timer's mode the write is dropped) and after the TSC",
    ),
];

/// The parts in the order of saving.
pub const SAVING: [Part; PARTS] = {
    let mut parts = [Part::Cpuid; PARTS];
    let mut at = 0;
    while at < PARTS {
        parts[ROWS[at].saved] = ROWS[at].part;
        at += 1;
    }
    parts
};

/// The parts in the order of restoring.
pub const RESTORING: [Part; PARTS] = {
    let mut parts = [Part::Cpuid; PARTS];
    let mut at = 0;
    while at < PARTS {
        parts[ROWS[at].restored] = ROWS[at].part;
        at += 1;
    }
    parts
};

#[cfg(test)]
#[path = "order_test.rs"]
mod tests;
