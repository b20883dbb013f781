//! Page tables of garbage.

use core::arch::asm;

use super::Turn;
use super::area::TABLE_PAGES;
use super::io::access;

unsafe extern "C" {
    static mut boot_pml4: [u64; 512];
}

const PRESENT: u64 = 1 << 0;
const WRITABLE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const LARGE: u64 = 1 << 7;
const NO_EXECUTE: u64 = 1 << 63;

/// Levels of tables, each with a table of this CPU's own.
const LEVELS: usize = TABLE_PAGES - 1;

/// An entry: any flags, and an address that is a table of this CPU's or has no RAM. So whatever these
/// tables map is either tables again or nobody's memory.
fn entry(turn: &mut Turn) -> u64 {
    let mut flags = turn.draws.next() & (0xfff | NO_EXECUTE);
    if !turn.draws.one_in(4) {
        flags |= PRESENT | WRITABLE | USER;
        flags &= !NO_EXECUTE;
    }
    let own_table = flags & LARGE == 0 && !turn.draws.one_in(4);
    let address = if own_table {
        turn.own
            .table(turn.draws.below(TABLE_PAGES as u32) as usize)
    } else if turn.draws.one_in(4) {
        // Up to and beyond what a processor has address lines for.
        turn.draws.value() & 0x7fff_ffff_ffff_f000 | 0xc000_0000
    } else {
        turn.hole() & !0xfff
    };
    address | flags
}

/// Changes some entries and accesses what they map.
pub(super) fn tables(turn: &mut Turn) {
    // Slot 0 of the top table is the payload's own.
    let slot = 1 + u64::from(turn.index) % 255;
    for _ in 0..=turn.draws.below(6) {
        let table = turn
            .own
            .table(turn.draws.below(TABLE_PAGES as u32) as usize);
        let at = table + 8 * u64::from(turn.draws.below(4));
        let value = entry(turn);
        // SAFETY: a table of this CPU's own, which maps nothing that anybody needs.
        unsafe { (at as usize as *mut u64).write_volatile(value) };
    }
    // The levels in order as often as not, so that accesses come as far as the last one.
    if turn.draws.one_in(2) {
        for level in 0..LEVELS {
            let next = turn.own.table(level + 1) | PRESENT | WRITABLE;
            // SAFETY: as above.
            unsafe { (turn.own.table(level) as usize as *mut u64).write_volatile(next) };
        }
    }
    let top = turn.own.table(0) | PRESENT | WRITABLE | USER & turn.draws.next();
    // SAFETY: a slot that maps nothing but this CPU's garbage.
    unsafe {
        (&raw mut boot_pml4)
            .cast::<u64>()
            .add(slot as usize)
            .write_volatile(top)
    };
    for _ in 0..=turn.draws.below(3) {
        let mut at = slot << 39;
        for shift in [30, 21, 12] {
            at |= u64::from(turn.draws.below(4)) << shift;
        }
        at |= u64::from(turn.draws.below(4096));
        match turn.draws.below(4) {
            0 => {
                // SAFETY: forgets a translation.
                unsafe { asm!("invlpg [{}]", in(reg) at, options(nostack, preserves_flags)) };
            }
            1 => {
                // A new translation of everything.
                // SAFETY: the table that is in use.
                unsafe {
                    asm!("mov {0}, cr3", "mov cr3, {0}", out(reg) _, options(nostack, preserves_flags));
                }
            }
            _ => {
                let value = entry(turn);
                access(turn, at & !7, value, false);
            }
        }
    }
}
