//! From the command line to everything the CPUs need before the first of them starts.

use core::sync::atomic::Ordering::Relaxed;

use guest_payload::abi::{FEATURE_PV_UNHALT, HINT_REALTIME};
use guest_payload::args::{Apic, Args, Interface, Mode, Ring, Threshold};
use guest_payload::key::Unlock;
use guest_payload::pv::Backend;

use crate::arch::instr::{delay, rdtsc};
use crate::arch::pvh::StartInfo;
use crate::arch::smp::{Memory, XAPIC_ID_MAX};
use crate::arch::{apic, clock, patch, smp, xen};
use crate::platform::Machine;
use crate::setup::{self, Setup};
use crate::shared::RESULTS;
use crate::{deeds, fill, handshake_memory, mortal, objects, queue_memory, trace_memory, witness};

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
    if !smp::find(info.rsdp(), memory) {
        return Err("not enough memory for this many CPUs");
    }
    if args.apic == Apic::XApic && smp::highest_apic_id(info.rsdp()) > XAPIC_ID_MAX {
        // Interrupts to them would go to whom their low 8 bits name, this CPU included.
        return Err("apic=xapic needs APIC IDs up to 254");
    }
    let cpus = RESULTS.cpu_count.load(Relaxed);
    let bits = args.ticket_bits(cpus);
    if cpus > args.lock.max_cpus(bits) {
        return Err("more CPUs than this lock can number");
    }
    let machine = match args.ring {
        // The cases go to CPL 3 themselves, and most deeds are the kernel's alone.
        _ if matches!(args.mode, Mode::Conformance | Mode::Havoc) => Machine::Kernel,
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
    objects::reserve(count, memory).ok_or("not enough memory for this many locks")?;
    queue_memory::reserve(args.lock, cpus as usize, memory)
        .ok_or("not enough memory for the queue nodes of this many CPUs")?;
    fill::reserve(&args, memory)
        .ok_or("not enough memory for fill=SIZE; ask for less, or give the machine more")?;
    if args.io != 0 && !witness::host_counts() {
        return Err("io=N needs a host that counts, as vmm does");
    }
    trace_memory::reserve(cpus, memory);
    handshake_memory::reserve(cpus, memory).ok_or("not enough memory for the handshake's slots")?;
    deeds::reserve(&args, cpus, memory)
        .ok_or("not enough memory for what mode=havoc needs of each CPU")?;
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
        setup::set(Setup {
            args,
            bits,
            machine,
            backend,
        });
    }
    mortal::prepare(&args, cpus);
    Ok(())
}

fn allow_user_hypercalls(backend: Backend) {
    use guest_payload::abi::{Control, PORT_CONTROL};
    if backend == Backend::Xen || crate::shared::HYPERCALL_STUB_IS_PORT.load(Relaxed) {
        crate::arch::instr::outb(u16::from(PORT_CONTROL), Control::AllowUserHypercalls as u8);
    }
}
