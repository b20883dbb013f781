//! From the command line to everything the CPUs need before the first of them starts.

use core::sync::atomic::Ordering::{Relaxed, Release};

use guest_payload::abi::{
    CpuResults, FEATURE_PV_UNHALT, HINT_REALTIME, LOCK_BYTES, LockObject, POISON_BYTE,
};
use guest_payload::args::{Apic, Args, Interface, Mode, Ring, Threshold};
use guest_payload::key::Unlock;
use guest_payload::lock::queue::{Node, Queue};
use guest_payload::lock::waiters::{Entry, Waiters};
use guest_payload::lock::{LockKind, TicketBits};
use guest_payload::pv::{Backend, Platform};

use crate::arch::instr::{delay, rdtsc};
use crate::arch::pvh::StartInfo;
use crate::arch::smp::{Memory, XAPIC_ID_MAX};
use crate::arch::{apic, clock, patch, smp, xen};
use crate::boot_cell::BootCell;
use crate::platform::Machine;
use crate::shared::RESULTS;
use crate::{fill, handshake_memory, mortal, trace_memory, witness};

/// What was asked for and found, fixed before any other CPU starts.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) args: Args<'static>,
    pub(crate) bits: TicketBits,
    pub(crate) machine: Machine,
    pub(crate) backend: Backend,
    pub(crate) queue: Queue<'static>,
}

impl Setup {
    /// Ends the halt of `other`, or has its next one return at once.
    pub(crate) fn kick(&self, other: &CpuResults) {
        match self.backend {
            Backend::Native | Backend::Kvm => self.machine.kick(other.apic_id.load(Relaxed)),
            Backend::Xen => self.machine.send_event(other.kick_port.load(Relaxed)),
        }
    }

    /// Halts this CPU, whose numbers `own` are, until it is kicked.
    pub(crate) fn halt(&self, own: &CpuResults) {
        match self.backend {
            Backend::Native | Backend::Kvm => self.machine.halt(),
            Backend::Xen => {
                let port = own.kick_port.load(Relaxed);
                self.machine.poll_event(port);
                self.machine.clear_event(port);
            }
        }
    }
}

static SETUP: BootCell<Setup> = BootCell::new(Setup {
    args: Args::DEFAULT,
    bits: TicketBits::Eight,
    machine: Machine::Kernel,
    backend: Backend::Native,
    queue: Queue::EMPTY,
});

/// The setup, after [`prepare`].
pub(crate) fn get() -> &'static Setup {
    SETUP.get()
}

/// Whether instructions at CPL 0 are emulated: then a short loop takes 50 cycles a turn or more.
fn cpl0_is_emulated() -> bool {
    const TURNS: u32 = 32;
    let mut fastest = u64::MAX;
    for _ in 0..3 {
        let start = rdtsc();
        delay(TURNS);
        fastest = fastest.min(rdtsc() - start);
    }
    fastest > u64::from(TURNS) * 50
}

/// PV locks run on the PV backend where the host offers it and nothing speaks against it, as in
/// Linux' `kvm_spinlock_init` and `xen_init_spinlocks`.
///
/// # Errors
/// Xen's was asked for and is not there.
fn backend(args: &Args<'_>) -> Result<Backend, &'static str> {
    let offered = match args.pv {
        Interface::Native => Backend::Native,
        Interface::Auto if xen::is_there() => Backend::Xen,
        Interface::Auto | Interface::Kvm => kvm_backend(),
        Interface::Xen if xen::is_there() => Backend::Xen,
        Interface::Xen => return Err("pv=xen needs a host that shows Xen's interface"),
    };
    let refused = args.nopvspin || args.xen_nopvspin && offered == Backend::Xen;
    Ok(if args.lock.is_pv() && !refused {
        offered
    } else {
        Backend::Native
    })
}

fn kvm_backend() -> Backend {
    let (features, hints) = clock::kvm_features();
    if features & FEATURE_PV_UNHALT != 0 && hints & HINT_REALTIME == 0 {
        Backend::Kvm
    } else {
        Backend::Native
    }
}

/// Parses the command line, finds CPUs and memory, patches the code.
///
/// # Errors
/// What cannot be served, as one line for the serial port.
pub(crate) fn prepare(info: &'static StartInfo, memory: &mut Memory) -> Result<(), &'static str> {
    let args = Args::parse(info.cmdline(), |_| true).map_err(|bad| bad.expected)?;
    smp::choose_apic_mode(match args.apic {
        Apic::Auto => apic::has_x2apic(),
        Apic::XApic => false,
        Apic::X2Apic => true,
    });
    if !smp::find(info.rsdp_gpa, memory) {
        return Err("not enough memory for this many CPUs");
    }
    if args.apic == Apic::XApic && smp::highest_apic_id(info.rsdp_gpa) > XAPIC_ID_MAX {
        // Interrupts to them would go to whom their low 8 bits name, this CPU included.
        return Err("apic=xapic needs APIC IDs up to 254");
    }
    let cpus = RESULTS.cpu_count.load(Relaxed);
    let bits = args.ticket_bits(cpus);
    if cpus > args.lock.max_cpus(bits) {
        return Err("more CPUs than this lock can number");
    }
    let machine = match args.ring {
        // Its cases go to CPL 3 themselves.
        _ if args.mode == Mode::Conformance => Machine::Kernel,
        Ring::Zero => Machine::Kernel,
        Ring::Three => Machine::User,
        Ring::Auto if cpl0_is_emulated() => Machine::User,
        Ring::Auto => Machine::Kernel,
    };
    let backend = backend(&args)?;
    if let Some(khz) = clock::calibrate() {
        RESULTS.tsc_khz.store(khz, Relaxed);
    } else if matches!(args.threshold, Threshold::Nanoseconds(_)) {
        return Err("threshold in ns needs a known TSC frequency");
    }
    let count = args.locks + mortal::object_count(&args, cpus);
    let bytes = u64::from(count) * size_of::<LockObject>() as u64;
    let locks = memory
        .take(bytes)
        .ok_or("not enough memory for this many locks")?;
    let queue = reserve_queue(args.lock, cpus as usize, memory)
        .ok_or("not enough memory for the queue nodes of this many CPUs")?;
    fill::reserve(&args, memory)
        .ok_or("not enough memory for fill=SIZE; ask for less, or give the machine more")?;
    if args.io != 0 && !witness::host_counts() {
        return Err("io=N needs a host that counts, as vmm does");
    }
    trace_memory::reserve(cpus, memory);
    handshake_memory::reserve(cpus, memory).ok_or("not enough memory for the handshake's slots")?;
    RESULTS.locks_gpa.store(locks, Relaxed);
    RESULTS.lock_count.store(u64::from(count), Release);
    RESULTS.ring.store(
        if matches!(machine, Machine::User) {
            3
        } else {
            0
        },
        Relaxed,
    );
    RESULTS.lock_kind.store(args.lock as u32, Relaxed);
    RESULTS.ticket_bits.store(
        if args.lock.has_tickets() {
            bits.bits()
        } else {
            0
        },
        Relaxed,
    );
    RESULTS.pv_active.store(backend.number(), Relaxed);
    if backend != Backend::Native {
        patch::enable_pv_sites(if args.linger == 0 {
            Unlock::Pv
        } else {
            Unlock::Lingering
        });
    }
    if matches!(machine, Machine::User) {
        allow_user_hypercalls(backend);
    }
    if backend == Backend::Xen {
        xen::prepare()?;
    }
    // SAFETY: no other CPU runs yet, and nobody has a reference from `get`.
    unsafe {
        SETUP.set(Setup {
            args,
            bits,
            machine,
            backend,
            queue,
        });
    }
    mortal::prepare(&args, cpus);
    Ok(())
}

/// Memory for the queue nodes of these CPUs and the hash of their waiters, where the lock needs them.
fn reserve_queue(kind: LockKind, cpus: usize, memory: &mut Memory) -> Option<Queue<'static>> {
    if !kind.has_queue() {
        return Some(Queue::EMPTY);
    }
    let entries = Waiters::entries_for(cpus);
    let nodes_at = memory.take((cpus * size_of::<Node>()) as u64)?;
    let entries_at = memory.take((entries * size_of::<Entry>()) as u64)?;
    // SAFETY: zeroed memory of this size that nobody else has, aligned to pages as all that
    // `Memory` gives; zero bytes are a node and an entry.
    unsafe {
        Some(Queue::new(
            core::slice::from_raw_parts(nodes_at as usize as *const Node, cpus),
            Waiters::new(core::slice::from_raw_parts(
                entries_at as usize as *const Entry,
                entries,
            )),
        ))
    }
}

fn allow_user_hypercalls(backend: Backend) {
    use guest_payload::abi::{Control, PORT_CONTROL};
    if backend == Backend::Xen || crate::shared::HYPERCALL_STUB_IS_PORT.load(Relaxed) {
        crate::arch::instr::outb(u16::from(PORT_CONTROL), Control::AllowUserHypercalls as u8);
    }
}

/// All lock objects; the first `args.locks` live for ever, the others are freed and reused.
pub(crate) fn objects() -> &'static [LockObject] {
    // SAFETY: `prepare` put zeroed memory for `lock_count` objects there; zero is a valid object,
    // and what the CPUs share in it is atomic or belongs to the lock.
    unsafe {
        core::slice::from_raw_parts(
            RESULTS.locks_gpa.load(Relaxed) as usize as *const LockObject,
            RESULTS.lock_count.load(Relaxed) as usize,
        )
    }
}

/// The kinds whose tickets order their holders.
pub(crate) fn ticket_mask(kind: LockKind, bits: TicketBits) -> Option<u32> {
    kind.is_fifo().then(|| bits.mask())
}

const _: () = assert!(LOCK_BYTES.is_multiple_of(8) && POISON_BYTE & 1 == 1);
