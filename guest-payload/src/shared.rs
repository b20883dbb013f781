//! Statics that the host, the assembly and all CPUs share.

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use guest_payload::abi::handshake::{HANDSHAKE_MAGIC, HANDSHAKE_VERSION, Handshake};
use guest_payload::abi::{
    Control, Exception, PORT_CONTROL, RESULTS_MAGIC, RESULTS_VERSION, Results, STATE_CRASHED,
    STUB_BYTES, STUB_HALT_OFFSET, STUB_HALT_STATIC, STUB_HYPERCALL_OFFSET, STUB_HYPERCALL_STATIC,
    STUB_SPIN_EXIT_STATIC, StubPage,
};

use crate::arch::instr::{hlt, outb};

const fn stub<const N: usize>(code: [u8; N]) -> [u8; STUB_BYTES] {
    let mut bytes = [0xcc; STUB_BYTES];
    let mut at = 0;
    while at < N {
        bytes[at] = code[at];
        at += 1;
    }
    bytes
}

/// The stub page that the ELF note names.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".data.stub")]
pub(crate) static mut STUBS: StubPage = StubPage {
    hypercall: stub(STUB_HYPERCALL_STATIC),
    halt: stub(STUB_HALT_STATIC),
    spin_exit: stub(STUB_SPIN_EXIT_STATIC),
    reserved: [0xcc; 4096 - 3 * STUB_BYTES],
};

/// The results page that the ELF note names.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".data.stub")]
pub(crate) static RESULTS: Results = Results {
    magic: RESULTS_MAGIC,
    version: RESULTS_VERSION,
    state: AtomicU32::new(0),
    cpu_count: AtomicU32::new(0),
    ring: AtomicU32::new(0),
    lock_kind: AtomicU32::new(0),
    ticket_bits: AtomicU32::new(0),
    pv_active: AtomicU32::new(0),
    done_count: AtomicU32::new(0),
    tsc_khz: AtomicU64::new(0),
    threshold_spins: AtomicU64::new(0),
    start_tsc: AtomicU64::new(0),
    deadline_tsc: AtomicU64::new(0),
    end_tsc: AtomicU64::new(0),
    cpus_gpa: AtomicU64::new(0),
    locks_gpa: AtomicU64::new(0),
    lock_count: AtomicU64::new(0),
    exception: Exception {
        vector: AtomicU64::new(0),
        error_code: AtomicU64::new(0),
        rip: AtomicU64::new(0),
        cr2: AtomicU64::new(0),
    },
    tsc_skew_cycles: AtomicU64::new(0),
    fill_gpa: AtomicU64::new(0),
    fill_bytes: AtomicU64::new(0),
    trace_events: AtomicU32::new(0),
    trace_reserved: 0,
    trace_gpa: AtomicU64::new(0),
};

/// The handshake page that the ELF note names.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".data.stub")]
pub(crate) static HANDSHAKE: Handshake = Handshake {
    magic: HANDSHAKE_MAGIC,
    version: HANDSHAKE_VERSION,
    host: AtomicU32::new(0),
    slot_count: AtomicU32::new(0),
    gap_cycles: AtomicU32::new(0),
    window_pauses: AtomicU32::new(0),
    exit_at_acquire: AtomicU32::new(0),
    exit_at_release: AtomicU32::new(0),
    reserved: 0,
    seed: AtomicU64::new(0),
    slots_gpa: AtomicU64::new(0),
};

/// The next AP's index; the assembly takes from it.
#[unsafe(no_mangle)]
pub(crate) static NEXT_CPU: AtomicU32 = AtomicU32::new(1);

/// Where the CPUs' own memory starts; the assembly reads it.
#[unsafe(no_mangle)]
pub(crate) static PER_CPU_BASE: AtomicU64 = AtomicU64::new(0);

/// Whether the VMM took over a stub, that is: whether CPL 3 may call it with IOPL 3.
pub(crate) static HYPERCALL_STUB_IS_PORT: AtomicBool = AtomicBool::new(false);
/// As [`HYPERCALL_STUB_IS_PORT`], for the halt stub.
pub(crate) static HALT_STUB_IS_PORT: AtomicBool = AtomicBool::new(false);

/// Looks at the stub page once, at boot.
pub(crate) fn read_stubs() {
    const OUT_IMM8: u8 = 0xe6;
    let stubs = (&raw const STUBS).cast::<u8>();
    // SAFETY: inside the page; the VMM has written it before the first instruction.
    let first_byte = |offset| unsafe { stubs.add(offset as usize).read_volatile() };
    HYPERCALL_STUB_IS_PORT.store(
        first_byte(STUB_HYPERCALL_OFFSET) == OUT_IMM8,
        Ordering::Relaxed,
    );
    HALT_STUB_IS_PORT.store(first_byte(STUB_HALT_OFFSET) == OUT_IMM8, Ordering::Relaxed);
}

/// Ends the machine: our VMM's port first, then what other VMMs offer.
pub(crate) fn exit(how: Control) -> ! {
    const DEBUG_EXIT: u16 = 0xf4;
    const I8042_COMMAND: u16 = 0x64;
    const I8042_RESET: u8 = 0xfe;
    outb(u16::from(PORT_CONTROL), how as u8);
    outb(DEBUG_EXIT, how as u8);
    outb(I8042_COMMAND, I8042_RESET);
    loop {
        hlt();
    }
}

/// Ends the machine after something the payload cannot go on from.
pub(crate) fn crash() -> ! {
    RESULTS.state.store(STATE_CRASHED, Ordering::SeqCst);
    exit(Control::ExitCrashed)
}
