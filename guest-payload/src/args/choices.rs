//! What an argument of a few words can say.

/// Where the workload runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ring {
    /// 3 where CPL 0 is emulated, 0 elsewhere.
    Auto,
    /// CPL 0.
    Zero,
    /// CPL 3 with IOPL 3.
    Three,
}

/// How long a waiter spins before its slow path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threshold {
    /// Iterations of the spin loop.
    Spins(u32),
    /// Nanoseconds, turned into spins by a calibration at boot.
    Nanoseconds(u32),
}

/// Width of a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TicketWidth {
    /// The smallest that numbers the CPUs.
    Auto,
    /// `u8` tickets.
    Small,
    /// `u16` tickets.
    Large,
}

/// What the payload does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The lock stress test.
    Stress,
    /// The hypercall conformance cases named in [`super::Args::cases`].
    Conformance,
    /// Kick latency: CPU 0 kicks CPU 1, which halts again at once.
    Latency,
    /// The guest as an enemy of its host: the deeds named in [`super::Args::deeds`].
    Havoc,
}

/// How the local APICs are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Apic {
    /// x2APIC where CPUID offers it.
    Auto,
    /// Memory mapped, 8-bit IDs.
    XApic,
    /// MSRs, 32-bit IDs.
    X2Apic,
}

/// Whether each wait for a lock is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timing {
    /// Two TSC reads an acquisition, a wait histogram.
    On,
    /// None: the loop is lock, work, unlock and nothing else.
    Off,
}

/// Whether the clocks are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clocks {
    /// TSC and kvmclock are read twice a turn and must not go back.
    On,
    /// They are not looked at.
    Off,
}

/// Whose interface the PV locks use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interface {
    /// Xen's where the host shows it, else KVM's.
    Auto,
    /// None: PV locks run natively.
    Native,
    /// KVM's, where CPUID offers PV_UNHALT.
    Kvm,
    /// Xen's; the guest gives up where the host does not show it.
    Xen,
}
