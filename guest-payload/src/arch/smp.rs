//! Finding and starting the CPUs.

use core::sync::atomic::{
    AtomicU32,
    Ordering::{Relaxed, Release, SeqCst},
};

use guest_payload::abi::{CPU_AT_START, CpuResults, MAX_CPUS};
use guest_payload::clocks::PvClock;

use super::apic::{self, Mode};
use super::gdt::Segments;
use super::{PER_CPU_SHIFT, acpi, idt};
use crate::shared::{PER_CPU_BASE, RESULTS};

/// The largest APIC ID of a local APIC in xAPIC mode: 8 bits, and 0xff is the broadcast.
pub(crate) const XAPIC_ID_MAX: u32 = 0xfe;

const TRAMPOLINE: usize = 0x8000;
const PER_CPU_BYTES: u64 = 1 << PER_CPU_SHIFT;
/// CPL 0 runs on the last quarter of a CPU's memory, CPL 3 on what is below it.
const KERNEL_STACK_BYTES: u64 = PER_CPU_BYTES / 4;

static APIC_MODE: AtomicU32 = AtomicU32::new(0);

unsafe extern "C" {
    static trampoline_start: u8;
    static trampoline_end: u8;
}

/// Memory handed out upwards from the end of the image.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) next: u64,
    pub(crate) end: u64,
}

impl Memory {
    /// `bytes` of zeroed memory on a page boundary.
    pub(crate) fn take(&mut self, bytes: u64) -> Option<u64> {
        let start = self.next.next_multiple_of(4096);
        let end = start.checked_add(bytes)?;
        if end > self.end {
            return None;
        }
        self.next = end;
        Some(start)
    }
}

/// What stands at the start of a CPU's memory.
#[repr(C)]
struct PerCpu {
    segments: Segments,
    kvmclock: PvClock,
}

/// The end of CPL 0's stack of CPU `index`.
fn kernel_stack_top(index: u32) -> u64 {
    PER_CPU_BASE.load(Relaxed) + (u64::from(index) + 1) * PER_CPU_BYTES
}

/// The end of CPL 3's stack of CPU `index`.
pub(crate) fn user_stack_top(index: u32) -> u64 {
    kernel_stack_top(index) - KERNEL_STACK_BYTES
}

/// Where the processor finds the stack that CPL 3 of CPU `index` enters CPL 0 on.
pub(crate) fn kernel_stack_slot(index: u32) -> u64 {
    per_cpu(index) + Segments::RSP0_OFFSET
}

/// Where CPU `index`'s memory is.
fn per_cpu(index: u32) -> u64 {
    PER_CPU_BASE.load(Relaxed) + u64::from(index) * PER_CPU_BYTES
}

/// CPU `index`'s kvmclock.
pub(crate) fn kvmclock(index: u32) -> &'static PvClock {
    let at = per_cpu(index) + core::mem::offset_of!(PerCpu, kvmclock) as u64;
    // SAFETY: in this CPU's own memory, zeroed, used for nothing else; zero is a valid PvClock, and
    // what KVM writes in it is atomics.
    unsafe { &*(at as usize as *const PvClock) }
}

/// All CPUs' results.
pub(crate) fn cpus() -> &'static [CpuResults] {
    // SAFETY: `find` put zeroed memory for `cpu_count` entries there, and zero is a valid
    // CpuResults; all fields are atomics.
    unsafe {
        core::slice::from_raw_parts(
            RESULTS.cpus_gpa.load(Relaxed) as usize as *const CpuResults,
            RESULTS.cpu_count.load(Relaxed) as usize,
        )
    }
}

/// Whether the local APICs are used in x2APIC mode.
pub(crate) fn is_x2apic() -> bool {
    apic_mode() == Mode::X2Apic
}

fn apic_mode() -> Mode {
    if APIC_MODE.load(Relaxed) == 0 {
        Mode::XApic
    } else {
        Mode::X2Apic
    }
}

/// Counts the CPUs and makes room for them. `false` if memory does not suffice.
pub(crate) fn find(rsdp: u64, memory: &mut Memory) -> bool {
    let own = apic::id_from_cpuid();
    let mut count = 1;
    acpi::for_each_cpu(rsdp, |id| count += u64::from(id != own));
    if count > MAX_CPUS as u64 {
        return false;
    }
    let (Some(results), Some(per_cpu)) = (
        memory.take(count * size_of::<CpuResults>() as u64),
        memory.take(count * PER_CPU_BYTES),
    ) else {
        return false;
    };
    RESULTS.cpus_gpa.store(results, Relaxed);
    PER_CPU_BASE.store(per_cpu, Relaxed);
    // The host trusts `cpus_gpa` once the count is not 0.
    RESULTS.cpu_count.store(count as u32, Release);
    true
}

/// The largest APIC ID of all CPUs.
pub(crate) fn highest_apic_id(rsdp: u64) -> u32 {
    let mut highest = apic::id_from_cpuid();
    acpi::for_each_cpu(rsdp, |id| highest = highest.max(id));
    highest
}

/// Gives this CPU its tables and local APIC, and announces it.
pub(crate) fn initialize(index: u32) {
    load_segments(index);
    idt::load();
    apic::enable(apic_mode());
    let results = &cpus()[index as usize];
    results.apic_id.store(apic::id_from_cpuid(), Relaxed);
    // SeqCst: the boot CPU that reads this state also reads the APIC ID stored before it.
    results.state.store(CPU_AT_START, SeqCst);
}

/// Gives this CPU its segments and task state.
pub(crate) fn load_segments(index: u32) {
    // SAFETY: the start of this CPU's own memory, used by no other CPU.
    let segments = unsafe { &mut *(per_cpu(index) as usize as *mut Segments) };
    segments.load(kernel_stack_top(index));
}

/// Chooses the local APIC's mode for all CPUs.
pub(crate) fn choose_apic_mode(x2apic: bool) {
    APIC_MODE.store(u32::from(x2apic), Relaxed);
}

/// Puts the trampoline where CPUs start. Before [`start`]; the loader's low memory has been read
/// by now.
pub(crate) fn copy_trampoline() {
    let (start, end) = (&raw const trampoline_start, &raw const trampoline_end);
    // SAFETY: the trampoline is position independent and shorter than a page, and nobody needs
    // what is there.
    unsafe {
        let length = end.offset_from(start) as usize;
        core::ptr::copy_nonoverlapping(start, TRAMPOLINE as *mut u8, length);
    }
}

/// Puts the trampoline into every page that SIPI can start a CPU at, and where real mode's interrupts
/// lead to it. The loader's low memory must not be needed any more.
pub(crate) fn copy_trampoline_everywhere() {
    const LOW_RAM_END: usize = 0x9_f000;
    /// CS:IP of the trampoline.
    const VECTOR: u32 = (TRAMPOLINE as u32 >> 4) << 16;
    let (start, end) = (&raw const trampoline_start, &raw const trampoline_end);
    for page in (4096..LOW_RAM_END).step_by(4096) {
        // SAFETY: as in `copy_trampoline`.
        unsafe {
            let length = end.offset_from(start) as usize;
            core::ptr::copy_nonoverlapping(start, page as *mut u8, length);
        }
    }
    for vector in 1..256_usize {
        // SAFETY: the interrupt vectors of real mode, which nobody else uses; all but the first, whose
        // address no pointer may have.
        unsafe { ((4 * vector) as *mut u32).write_volatile(VECTOR) };
    }
}

/// Starts the CPU with this APIC ID. It runs `ap_main`.
pub(crate) fn start(apic_id: u32) {
    apic::start_cpu(apic_mode(), apic_id, (TRAMPOLINE >> 12) as u8);
}

/// Starts every CPU but this one.
pub(crate) fn start_others(rsdp: u64) {
    copy_trampoline();
    let own = apic::id_from_cpuid();
    acpi::for_each_cpu(rsdp, |id| {
        if id != own {
            start(id);
        }
    });
}

/// The APIC ID of CPU `index`, once it is up.
pub(crate) fn apic_id(index: u32) -> u32 {
    cpus()[index as usize].apic_id.load(Relaxed)
}

/// Whether CPU `index` has come up.
pub(crate) fn is_at_start(index: u32) -> bool {
    // SeqCst: pairs with the store in `initialize`.
    cpus()[index as usize].state.load(SeqCst) == CPU_AT_START
}

/// Disables this CPU's local APIC by software.
pub(crate) fn disable_apic() {
    apic::disable(apic_mode());
}

/// Enables this CPU's local APIC again.
pub(crate) fn enable_apic() {
    apic::enable(apic_mode());
}
