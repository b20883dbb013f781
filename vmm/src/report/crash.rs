//! The crash report: a guest that cannot go on, with its registers and the failing instruction.

use std::fmt;

use iced_x86::{Decoder, DecoderOptions, Formatter, GasFormatter, Instruction};
use kvm_bindings::{kvm_regs, kvm_sregs};
use serde::{Deserialize, Serialize};

use super::advice;
use super::hex::{Hex, HexBytes};

/// `EFER.LMA`: the vCPU is in long mode.
const EFER_LMA: u64 = 1 << 10;

/// Why and where a guest crashed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrashReport {
    /// Index of the vCPU.
    pub vcpu: u32,
    /// Its APIC ID.
    pub apic_id: u32,
    /// What stopped it.
    pub reason: CrashReason,
    /// Its registers.
    pub registers: Registers,
    /// Up to 15 bytes at RIP; empty where no memory is mapped.
    pub instruction_bytes: HexBytes,
    /// The same, disassembled in AT&T syntax; null where that is no instruction.
    pub instruction: Option<String>,
    /// The guest's function at RIP and the offset in it, where its image has symbols.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub symbol: Option<String>,
    /// What makes a Linux kernel leave that instruction alone, where KVM cannot emulate it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameter: Option<String>,
}

impl CrashReport {
    /// Disassembles the first of `code`, the bytes at RIP.
    pub fn new(
        vcpu: u32,
        apic_id: u32,
        reason: CrashReason,
        registers: Registers,
        code: Vec<u8>,
    ) -> Self {
        let parameter = match reason {
            CrashReason::EmulationFailure => advice::parameter(registers.bits, &code),
            _ => None,
        };
        Self {
            vcpu,
            apic_id,
            reason,
            symbol: None,
            parameter: parameter.map(str::to_owned),
            instruction: disassemble(registers.bits, registers.rip.0, &code),
            registers,
            instruction_bytes: HexBytes(code),
        }
    }
}

/// What stopped a guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum CrashReason {
    /// A fault while a double fault was delivered (`KVM_EXIT_SHUTDOWN`).
    TripleFault,
    /// KVM has to emulate the instruction and cannot (`KVM_INTERNAL_ERROR_EMULATION`).
    EmulationFailure,
    /// `KVM_EXIT_INTERNAL_ERROR` of another kind.
    InternalError {
        /// `kvm_run.internal.suberror`.
        suberror: u32,
    },
    /// `KVM_EXIT_FAIL_ENTRY`: the processor refused the vCPU's state.
    FailEntry {
        /// The processor's own code.
        hardware_reason: Hex,
    },
    /// The guest met an exception that it cannot serve, and said so.
    GuestException {
        /// Vector, 0 to 31.
        vector: u8,
        /// Error code; 0 where the vector has none.
        error_code: Hex,
        /// Where it happened; the registers below are those of the guest's handler.
        rip: Hex,
        /// The faulting address of a page fault.
        cr2: Hex,
    },
    /// The guest gave up without an exception.
    GuestPanic,
    /// Anything else.
    Other {
        /// What, for a person.
        what: String,
    },
}

impl fmt::Display for CrashReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TripleFault => f.write_str("triple fault"),
            Self::EmulationFailure => f.write_str("KVM cannot emulate an instruction"),
            Self::InternalError { suberror } => write!(f, "KVM internal error {suberror}"),
            Self::FailEntry { hardware_reason } => {
                write!(f, "the processor refused the state ({hardware_reason})")
            }
            Self::GuestException {
                vector,
                error_code,
                rip,
                cr2,
            } => {
                let name = exception_name(*vector);
                write!(
                    f,
                    "{name} (vector {vector}, error code {error_code}) at {rip}"
                )?;
                if *vector == 14 {
                    write!(f, ", address {cr2}")?;
                }
                Ok(())
            }
            Self::GuestPanic => f.write_str("the guest gave up"),
            Self::Other { what } => f.write_str(what),
        }
    }
}

/// Names of vectors 0 to 21, Intel SDM volume 3, table 7-1.
fn exception_name(vector: u8) -> &'static str {
    const NAMES: [&str; 22] = [
        "#DE",
        "#DB",
        "NMI",
        "#BP",
        "#OF",
        "#BR",
        "#UD",
        "#NM",
        "#DF",
        "vector 9",
        "#TS",
        "#NP",
        "#SS",
        "#GP",
        "#PF",
        "vector 15",
        "#MF",
        "#AC",
        "#MC",
        "#XM",
        "#VE",
        "#CP",
    ];
    NAMES.get(usize::from(vector)).unwrap_or(&"exception")
}

/// The registers of a crashed vCPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are the architecture's registers")]
pub struct Registers {
    /// Width of the code segment: 16, 32 or 64.
    pub bits: u32,
    pub rip: Hex,
    pub rflags: Hex,
    pub rax: Hex,
    pub rbx: Hex,
    pub rcx: Hex,
    pub rdx: Hex,
    pub rsi: Hex,
    pub rdi: Hex,
    pub rsp: Hex,
    pub rbp: Hex,
    pub r8: Hex,
    pub r9: Hex,
    pub r10: Hex,
    pub r11: Hex,
    pub r12: Hex,
    pub r13: Hex,
    pub r14: Hex,
    pub r15: Hex,
    pub cr0: Hex,
    pub cr2: Hex,
    pub cr3: Hex,
    pub cr4: Hex,
    pub efer: Hex,
    pub cs: Hex,
    pub ss: Hex,
    pub ds: Hex,
    pub es: Hex,
    pub fs: Hex,
    pub gs: Hex,
}

impl Registers {
    /// From what `KVM_GET_REGS` and `KVM_GET_SREGS` gave.
    pub fn new(regs: &kvm_regs, sregs: &kvm_sregs) -> Self {
        let long = sregs.efer & EFER_LMA != 0 && sregs.cs.l != 0;
        let selector = |value: u16| Hex(value.into());
        Self {
            bits: match (long, sregs.cs.db != 0) {
                (true, _) => 64,
                (false, true) => 32,
                (false, false) => 16,
            },
            rip: Hex(regs.rip),
            rflags: Hex(regs.rflags),
            rax: Hex(regs.rax),
            rbx: Hex(regs.rbx),
            rcx: Hex(regs.rcx),
            rdx: Hex(regs.rdx),
            rsi: Hex(regs.rsi),
            rdi: Hex(regs.rdi),
            rsp: Hex(regs.rsp),
            rbp: Hex(regs.rbp),
            r8: Hex(regs.r8),
            r9: Hex(regs.r9),
            r10: Hex(regs.r10),
            r11: Hex(regs.r11),
            r12: Hex(regs.r12),
            r13: Hex(regs.r13),
            r14: Hex(regs.r14),
            r15: Hex(regs.r15),
            cr0: Hex(sregs.cr0),
            cr2: Hex(sregs.cr2),
            cr3: Hex(sregs.cr3),
            cr4: Hex(sregs.cr4),
            efer: Hex(sregs.efer),
            cs: selector(sregs.cs.selector),
            ss: selector(sregs.ss.selector),
            ds: selector(sregs.ds.selector),
            es: selector(sregs.es.selector),
            fs: selector(sregs.fs.selector),
            gs: selector(sregs.gs.selector),
        }
    }

    fn wide(&self) -> [(&'static str, Hex); 23] {
        [
            ("rip", self.rip),
            ("rsp", self.rsp),
            ("rbp", self.rbp),
            ("rflags", self.rflags),
            ("rax", self.rax),
            ("rbx", self.rbx),
            ("rcx", self.rcx),
            ("rdx", self.rdx),
            ("rsi", self.rsi),
            ("rdi", self.rdi),
            ("r8", self.r8),
            ("r9", self.r9),
            ("r10", self.r10),
            ("r11", self.r11),
            ("r12", self.r12),
            ("r13", self.r13),
            ("r14", self.r14),
            ("r15", self.r15),
            ("cr0", self.cr0),
            ("cr2", self.cr2),
            ("cr3", self.cr3),
            ("cr4", self.cr4),
            ("efer", self.efer),
        ]
    }

    fn selectors(&self) -> [(&'static str, Hex); 6] {
        [
            ("cs", self.cs),
            ("ss", self.ss),
            ("ds", self.ds),
            ("es", self.es),
            ("fs", self.fs),
            ("gs", self.gs),
        ]
    }
}

impl fmt::Display for Registers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in self.wide().chunks(4) {
            f.write_str(" ")?;
            for (name, value) in row {
                write!(f, " {name:>6} {:016x}", value.0)?;
            }
            writeln!(f)?;
        }
        f.write_str(" ")?;
        for (name, value) in self.selectors() {
            write!(f, " {name:>6} {:04x}", value.0)?;
        }
        writeln!(f)
    }
}

/// The first instruction of `code`, in AT&T syntax; `None` where there is none.
fn disassemble(bits: u32, rip: u64, code: &[u8]) -> Option<String> {
    let mut decoder = Decoder::try_with_ip(bits, code, rip, DecoderOptions::NONE).ok()?;
    let instruction: Instruction = decoder.decode();
    if instruction.is_invalid() {
        return None;
    }
    let mut formatter = GasFormatter::new();
    let options = formatter.options_mut();
    options.set_uppercase_hex(false);
    options.set_branch_leading_zeros(false);
    options.set_gas_show_mnemonic_size_suffix(false);
    let mut text = String::new();
    formatter.format(&instruction, &mut text);
    Some(text)
}

impl fmt::Display for CrashReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "crashed: vCPU {} (APIC ID {}): {}",
            self.vcpu, self.apic_id, self.reason
        )?;
        write!(
            f,
            "  at {}{}, {}-bit code: ",
            self.registers.rip,
            self.symbol
                .as_ref()
                .map_or(String::new(), |symbol| format!(" ({symbol})")),
            self.registers.bits
        )?;
        match &self.instruction {
            Some(text) => writeln!(f, "{text}   [{}]", self.instruction_bytes)?,
            None if self.instruction_bytes.0.is_empty() => {
                writeln!(f, "no memory is mapped there")?
            }
            None => writeln!(f, "no instruction   [{}]", self.instruction_bytes)?,
        }
        write!(f, "{}", self.registers)?;
        match &self.parameter {
            Some(parameter) => writeln!(
                f,
                "  a Linux kernel leaves that instruction alone with `{parameter}` on its command line"
            ),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
#[path = "crash_test.rs"]
mod tests;
