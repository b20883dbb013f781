//! Interrupt descriptor table: exceptions end the run with a line, but for the #GP by which CPL 3 asks
//! CPL 0 for something.

use core::arch::asm;
use core::sync::atomic::Ordering::Relaxed;

use super::gdt::{KERNEL_CODE, TableRegister};
use super::serial::{print, print_hex, print_u64};
use crate::boot_cell::BootCell;
use crate::shared::{RESULTS, crash};

const ENTRIES: usize = 32;
const GENERAL_PROTECTION: usize = 13;

/// All vectors, for CPUs that interrupts of any kind come to.
static HAVOC_IDT: BootCell<[[u64; 2]; 256]> = BootCell::new([[0; 2]; 256]);

static IDT: BootCell<[[u64; 2]; ENTRIES]> = BootCell::new([[0; 2]; ENTRIES]);

unsafe extern "C" {
    static exception_stubs: [[u8; 16]; 32];
    fn general_protection();
    fn havoc_interrupted();
}

fn gate(handler: u64) -> [u64; 2] {
    const PRESENT_INTERRUPT_GATE: u64 = 0x8e00;
    let low = handler & 0xffff
        | u64::from(KERNEL_CODE) << 16
        | PRESENT_INTERRUPT_GATE << 32
        | (handler >> 16 & 0xffff) << 48;
    [low, handler >> 32]
}

/// Fills the table. Once, on the boot CPU, before any other runs.
pub(crate) fn build() {
    let stubs = (&raw const exception_stubs) as u64;
    let mut idt = [[0; 2]; ENTRIES];
    for (vector, entry) in (0_u64..).zip(idt.iter_mut()) {
        *entry = gate(stubs + vector * 16);
    }
    idt[GENERAL_PROTECTION] = gate(general_protection as *const () as u64);
    // SAFETY: only the boot CPU runs yet, and it has not loaded the table.
    unsafe { IDT.set(idt) };
}

/// Loads the table on this CPU.
pub(crate) fn load() {
    let register = TableRegister {
        limit: (ENTRIES * 16 - 1) as u16,
        base: IDT.get().as_ptr() as u64,
    };
    // SAFETY: `build` has filled the table, which lives as long as the machine.
    unsafe { asm!("lidt [{}]", in(reg) &raw const register, options(nostack, preserves_flags)) };
}

/// Fills the table of `mode=havoc`. Once, on the boot CPU, before any other takes its turns.
pub(crate) fn build_for_havoc() {
    let every = gate(havoc_interrupted as *const () as u64);
    // SAFETY: nobody has loaded the table yet.
    unsafe { HAVOC_IDT.set([every; 256]) };
}

/// Loads the table of `mode=havoc` on this CPU.
pub(crate) fn load_for_havoc() {
    let register = TableRegister {
        limit: (256 * 16 - 1) as u16,
        base: HAVOC_IDT.get().as_ptr() as u64,
    };
    // SAFETY: `build_for_havoc` has filled the table, which lives as long as the machine.
    unsafe { asm!("lidt [{}]", in(reg) &raw const register, options(nostack, preserves_flags)) };
}

/// What the stubs leave on the stack.
#[repr(C)]
struct Frame {
    vector: u64,
    error_code: u64,
    rip: u64,
    cs: u64,
    rflags: u64,
}

#[unsafe(no_mangle)]
extern "C" fn unexpected_exception(frame: &Frame) -> ! {
    let cr2: u64;
    // SAFETY: reads a register; exceptions come here at CPL 0.
    unsafe { asm!("mov {}, cr2", out(reg) cr2, options(nomem, nostack, preserves_flags)) };
    let exception = &RESULTS.exception;
    exception.vector.store(frame.vector, Relaxed);
    exception.error_code.store(frame.error_code, Relaxed);
    exception.rip.store(frame.rip, Relaxed);
    exception.cr2.store(cr2, Relaxed);
    print("guest-payload: exception ");
    print_u64(frame.vector);
    print(" error ");
    print_hex(frame.error_code);
    print(" at ");
    print_hex(frame.cs);
    print(":");
    print_hex(frame.rip);
    print(" rflags ");
    print_hex(frame.rflags);
    print(" cr2 ");
    print_hex(cr2);
    print("\n");
    crash()
}
