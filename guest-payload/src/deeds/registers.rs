//! Control and debug registers.

use core::arch::asm;

use super::Turn;

unsafe extern "C" {
    static boot_pml4: [u64; 512];
}

/// As the boot code sets them.
const CR0_LONG: u64 = 0x8000_0033;
const CR4_LONG: u64 = 0x0000_0620;
const DR7_RESET: u64 = 0x400;

/// Protection, paging: without them this code is gone.
const CR0_SPARED: u64 = 1 << 0 | 1 << 31;
/// PAE; 5-level paging; SMEP, SMAP, PKE, CET, PKS, user interrupts, FRED: code that CPL 3 may read could not
/// run.
const CR4_SPARED: u64 =
    1 << 5 | 1 << 12 | 1 << 20 | 1 << 21 | 1 << 22 | 1 << 23 | 1 << 24 | 1 << 25 | 1 << 32;

/// What a turn that was interrupted may have left behind.
pub(super) fn put_right() {
    // SAFETY: the values that this code runs under.
    unsafe {
        asm!("mov dr7, {}", in(reg) DR7_RESET, options(nostack, preserves_flags));
        asm!("mov cr0, {}", in(reg) CR0_LONG, options(nostack, preserves_flags));
        asm!("mov cr3, {}", in(reg) &raw const boot_pml4, options(nostack, preserves_flags));
        asm!("mov cr4, {}", in(reg) CR4_LONG, options(nostack, preserves_flags));
    }
}

/// Writes one of them, and puts it right again.
pub(super) fn registers(turn: &mut Turn) {
    let value = turn.draws.value();
    // SAFETY: what must stay is spared, a value that cannot be faults, and the rest is put right below.
    unsafe {
        match turn.draws.below(8) {
            0 => {
                let cr0 = CR0_LONG ^ value & !CR0_SPARED;
                asm!("mov cr0, {}", in(reg) cr0, options(nostack, preserves_flags));
            }
            1 => {
                let cr4 = CR4_LONG ^ value & !CR4_SPARED;
                asm!("mov cr4, {}", in(reg) cr4, options(nostack, preserves_flags));
            }
            2 => asm!("mov cr8, {}", in(reg) value, options(nostack, preserves_flags)),
            3 => cr3(turn),
            4 => asm!("mov cr2, {}", in(reg) value, options(nostack, preserves_flags)),
            5 => asm!("mov dr7, {}", in(reg) value & !0x2000, options(nostack, preserves_flags)),
            6 => {
                let at = turn.scratch() | 1 << 46;
                asm!("mov dr0, {}", in(reg) at, options(nostack, preserves_flags));
                asm!("mov dr3, {}", in(reg) value | 1 << 46, options(nostack, preserves_flags));
                asm!("mov dr6, {}", in(reg) value, options(nostack, preserves_flags));
            }
            _ => {
                let (low, high) = (value as u32, (value >> 32) as u32);
                asm!("xsetbv", in("ecx") turn.draws.below(2), in("eax") low, in("edx") high, options(nostack, preserves_flags));
            }
        }
    }
    put_right();
}

/// Another top table: a copy, or the old one with flags that mean something or must be 0.
fn cr3(turn: &mut Turn) {
    let boot = (&raw const boot_pml4) as u64;
    let copy = (turn.own.scratch() + 4096) & !0xfff;
    let top = if turn.draws.one_in(2) {
        for slot in 0..512_u64 {
            // SAFETY: reads the table that is in use, writes scratch memory.
            unsafe {
                let entry = ((boot + 8 * slot) as usize as *const u64).read_volatile();
                ((copy + 8 * slot) as usize as *mut u64).write_volatile(entry);
            }
        }
        copy
    } else {
        boot
    };
    let flags = match turn.draws.below(4) {
        0 => 0,
        1 => 1 << 63 | u64::from(turn.draws.below(4096)),
        // Beyond every address: must be 0.
        2 => 1 << (52 + turn.draws.below(11)),
        _ => u64::from(turn.draws.below(4096)),
    };
    // SAFETY: maps this code where the address is good; else it faults.
    unsafe { asm!("mov cr3, {}", in(reg) top | flags, options(nostack, preserves_flags)) };
}
