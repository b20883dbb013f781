//! The local APIC: its registers, and interrupt commands.

use super::Turn;
use crate::arch::instr::{rdmsr, wrmsr};
use crate::arch::smp;

const MSR_X2APIC: u32 = 0x800;
const LOCAL_APIC: u64 = 0xfee0_0000;
const TPR: u32 = 0x08;
const EOI: u32 = 0x0b;
const SVR: u32 = 0x0f;
const SELF_IPI: u32 = 0x3f;
const ICR_LOW: u32 = 0x30;
const ICR_HIGH: u32 = 0x31;
const SVR_ENABLED: u64 = 0x1ff;

const NMI: u32 = 4;
const INIT: u32 = 5;
const STARTUP: u32 = 6;

/// Destination shorthand of an interrupt command.
const TO_SELF: u32 = 1 << 18;

/// Writes a register by the way of one of the modes.
fn write(by_msr: bool, register: u32, value: u64) {
    if by_msr {
        wrmsr(MSR_X2APIC + register, value);
    } else {
        // SAFETY: the local APIC's page or no RAM, as everything there.
        unsafe { mmio(register).write_volatile(value as u32) };
    }
}

fn mmio(register: u32) -> *mut u32 {
    (LOCAL_APIC + u64::from(register) * 16) as usize as *mut u32
}

/// One register, most often in the mode that the APIC is in.
pub(super) fn registers(turn: &mut Turn) {
    let by_msr = smp::is_x2apic() ^ turn.draws.one_in(8);
    let register = turn.draws.below(0x40);
    let value = turn.draws.value();
    match turn.draws.below(8) {
        0 => write(by_msr, EOI, 0),
        1 => write(by_msr, SVR, SVR_ENABLED),
        2 => write(by_msr, TPR, u64::from(turn.draws.below(0x100))),
        3 | 4 if by_msr => {
            rdmsr(MSR_X2APIC + register);
        }
        // SAFETY: as in `write`.
        3 | 4 => unsafe {
            mmio(register).read_volatile();
        },
        _ if matches!(register, ICR_LOW | ICR_HIGH) => {}
        _ => write(by_msr, register, value),
    }
}

/// One interrupt command.
pub(super) fn commands(turn: &mut Turn) {
    let mode = turn.draws.below(8);
    let mut destination = turn.apic_id();
    // Vector, destination mode, level and trigger, shorthand.
    let mut low = turn.draws.next_u32() & 0x000c_c8ff;
    match mode {
        INIT => {
            // To one other, not to the boot CPU: nobody could start that one again where it left off.
            destination = turn.known_apic_id();
            if destination
                == super::area::of(0)
                    .apic_id
                    .load(core::sync::atomic::Ordering::Relaxed)
            {
                return;
            }
            low &= 0xc0ff;
            low |= 0x4000;
        }
        // To itself: one that has just been started has nobody to take it yet, and shuts down.
        NMI => {
            low &= 0xc0ff;
            low |= TO_SELF;
        }
        STARTUP if !turn.draws.one_in(8) => {
            low &= 0xc000;
            low |= 1 + turn.draws.below(0x9e);
        }
        _ => {}
    }
    low |= mode << 8;
    let by_msr = smp::is_x2apic() ^ turn.draws.one_in(16);
    if by_msr {
        if turn.draws.one_in(16) {
            return wrmsr(MSR_X2APIC + SELF_IPI, turn.draws.value());
        }
        wrmsr(
            MSR_X2APIC + ICR_LOW,
            u64::from(destination) << 32 | u64::from(low),
        );
    } else {
        write(false, ICR_HIGH, u64::from(destination << 24));
        write(false, ICR_LOW, u64::from(low));
    }
    // What has come is taken now and then; it ends the turn.
    if turn.draws.one_in(4) {
        // SAFETY: every vector leads to the next turn.
        unsafe { core::arch::asm!("sti", "nop", "nop", "cli", options(nostack)) };
    }
}
