//! Model-specific registers.

use core::ops::Range;

use guest_payload::abi::xen::MSR_HYPERCALL_PAGE;

use super::Turn;
use crate::arch::instr::{rdmsr, wrmsr};

/// Where processors and hypervisors have MSRs.
const RANGES: [Range<u32>; 12] = [
    0x0..0x300,
    0x300..0x400,
    0x480..0x4a0,
    0x560..0x5a0,
    0x600..0x700,
    0x800..0x900,
    0xd90..0xda8,
    0x4000_0000..0x4000_0120,
    0x4b56_4d00..0x4b56_4d10,
    0xc000_0080..0xc000_0088,
    0xc000_0100..0xc000_0110,
    0xc001_0000..0xc001_0120,
];

const TSC: u32 = 0x10;
const APIC_BASE: u32 = 0x1b;
const TSC_ADJUST: u32 = 0x3b;
const X2APIC_ICR: u32 = 0x830;

/// MSRs that take an address which the host then writes to.
fn takes_an_address(msr: u32) -> bool {
    matches!(msr, 0x11 | 0x12 | 0x4b56_4d00..=0x4b56_4d0f | MSR_HYPERCALL_PAGE..=0x4000_0120)
}

/// Reads one, and writes it as often as not.
pub(super) fn msrs(turn: &mut Turn) {
    let msr = if turn.draws.one_in(16) {
        turn.draws.value() as u32
    } else {
        let range = &RANGES[turn.draws.below(RANGES.len() as u32) as usize];
        range.start + turn.draws.below(range.end - range.start)
    };
    let value = match msr {
        _ if takes_an_address(msr) => turn.gpa_for_the_host() | u64::from(turn.draws.below(4)),
        // As it is but for one bit.
        _ if turn.draws.one_in(2) => rdmsr(msr) ^ 1 << turn.draws.below(64),
        _ => turn.draws.value(),
    };
    // Interrupt commands have a deed of their own; a local APIC that is off takes part in little.
    let is_spared = match msr {
        X2APIC_ICR => true,
        TSC | TSC_ADJUST => turn.is_timed(),
        APIC_BASE => !turn.draws.one_in(8),
        _ => false,
    };
    if is_spared || turn.draws.one_in(2) {
        rdmsr(msr);
    } else {
        wrmsr(msr, value);
    }
}
