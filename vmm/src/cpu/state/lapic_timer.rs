//! The timer of KVM's local APIC among its other registers (SDM vol. 3A, 11.5.4).

use kvm_bindings::kvm_lapic_state;

const LVT_TIMER: usize = 0x320;
const INITIAL_COUNT: usize = 0x380;
const CURRENT_COUNT: usize = 0x390;
const DIVIDE: usize = 0x3e0;
/// 256 bits, 32 in each of eight registers of 16 bytes.
const REQUESTS: usize = 0x200;

/// Sets `lapic`'s timer as it is in `saved`, and the timer's own request with it. Other requests
/// stay: they have come since.
pub fn set(lapic: &mut kvm_lapic_state, saved: &kvm_lapic_state) {
    for register in [LVT_TIMER, INITIAL_COUNT, CURRENT_COUNT, DIVIDE] {
        let bytes = register..register + 4;
        lapic.regs[bytes.clone()].copy_from_slice(&saved.regs[bytes]);
    }
    let vector = usize::from(saved.regs[LVT_TIMER].cast_unsigned());
    let at = REQUESTS + vector / 32 * 16 + vector % 32 / 8;
    let bit = 1 << (vector % 8);
    lapic.regs[at] = lapic.regs[at] & !bit | saved.regs[at] & bit;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lapic(vector: i8, count: i8, requests: &[usize]) -> kvm_lapic_state {
        let mut lapic = kvm_lapic_state::default();
        lapic.regs[LVT_TIMER] = vector;
        lapic.regs[CURRENT_COUNT] = count;
        for &vector in requests {
            lapic.regs[REQUESTS + vector / 32 * 16 + vector % 32 / 8] |= 1 << (vector % 8);
        }
        lapic
    }

    #[test]
    fn requests_that_came_since_stay_and_the_timers_own_goes() {
        let saved = lapic(0x31, 7, &[0x40]);
        let mut here = lapic(0x31, 1, &[0x24, 0x31, 0x40]);
        set(&mut here, &saved);
        assert_eq!(here.regs, lapic(0x31, 7, &[0x24, 0x40]).regs);
    }

    #[test]
    fn a_tick_that_was_due_when_it_was_saved_is_due() {
        let saved = lapic(0x31, 7, &[0x31]);
        let mut here = lapic(0x31, 1, &[]);
        set(&mut here, &saved);
        assert_eq!(here.regs, saved.regs);
    }
}
