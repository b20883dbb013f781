//! What a guest does not come back from.

use core::arch::asm;

use super::Turn;
use crate::arch::instr::{outb, outl, wrmsr};
use crate::arch::smp;

/// One of the ways to perish, or to take all others along.
pub(super) fn reckless(turn: &mut Turn) {
    let value = turn.draws.value();
    // SAFETY: none. The machine may be lost from here on, and nothing but it.
    unsafe {
        match turn.draws.below(9) {
            0 => asm!("mov cr0, {}", in(reg) value, options(nostack)),
            1 => asm!("mov cr4, {}", in(reg) value, options(nostack)),
            2 => asm!("mov cr3, {}", in(reg) value, options(nostack)),
            3 => {
                // INIT, SIPI, NMI, SMI, to anybody and everybody.
                let low = turn.draws.next_u32() & 0x000c_cfff;
                let destination = u64::from(turn.apic_id()) << 32;
                if smp::is_x2apic() {
                    wrmsr(0x830, destination | u64::from(low));
                } else {
                    (0xfee0_0310_usize as *mut u32).write_volatile((destination >> 8) as u32);
                    (0xfee0_0300_usize as *mut u32).write_volatile(low);
                }
            }
            4 => {
                // Anywhere in the first 64 MiB, this code and its tables among it.
                let at = u64::from(turn.draws.below(1 << 23)) * 8;
                (at.max(8) as usize as *mut u64).write_volatile(value);
            }
            5 => {
                let code = turn.own.scratch();
                for word in 0..64 {
                    let bytes = turn.draws.next();
                    ((code + 8 * word) as usize as *mut u64).write_volatile(bytes);
                }
                asm!("jmp {}", in(reg) code, options(noreturn));
            }
            6 => {
                let table = [value, turn.draws.next()];
                asm!("lidt [{}]", in(reg) &table, options(nostack));
            }
            7 => {
                let port = turn.draws.next_u32() as u16;
                outl(port, turn.draws.next_u32());
                outb(port, turn.draws.next_u32() as u8);
            }
            _ => {
                let table = [value, turn.draws.next()];
                asm!("lgdt [{}]", in(reg) &table, options(nostack));
            }
        }
    }
}
