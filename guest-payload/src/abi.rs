//! What guest and host agree on: hypercall numbers, private ports, ELF notes, the stub page and
//! the results page.
//!
//! Everything here is `#[repr(C)]`, little endian and versioned by [`RESULTS_VERSION`]. The host
//! reads guest memory that a hostile guest may have filled with anything: it checks every address
//! and count before use.

pub mod handshake;
pub mod xen;

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU32, AtomicU64};

/// `KVM_HC_VAPIC_POLL_IRQ`: makes KVM look for interrupts; always answered with 0.
pub const KVM_HC_VAPIC_POLL_IRQ: u64 = 1;
/// `KVM_HC_KICK_CPU` (Linux `include/uapi/linux/kvm_para.h`): RBX = flags (unused), RCX = APIC ID.
pub const KVM_HC_KICK_CPU: u64 = 5;
/// `-KVM_ENOSYS`: the hypercall number is unknown, or its feature is absent and enforced.
pub const KVM_ENOSYS: i64 = 1000;
/// `-KVM_EPERM`: the caller is not at CPL 0.
pub const KVM_EPERM: i64 = 1;

/// CPUID leaf that carries the hypervisor signature.
pub const CPUID_SIGNATURE: u32 = 0x4000_0000;
/// CPUID leaf of KVM's features: EAX = features, EDX = hints.
pub const CPUID_FEATURES: u32 = 0x4000_0001;
/// `KVM_FEATURE_CLOCKSOURCE2`: kvmclock by [`MSR_KVM_SYSTEM_TIME_NEW`].
pub const FEATURE_CLOCKSOURCE2: u32 = 1 << 3;
/// `KVM_FEATURE_PV_UNHALT`: the guest may halt in a lock's slow path and be kicked.
pub const FEATURE_PV_UNHALT: u32 = 1 << 7;
/// `KVM_HINTS_REALTIME`: vCPUs are never preempted for long; PV spinlocks gain nothing.
pub const HINT_REALTIME: u32 = 1 << 0;
/// `MSR_KVM_SYSTEM_TIME_NEW`: guest-physical address of a `pvclock_vcpu_time_info`, bit 0 enables.
pub const MSR_KVM_SYSTEM_TIME_NEW: u32 = 0x4b56_4d01;

/// Port that the VMM's `hypercall` stub writes (`out imm8, al`): registers as for `vmcall`.
pub const PORT_HYPERCALL: u8 = 0xe4;
/// Port that the VMM's `halt` stub writes: halt this vCPU as HLT would.
pub const PORT_HALT: u8 = 0xe5;
/// Port that the VMM's `spin_exit` stub writes: a [`SpinExit`](handshake::SpinExit).
pub const PORT_SPIN_EXIT: u8 = 0xe6;
/// Port for [`Control`] requests, one byte.
pub const PORT_CONTROL: u8 = 0xe7;

/// Port of sequence numbers, accessed by dwords: each vCPU writes 0, 1, 2, … and reads 0, 1, 2, ….
///
/// Guest and host each see when an access was done twice or not at all, see
/// [`Sequence`](crate::sequence::Sequence).
pub const PORT_SEQUENCE: u8 = 0xe8;

/// A byte written to [`PORT_CONTROL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Control {
    /// The guest is done and every check it made held.
    ExitPassed = 0,
    /// The guest is done and a check failed.
    ExitFailed = 1,
    /// The guest cannot go on (an exception, or arguments it cannot serve).
    ExitCrashed = 2,
    /// A CPL 0 kernel lets its CPL 3 code use the hypercall port, as IOPL does for ports.
    AllowUserHypercalls = 3,
}

impl Control {
    /// The request that `byte` stands for.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::ExitPassed),
            1 => Some(Self::ExitFailed),
            2 => Some(Self::ExitCrashed),
            3 => Some(Self::AllowUserHypercalls),
            _ => None,
        }
    }
}

/// Owner name of our ELF notes (`n_name`, NUL included).
pub const NOTE_NAME: &[u8; 4] = b"vmm\0";
/// Note type: descriptor is the `u64` guest-physical address of the [`StubPage`].
pub const NOTE_STUB_PAGE: u32 = 1;
/// Note type: descriptor is the `u64` guest-physical address of [`Results`].
pub const NOTE_RESULTS: u32 = 2;
/// Note type: descriptor is the `u64` guest-physical address of a
/// [`Handshake`](handshake::Handshake).
pub const NOTE_HANDSHAKE: u32 = 3;

/// Three routines at fixed offsets of one 4 KiB page.
///
/// Their static content is `vmcall; ret`, `hlt; ret` and `ret`, so that the same ELF works under
/// any VMM. Ours may overwrite each with `out imm8, al; ret`.
#[derive(Debug)]
#[repr(C, align(4096))]
pub struct StubPage {
    /// RAX = number, RBX.. = arguments; the result comes back in RAX.
    pub hypercall: [u8; STUB_BYTES],
    /// Halts this vCPU.
    pub halt: [u8; STUB_BYTES],
    /// Tells the host that this vCPU spins.
    pub spin_exit: [u8; STUB_BYTES],
    /// Fills the page.
    pub reserved: [u8; 4096 - 3 * STUB_BYTES],
}

/// Size of one stub.
pub const STUB_BYTES: usize = 16;
/// Offset of [`StubPage::hypercall`].
pub const STUB_HYPERCALL_OFFSET: u64 = 0;
/// Offset of [`StubPage::halt`].
pub const STUB_HALT_OFFSET: u64 = STUB_BYTES as u64;
/// Offset of [`StubPage::spin_exit`].
pub const STUB_SPIN_EXIT_OFFSET: u64 = 2 * STUB_BYTES as u64;
/// `vmcall; ret`
pub const STUB_HYPERCALL_STATIC: [u8; 4] = [0x0f, 0x01, 0xc1, 0xc3];
/// `hlt; ret`
pub const STUB_HALT_STATIC: [u8; 2] = [0xf4, 0xc3];
/// `ret`
pub const STUB_SPIN_EXIT_STATIC: [u8; 1] = [0xc3];

/// `out %al, $port; ret`: what the VMM writes over a stub.
pub const fn stub_out(port: u8) -> [u8; 3] {
    [0xe6, port, 0xc3]
}

/// First field of [`Results`]: "vmmRESLT" in memory order.
pub const RESULTS_MAGIC: u64 = u64::from_le_bytes(*b"vmmRESLT");
/// Version of every structure below.
pub const RESULTS_VERSION: u32 = 3;
/// The most vCPUs the payload numbers (KVM's own limit on x86 is 4096).
pub const MAX_CPUS: usize = 4096;

/// [`Results::state`]: the boot CPU runs, the workload does not yet.
pub const STATE_BOOTING: u32 = 0;
/// [`Results::state`]: all CPUs are in the workload.
pub const STATE_RUNNING: u32 = 1;
/// [`Results::state`]: every CPU has left the workload; all numbers are final.
pub const STATE_FINISHED: u32 = 2;
/// [`Results::state`]: the guest gave up; see [`Results::exception`] and the serial port.
pub const STATE_CRASHED: u32 = 3;

/// [`CpuResults::state`]: not started.
pub const CPU_ABSENT: u32 = 0;
/// [`CpuResults::state`]: up, waits for the others before the workload starts.
pub const CPU_AT_START: u32 = 1;
/// [`CpuResults::state`]: in the workload, outside any lock.
pub const CPU_RUNNING: u32 = 2;
/// [`CpuResults::state`]: in a lock's slow path, between announcing the wait and leaving it.
pub const CPU_WAITING: u32 = 3;
/// [`CpuResults::state`]: left the workload.
pub const CPU_DONE: u32 = 4;

/// The page the ELF note [`NOTE_RESULTS`] names. Written by the guest, read live by the host.
#[derive(Debug)]
#[repr(C, align(4096))]
pub struct Results {
    /// [`RESULTS_MAGIC`].
    pub magic: u64,
    /// [`RESULTS_VERSION`].
    pub version: u32,
    /// One of the `STATE_*` values.
    pub state: AtomicU32,
    /// Number of CPUs that were found, and of entries at `cpus_gpa`.
    pub cpu_count: AtomicU32,
    /// The ring the workload runs in: 0 or 3.
    pub ring: AtomicU32,
    /// `LockKind as u32`.
    pub lock_kind: AtomicU32,
    /// Width of one ticket in bits: 8 or 16; 0 for locks without tickets.
    pub ticket_bits: AtomicU32,
    /// 0 where the lock runs natively; where the PV slow path is patched in 1 for KVM's kick, 2 for
    /// Xen's.
    pub pv_active: AtomicU32,
    /// Number of CPUs that have left the workload.
    pub done_count: AtomicU32,
    /// TSC frequency in kHz as the guest found it; 0 where it found none.
    pub tsc_khz: AtomicU64,
    /// Spins before the slow path.
    pub threshold_spins: AtomicU64,
    /// TSC when all CPUs were in the workload and had settled.
    pub start_tsc: AtomicU64,
    /// TSC at which the workload is to end.
    pub deadline_tsc: AtomicU64,
    /// TSC when the last CPU left the workload.
    pub end_tsc: AtomicU64,
    /// Guest-physical address of `cpu_count` [`CpuResults`].
    pub cpus_gpa: AtomicU64,
    /// Guest-physical address of `lock_count` [`LockObject`]s.
    pub locks_gpa: AtomicU64,
    /// Number of [`LockObject`]s, those that are freed and reused included.
    pub lock_count: AtomicU64,
    /// What stopped a crashed guest.
    pub exception: Exception,
    /// How far the CPUs' TSCs were seen to differ in each CPU's first turns, in cycles; 0 where they
    /// are in step. See [`Handover`](crate::clocks::Handover).
    pub tsc_skew_cycles: AtomicU64,
    /// Guest-physical address of the filled memory.
    pub fill_gpa: AtomicU64,
    /// Bytes of it.
    pub fill_bytes: AtomicU64,
    /// Events that the ring of each CPU holds, at most [`TRACE_EVENTS_MAX`]. Written by the host
    /// before the start; 0 where nothing is to be traced, and where memory does not suffice.
    pub trace_events: AtomicU32,
    /// Aligns what follows.
    pub trace_reserved: u32,
    /// Guest-physical address of `cpu_count` times `trace_events` [`TraceEvent`]s; 0 for none.
    pub trace_gpa: AtomicU64,
}

/// The most that [`Results::trace_events`] may say.
pub const TRACE_EVENTS_MAX: u32 = 1 << 13;

/// One step in a slow path. A CPU's ring of them starts again at its first entry when it is full.
#[derive(Debug, Default)]
#[repr(C)]
pub struct TraceEvent {
    /// The TSC.
    pub tsc: AtomicU64,
    /// Address of the [`LockObject`].
    pub lock: AtomicU64,
    /// The ticket waited for or, at a release, the one that comes next; with queue nodes the
    /// waiting CPU's index + 1.
    pub ticket: AtomicU32,
    /// A [`Step`](crate::trace::Step).
    pub step: AtomicU32,
    /// APIC ID of the CPU that is kicked, for [`Step::Unlock`](crate::trace::Step::Unlock).
    pub target: AtomicU32,
    /// Aligns the size.
    pub reserved: u32,
}

/// A processor exception that the payload did not expect.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Exception {
    /// Vector, 0 to 31; `u64::MAX` for a panic.
    pub vector: AtomicU64,
    /// Error code, where the vector has one.
    pub error_code: AtomicU64,
    /// Instruction pointer.
    pub rip: AtomicU64,
    /// CR2.
    pub cr2: AtomicU64,
}

/// Number of exact octaves in a [`CpuResults::wait`] and a [`CpuResults::kick`].
pub const WAIT_OCTAVES: usize = 42;
/// Log2 of the linear steps inside one octave.
pub const WAIT_SUB_BITS: u32 = 3;
/// Buckets of both histograms.
pub const WAIT_BUCKETS: usize = WAIT_OCTAVES << WAIT_SUB_BITS;
/// Buckets of `histo_blocked`: log2 of nanoseconds, as in the seed series' debugfs file.
pub const HISTO_BLOCKED_BUCKETS: usize = 31;

/// The seeds' slow-path statistics, one set per CPU. Names as in debugfs `kvm-guest/spinlocks`.
#[derive(Debug, Default)]
#[repr(C)]
pub struct SlowPathStats {
    /// Slow path entered by a waiter.
    pub taken_slow: AtomicU64,
    /// Lock found taken over by this waiter at the last look, without a halt.
    pub taken_slow_pickup: AtomicU64,
    /// Slow path entered by an unlocker.
    pub released_slow: AtomicU64,
    /// Waiter found and kicked.
    pub released_slow_kicked: AtomicU64,
    /// Time between entering the slow path and leaving it, in ns.
    pub time_blocked_ns: AtomicU64,
    /// Log2 histogram of the same, bucket = floor(log2(ns)).
    pub histo_blocked: [AtomicU64; HISTO_BLOCKED_BUCKETS],
    /// Not 0: the next update clears the set first (reset by cmpxchg, as in the seeds).
    pub zero_stats: AtomicU32,
    /// Xen's poll came back and its event was not pending.
    pub taken_slow_spurious: AtomicU32,
}

/// One CPU's numbers. Only this CPU writes them, so plain loads and stores are enough.
#[derive(Debug)]
#[repr(C, align(4096))]
pub struct CpuResults {
    /// Its x2APIC ID.
    pub apic_id: AtomicU32,
    /// One of the `CPU_*` values.
    pub state: AtomicU32,
    /// The lock waited for in the slow path (address of its [`LockObject`]), 0 for none.
    pub waiting_lock: AtomicU64,
    /// The ticket waited for; with queue nodes the CPU's index + 1.
    pub waiting_ticket: AtomicU32,
    /// The event channel that kicks it under Xen, 0 for none.
    pub kick_port: AtomicU32,
    /// Locks taken since the workload started.
    pub acquisitions: AtomicU64,
    /// Halts in a slow path (or at the start line).
    pub halts: AtomicU64,
    /// Kicks sent.
    pub kicks_sent: AtomicU64,
    /// Times two CPUs were seen inside one lock.
    pub mutual_exclusion: AtomicU64,
    /// Times a ticket was served out of turn.
    pub fifo: AtomicU64,
    /// Times a lock was read or written after it had been freed.
    pub touch_after_unlock: AtomicU64,
    /// Lock objects freed (each is poisoned and later used again).
    pub freed: AtomicU64,
    /// The seeds' counters.
    pub slow: SlowPathStats,
    /// Waits for a lock, in TSC cycles. See [`crate::stats::wait_bucket`].
    pub wait: [AtomicU64; WAIT_BUCKETS],
    /// Longest wait in TSC cycles.
    pub wait_max: AtomicU64,
    /// Locks taken before [`Results::start_tsc`], while the CPUs settled; not in `acquisitions`.
    pub settled: AtomicU64,
    /// Turns that wrote and read a sequence number.
    pub io_turns: AtomicU64,
    /// Sequence numbers that nobody got to read: reads that were done more than once.
    pub io_duplicated: AtomicU64,
    /// Sequence numbers that were read before: reads whose effect on the device was lost.
    pub io_lost: AtomicU64,
    /// Times the TSC went back: on this CPU, or since the lock's holder before by more than
    /// [`Results::tsc_skew_cycles`] allows.
    pub tsc_backwards: AtomicU64,
    /// Times kvmclock went back: on this CPU or, where it is stable, since the lock's holder before.
    pub kvmclock_backwards: AtomicU64,
    /// Times the host said that it had stopped this guest (`PVCLOCK_GUEST_STOPPED`).
    pub clock_stops: AtomicU64,
    /// Steps ever noted in this CPU's ring of [`TraceEvent`]s.
    pub traced: AtomicU64,
    /// Times it left a spin loop through the `spin_exit` stub.
    pub spin_exits: AtomicU64,
    /// What kicks took their sender, from before the hypercall until after it, in TSC cycles; buckets
    /// as those of `wait`.
    pub kick: [AtomicU64; WAIT_BUCKETS],
    /// Longest of them in TSC cycles.
    pub kick_max: AtomicU64,
}

/// Bytes at the start of a [`LockObject`] that belong to the lock itself.
pub const LOCK_BYTES: usize = 64;

/// A lock and the data it guards, on cache lines of their own.
#[derive(Debug)]
#[repr(C, align(128))]
pub struct LockObject {
    /// The lock. Its layout depends on the kind.
    pub lock: UnsafeCell<[u8; LOCK_BYTES]>,
    /// CPU index + 1 of the holder, 0 when free. Plain data that the lock must protect.
    pub owner: AtomicU32,
    /// The last ticket served.
    pub last_ticket: AtomicU32,
    /// 1 once `last_ticket` is valid.
    pub has_last_ticket: AtomicU32,
    /// Uses left before the last user frees the object.
    pub uses_left: AtomicU32,
    /// Acquisitions of this object, counted without an atomic read-modify-write.
    pub acquisitions: AtomicU64,
    /// The last holder's TSC, just before its release.
    pub last_tsc: AtomicU64,
    /// The last holder's kvmclock in ns, where that was stable; else 0.
    pub last_kvmclock_ns: AtomicU64,
}

/// Freed lock memory is filled with this byte: both tickets carry the slow-path flag, so a lock
/// that looks at itself after its release takes its slow path and is seen.
pub const POISON_BYTE: u8 = 0xdb;
