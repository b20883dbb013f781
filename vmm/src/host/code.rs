//! The few instructions that experiments are made of, and their machine code.

/// One instruction of 64-bit mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// `mov eax, imm32`
    Eax(u32),
    /// `mov ecx, imm32`
    Ecx(u32),
    /// `mov edx, imm32`
    Edx(u32),
    /// `vmcall`
    Vmcall,
    /// `hlt`
    Hlt,
    /// `rdmsr`
    Rdmsr,
    /// `wrmsr`
    Wrmsr,
    /// `out imm8, al`
    Out(u8),
    /// `mov byte [disp32], al`
    Store(u32),
    /// `dec ecx; jnz` back by this many bytes before the `dec`.
    Loop {
        /// Bytes of loop body before the `dec`.
        body: u8,
    },
}

/// Bytes of a `vmcall`.
pub const VMCALL_LEN: u64 = 3;
/// Bytes of an `out imm8, al`.
pub const OUT_LEN: u8 = 2;

/// The machine code of a few instructions.
#[must_use]
pub fn assemble(ops: &[Op]) -> Vec<u8> {
    let mut code = Vec::with_capacity(ops.len() * 8);
    let imm32 = |code: &mut Vec<u8>, opcode: &[u8], value: u32| {
        code.extend_from_slice(opcode);
        code.extend_from_slice(&value.to_le_bytes());
    };
    for &op in ops {
        match op {
            Op::Eax(value) => imm32(&mut code, &[0xb8], value),
            Op::Ecx(value) => imm32(&mut code, &[0xb9], value),
            Op::Edx(value) => imm32(&mut code, &[0xba], value),
            Op::Vmcall => code.extend_from_slice(&[0x0f, 0x01, 0xc1]),
            Op::Hlt => code.push(0xf4),
            Op::Rdmsr => code.extend_from_slice(&[0x0f, 0x32]),
            Op::Wrmsr => code.extend_from_slice(&[0x0f, 0x30]),
            Op::Out(port) => code.extend_from_slice(&[0xe6, port]),
            Op::Store(address) => imm32(&mut code, &[0x88, 0x04, 0x25], address),
            // `dec ecx` (2 bytes) and `jnz rel8` (2 bytes) lie between the target and the next RIP.
            Op::Loop { body } => {
                code.extend_from_slice(&[0xff, 0xc9, 0x75, 0_u8.wrapping_sub(body + 4)]);
            }
        }
    }
    code
}

#[cfg(test)]
mod tests {
    use iced_x86::{Decoder, DecoderOptions, Formatter, GasFormatter};

    use super::*;

    #[test]
    fn a_disassembler_reads_back_what_was_meant() {
        let code = assemble(&[
            Op::Eax(5),
            Op::Ecx(7),
            Op::Edx(1),
            Op::Vmcall,
            Op::Hlt,
            Op::Rdmsr,
            Op::Wrmsr,
            Op::Store(0x5000),
            Op::Out(0x80),
            Op::Loop { body: OUT_LEN },
            Op::Loop { body: 0 },
        ]);
        let mut formatter = GasFormatter::new();
        let text: Vec<String> = Decoder::with_ip(64, &code, 0x1000, DecoderOptions::NONE)
            .iter()
            .map(|instruction| {
                let mut line = String::new();
                formatter.format(&instruction, &mut line);
                line
            })
            .collect();
        assert_eq!(
            text,
            &[
                "mov $5,%eax",
                "mov $7,%ecx",
                "mov $1,%edx",
                "vmcall",
                "hlt",
                "rdmsr",
                "wrmsr",
                "mov %al,0x5000",
                "out %al,$0x80",
                "dec %ecx",
                "jne 0x000000000000101E",
                "dec %ecx",
                "jne 0x0000000000001024",
            ],
        );
    }
}
