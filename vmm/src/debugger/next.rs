//! Where an instruction may lead: stepping without the processor's help.

use iced_x86::{
    Code, ConditionCode, Decoder, DecoderOptions, FlowControl, Instruction, OpKind, Register,
};
use kvm_bindings::kvm_regs;

/// The longest instruction.
pub(super) const INSTRUCTION_BYTES: usize = 15;

/// What is needed of a vCPU in 64-bit mode.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) regs: &'a kvm_regs,
    pub(super) fs_base: u64,
    pub(super) gs_base: u64,
}

/// The addresses at which the instruction after `code`'s first one can begin; empty where there is
/// none to tell. `read` reads 8 bytes.
pub(super) fn after(place: Place<'_>, code: &[u8], read: impl Fn(u64) -> Option<u64>) -> Vec<u64> {
    let mut decoder = Decoder::with_ip(64, code, place.regs.rip, DecoderOptions::NONE);
    let instruction: Instruction = decoder.decode();
    if instruction.is_invalid() {
        return Vec::new();
    }
    let next = instruction.next_ip();
    let target = || match instruction.op0_kind() {
        OpKind::Register => place.value(instruction.op0_register()),
        OpKind::Memory => {
            let address = instruction.virtual_address(0, 0, |register, _, _| place.value(register));
            address.and_then(&read)
        }
        _ => Some(instruction.near_branch_target()),
    };
    match instruction.flow_control() {
        FlowControl::UnconditionalBranch
        | FlowControl::IndirectBranch
        | FlowControl::Call
        | FlowControl::IndirectCall
            // SYSCALL is a call without a target.
            if instruction.op_count() != 0
                && !instruction.is_call_far()
                && !instruction.is_jmp_far() =>
        {
            target().into_iter().collect()
        }
        FlowControl::ConditionalBranch => [next, instruction.near_branch_target()]
            .into_iter()
            // What is planted at the instruction itself would keep it from being executed; see
            // `stays`.
            .filter(|&address| address != place.regs.rip)
            .collect(),
        FlowControl::Return => read(place.regs.rsp).into_iter().collect(),
        // An interrupt, a system call and an exception come back.
        _ => vec![next],
    }
}

/// RCX after `code`'s first instruction, if that is a jump to itself that is taken: all that it
/// changes.
pub(super) fn stays(regs: &kvm_regs, code: &[u8]) -> Option<u64> {
    let mut decoder = Decoder::with_ip(64, code, regs.rip, DecoderOptions::NONE);
    let instruction: Instruction = decoder.decode();
    let is_near = instruction.op0_kind() == OpKind::NearBranch64;
    if !is_near || instruction.near_branch_target() != regs.rip {
        return None;
    }
    // With a prefix ECX counts, and what is written to it clears the upper half.
    let count = |register| match register {
        Register::ECX => regs.rcx & u64::from(u32::MAX),
        _ => regs.rcx,
    };
    let less = |register| match register {
        Register::ECX => regs.rcx.wrapping_sub(1) & u64::from(u32::MAX),
        _ => regs.rcx.wrapping_sub(1),
    };
    let register = counter(instruction.code());
    match instruction.flow_control() {
        FlowControl::UnconditionalBranch => Some(regs.rcx),
        FlowControl::ConditionalBranch if instruction.is_jcx_short() => {
            (count(register) == 0).then_some(regs.rcx)
        }
        FlowControl::ConditionalBranch if instruction.is_loop() => {
            Some(less(register)).filter(|&left| left != 0)
        }
        FlowControl::ConditionalBranch => {
            let holds = holds(instruction.condition_code(), regs.rflags)?;
            let rcx = match instruction.is_loopcc() {
                true => less(register),
                false => return holds.then_some(regs.rcx),
            };
            (holds && rcx != 0).then_some(rcx)
        }
        _ => None,
    }
}

/// The register that a branch counts in.
fn counter(code: Code) -> Register {
    match code {
        Code::Jecxz_rel8_64
        | Code::Loop_rel8_64_ECX
        | Code::Loope_rel8_64_ECX
        | Code::Loopne_rel8_64_ECX => Register::ECX,
        _ => Register::RCX,
    }
}

/// Whether a condition holds (SDM vol. 1, appendix B).
fn holds(condition: ConditionCode, rflags: u64) -> Option<bool> {
    let flag = |bit: u32| rflags & 1 << bit != 0;
    let (carry, parity, zero) = (flag(0), flag(2), flag(6));
    let (sign, overflow) = (flag(7), flag(11));
    Some(match condition {
        ConditionCode::o => overflow,
        ConditionCode::no => !overflow,
        ConditionCode::b => carry,
        ConditionCode::ae => !carry,
        ConditionCode::e => zero,
        ConditionCode::ne => !zero,
        ConditionCode::be => carry || zero,
        ConditionCode::a => !carry && !zero,
        ConditionCode::s => sign,
        ConditionCode::ns => !sign,
        ConditionCode::p => parity,
        ConditionCode::np => !parity,
        ConditionCode::l => sign != overflow,
        ConditionCode::ge => sign == overflow,
        ConditionCode::le => zero || sign != overflow,
        ConditionCode::g => !zero && sign == overflow,
        ConditionCode::None => return None,
    })
}

impl Place<'_> {
    fn value(&self, register: Register) -> Option<u64> {
        let regs = self.regs;
        Some(match register {
            Register::RAX => regs.rax,
            Register::RBX => regs.rbx,
            Register::RCX => regs.rcx,
            Register::RDX => regs.rdx,
            Register::RSI => regs.rsi,
            Register::RDI => regs.rdi,
            Register::RBP => regs.rbp,
            Register::RSP => regs.rsp,
            Register::R8 => regs.r8,
            Register::R9 => regs.r9,
            Register::R10 => regs.r10,
            Register::R11 => regs.r11,
            Register::R12 => regs.r12,
            Register::R13 => regs.r13,
            Register::R14 => regs.r14,
            Register::R15 => regs.r15,
            Register::FS => self.fs_base,
            Register::GS => self.gs_base,
            // 64-bit mode has them at 0.
            Register::CS | Register::DS | Register::ES | Register::SS => 0,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RIP: u64 = 0x1000;

    fn after_bytes(code: &[u8]) -> Vec<u64> {
        let regs = kvm_regs {
            rip: RIP,
            rax: 0x5000,
            rbx: 2,
            rsp: 0x9000,
            ..kvm_regs::default()
        };
        let place = Place {
            regs: &regs,
            fs_base: 0x7000,
            gs_base: 0,
        };
        // What is read at an address is the address and one.
        after(place, code, |address| Some(address + 1))
    }

    #[test]
    fn every_kind_of_instruction_leads_somewhere() {
        for (what, code, leads_to) in [
            ("nop", &[0x90][..], &[RIP + 1][..]),
            ("out dx, al", &[0xee], &[RIP + 1]),
            ("jmp +4", &[0xeb, 4], &[RIP + 6]),
            ("jne -4", &[0x75, 0xfc], &[RIP + 2, RIP - 2]),
            ("loop -2", &[0xe2, 0xfe], &[RIP + 2]),
            ("call +0x10", &[0xe8, 0x10, 0, 0, 0], &[RIP + 0x15]),
            ("call rax", &[0xff, 0xd0], &[0x5000]),
            ("jmp rax", &[0xff, 0xe0], &[0x5000]),
            ("jmp [rax+rbx*8]", &[0xff, 0x24, 0xd8], &[0x5011]),
            (
                "jmp [rip+0x20]",
                &[0xff, 0x25, 0x20, 0, 0, 0],
                &[RIP + 0x27],
            ),
            ("call fs:[rax]", &[0x64, 0xff, 0x10], &[0xc001]),
            ("ret", &[0xc3], &[0x9001]),
            ("int 0x80", &[0xcd, 0x80], &[RIP + 2]),
            ("syscall", &[0x0f, 0x05], &[RIP + 2]),
            ("pause", &[0xf3, 0x90], &[RIP + 2]),
        ] {
            assert_eq!(after_bytes(code), leads_to, "{what}");
        }
    }

    #[test]
    fn a_jump_to_itself_that_is_taken_stays() {
        const ZERO: u64 = 1 << 6;
        for (what, code, rflags, rcx, expected) in [
            ("jmp", &[0xeb, 0xfe][..], 0, 5, Some(5)),
            ("jne", &[0x75, 0xfe], 0, 5, Some(5)),
            ("jne, equal", &[0x75, 0xfe], ZERO, 5, None),
            ("je, equal", &[0x74, 0xfe], ZERO, 5, Some(5)),
            ("jne to elsewhere", &[0x75, 0xfc], 0, 5, None),
            ("loop", &[0xe2, 0xfe], 0, 5, Some(4)),
            ("loop, the last", &[0xe2, 0xfe], 0, 1, None),
            ("loop, all", &[0xe2, 0xfe], 0, 0, Some(u64::MAX)),
            ("loop ecx", &[0x67, 0xe2, 0xfd], 0, 1 << 32 | 2, Some(1)),
            ("loope, unequal", &[0xe1, 0xfe], 0, 5, None),
            ("loopne", &[0xe0, 0xfe], 0, 5, Some(4)),
            ("jrcxz", &[0xe3, 0xfe], 0, 0, Some(0)),
            ("jrcxz, more", &[0xe3, 0xfe], 0, 1, None),
            ("nop", &[0x90], 0, 5, None),
        ] {
            let regs = kvm_regs {
                rip: RIP,
                rcx,
                rflags,
                ..kvm_regs::default()
            };
            assert_eq!(stays(&regs, code), expected, "{what}");
        }
    }

    #[test]
    fn what_is_no_instruction_leads_nowhere() {
        assert!(after_bytes(&[]).is_empty());
        assert!(after_bytes(&[0x06]).is_empty());
        assert!(after_bytes(&[0xe8, 0x10]).is_empty());
    }
}
