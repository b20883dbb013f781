//! The hypercall as KVM implements it (Linux `arch/x86/kvm/x86.c`, `kvm_emulate_hypercall`):
//! registers in, what to do and RAX out. Pure.

use super::apic_id::Destination;
use guest_payload::abi::{KVM_ENOSYS, KVM_EPERM, KVM_HC_KICK_CPU, KVM_HC_VAPIC_POLL_IRQ};

/// How wide the caller's registers count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallerMode {
    /// 64-bit mode: EFER.LMA and CS.L.
    Bits64,
    /// Anything else: number, arguments and result are cut to 32 bits.
    Bits32,
}

/// Whether the caller may make hypercalls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privilege {
    /// CPL 0, or CPL 3 that a CPL 0 kernel allowed by `Control::AllowUserHypercalls`.
    Allowed,
    /// CPL 1 to 3: -EPERM.
    Denied,
}

/// What PV_UNHALT means for this VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unhalt {
    /// Advertised in CPUID.
    Offered,
    /// Not advertised, but a kick works all the same (KVM's default).
    Hidden,
    /// Not advertised and enforced (`KVM_CAP_ENFORCE_PV_FEATURE_CPUID`): the call is unknown.
    Enforced,
}

/// The registers of a hypercall: RAX, RBX, RCX.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// RAX.
    pub number: u64,
    /// RBX, the first argument: flags, unused by the kick.
    pub a0: u64,
    /// RCX, the second argument: the target's APIC ID.
    pub a1: u64,
}

/// What the VMM has to do before it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Kick this destination; the answer is 0, whether or not somebody has it.
    Kick(Destination),
    /// Nothing; this is the answer.
    Answer(i64),
}

/// Decides a hypercall.
pub fn decide(call: Call, mode: CallerMode, privilege: Privilege, unhalt: Unhalt) -> Action {
    let number = match mode {
        CallerMode::Bits64 => call.number,
        CallerMode::Bits32 => call.number & u64::from(u32::MAX),
    };
    match (privilege, number, unhalt) {
        (Privilege::Denied, ..) => Action::Answer(-KVM_EPERM),
        (_, KVM_HC_VAPIC_POLL_IRQ, _) => Action::Answer(0),
        (_, KVM_HC_KICK_CPU, Unhalt::Offered | Unhalt::Hidden) => {
            Action::Kick(Destination::from_a1(call.a1))
        }
        _ => Action::Answer(-KVM_ENOSYS),
    }
}

/// RAX after the call: cut to 32 bits outside 64-bit mode.
pub fn rax(answer: i64, mode: CallerMode) -> u64 {
    let rax = answer.cast_unsigned();
    match mode {
        CallerMode::Bits64 => rax,
        CallerMode::Bits32 => rax & u64::from(u32::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KICK_7: Call = Call {
        number: KVM_HC_KICK_CPU,
        a0: 0,
        a1: 7,
    };

    #[test]
    fn a_kick_is_a_kick_whether_or_not_the_feature_is_shown() {
        for unhalt in [Unhalt::Offered, Unhalt::Hidden] {
            let action = decide(KICK_7, CallerMode::Bits64, Privilege::Allowed, unhalt);
            assert_eq!(action, Action::Kick(Destination::from_a1(7)));
        }
    }

    #[test]
    fn enforcement_makes_the_kick_unknown() {
        let action = decide(
            KICK_7,
            CallerMode::Bits64,
            Privilege::Allowed,
            Unhalt::Enforced,
        );
        assert_eq!(action, Action::Answer(-1000));
    }

    #[test]
    fn privilege_comes_before_the_number() {
        for number in [KVM_HC_KICK_CPU, 99] {
            let call = Call { number, ..KICK_7 };
            let action = decide(call, CallerMode::Bits64, Privilege::Denied, Unhalt::Offered);
            assert_eq!(action, Action::Answer(-1));
        }
    }

    #[test]
    fn unknown_numbers_are_enosys_and_high_bits_count_in_64_bit_mode_only() {
        let high = Call {
            number: 1 << 32 | KVM_HC_KICK_CPU,
            ..KICK_7
        };
        let in_64 = decide(
            high,
            CallerMode::Bits64,
            Privilege::Allowed,
            Unhalt::Offered,
        );
        let in_32 = decide(
            high,
            CallerMode::Bits32,
            Privilege::Allowed,
            Unhalt::Offered,
        );
        assert_eq!(
            (in_64, in_32),
            (Action::Answer(-1000), Action::Kick(Destination::from_a1(7)))
        );
    }

    #[test]
    fn poll_irq_is_answered_whether_or_not_the_feature_is_shown() {
        let call = Call {
            number: KVM_HC_VAPIC_POLL_IRQ,
            ..KICK_7
        };
        for unhalt in [Unhalt::Offered, Unhalt::Hidden, Unhalt::Enforced] {
            let action = decide(call, CallerMode::Bits64, Privilege::Allowed, unhalt);
            assert_eq!(action, Action::Answer(0));
        }
    }

    #[test]
    fn the_apic_id_is_an_int_in_every_mode() {
        let call = Call {
            a1: 0xdead_beef_0000_0007,
            ..KICK_7
        };
        for mode in [CallerMode::Bits64, CallerMode::Bits32] {
            assert_eq!(
                decide(call, mode, Privilege::Allowed, Unhalt::Offered),
                Action::Kick(Destination::from_a1(7))
            );
        }
    }

    #[test]
    fn a_32_bit_caller_gets_32_bits_back() {
        assert_eq!(rax(-1000, CallerMode::Bits32), 0xffff_fc18);
        assert_eq!(rax(-1000, CallerMode::Bits64), 0xffff_ffff_ffff_fc18);
    }
}
