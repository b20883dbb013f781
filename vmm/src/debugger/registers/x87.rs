//! The x87's own registers: gdb has the full tag word, FXSAVE the abridged one.

use kvm_bindings::kvm_fpu;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::debugger) enum Field {
    Control,
    Status,
    Tag,
    InstructionSelector,
    InstructionOffset,
    OperandSelector,
    OperandOffset,
    Opcode,
}

impl Field {
    /// In gdb's order.
    pub(super) const ALL: [Self; 8] = [
        Self::Control,
        Self::Status,
        Self::Tag,
        Self::InstructionSelector,
        Self::InstructionOffset,
        Self::OperandSelector,
        Self::OperandOffset,
        Self::Opcode,
    ];

    /// gdb's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Control => "fctrl",
            Self::Status => "fstat",
            Self::Tag => "ftag",
            Self::InstructionSelector => "fiseg",
            Self::InstructionOffset => "fioff",
            Self::OperandSelector => "foseg",
            Self::OperandOffset => "fooff",
            Self::Opcode => "fop",
        }
    }

    pub(super) fn get(self, fpu: &kvm_fpu) -> u32 {
        match self {
            Self::Control => fpu.fcw.into(),
            Self::Status => fpu.fsw.into(),
            Self::Tag => full_tag(fpu).into(),
            Self::InstructionSelector => halves(fpu.last_ip).1,
            Self::InstructionOffset => halves(fpu.last_ip).0,
            Self::OperandSelector => halves(fpu.last_dp).1,
            Self::OperandOffset => halves(fpu.last_dp).0,
            Self::Opcode => fpu.last_opcode.into(),
        }
    }

    pub(super) fn set(self, fpu: &mut kvm_fpu, value: u64) {
        let low = value & 0xffff_ffff;
        let word = u16::try_from(value & 0xffff).unwrap_or_default();
        match self {
            Self::Control => fpu.fcw = word,
            Self::Status => fpu.fsw = word,
            Self::Tag => fpu.ftwx = abridged_tag(word),
            Self::InstructionSelector => fpu.last_ip = fpu.last_ip & 0xffff_ffff | low << 32,
            Self::InstructionOffset => fpu.last_ip = fpu.last_ip & !0xffff_ffff | low,
            Self::OperandSelector => fpu.last_dp = fpu.last_dp & 0xffff_ffff | low << 32,
            Self::OperandOffset => fpu.last_dp = fpu.last_dp & !0xffff_ffff | low,
            Self::Opcode => fpu.last_opcode = word,
        }
    }
}

fn halves(word: u64) -> (u32, u32) {
    let half = |word: u64| u32::try_from(word & 0xffff_ffff).unwrap_or_default();
    (half(word), half(word >> 32))
}

/// Two bits for each physical register: valid, zero, special, empty (SDM vol. 1, 8.1.7).
fn full_tag(fpu: &kvm_fpu) -> u16 {
    const VALID: u16 = 0b00;
    const ZERO: u16 = 0b01;
    const SPECIAL: u16 = 0b10;
    const EMPTY: u16 = 0b11;
    let top = usize::from(fpu.fsw >> 11 & 7);
    let tag = |physical: usize| {
        if fpu.ftwx & 1 << physical == 0 {
            return EMPTY;
        }
        // The image has them from the top of the stack.
        let value = &fpu.fpr[(physical + 8 - top) % 8];
        let exponent = u16::from_le_bytes([value[8], value[9]]) & 0x7fff;
        let has_integer_bit = value[7] & 0x80 != 0;
        let is_zero = value[..8].iter().all(|&byte| byte == 0);
        match (exponent, has_integer_bit) {
            (0, false) if is_zero => ZERO,
            (0 | 0x7fff, _) | (_, false) => SPECIAL,
            (_, true) => VALID,
        }
    };
    (0..8).fold(0, |tags, physical| tags | tag(physical) << (2 * physical))
}

/// One bit for each that is not empty.
fn abridged_tag(full: u16) -> u8 {
    (0..8).fold(0, |tags, physical| {
        let is_used = full >> (2 * physical) & 0b11 != 0b11;
        tags | u8::from(is_used) << physical
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_word_tells_empty_zero_special_and_valid() {
        let mut one = [0; 16];
        one[7..10].copy_from_slice(&[0x80, 0xff, 0x3f]);
        let mut infinity = one;
        infinity[8..10].copy_from_slice(&[0xff, 0x7f]);
        let mut denormal = [0; 16];
        denormal[0] = 1;
        let mut fpu = kvm_fpu {
            // The top is 6: ST0 is physical 6, ST2 physical 0.
            fsw: 6 << 11,
            ftwx: 0b1100_0011,
            ..kvm_fpu::default()
        };
        fpu.fpr[..4].copy_from_slice(&[one, [0; 16], infinity, denormal]);
        assert_eq!(full_tag(&fpu), 0b01_00_11_11_11_11_10_10);
        assert_eq!(abridged_tag(full_tag(&fpu)), fpu.ftwx);
        assert_eq!(full_tag(&kvm_fpu::default()), 0xffff);
        assert_eq!(abridged_tag(0xffff), 0);
    }
}
