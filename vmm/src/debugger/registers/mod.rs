//! The registers of a vCPU as gdb knows them: one table for their numbers, their sizes and the
//! description that gdb is sent.

mod describe;
mod ioctls;
mod x87;

use std::num::NonZeroUsize;

use gdbstub::arch::{Arch, RegId, Registers};
use kvm_bindings::{kvm_fpu, kvm_regs, kvm_segment, kvm_sregs};

/// x86-64 with the control registers. gdb is not told of other modes: a vCPU in 16- or 32-bit mode
/// has the same registers with upper halves that mean nothing.
#[derive(Debug)]
pub(super) enum X86 {}

impl Arch for X86 {
    type Usize = u64;
    type Registers = AllRegisters;
    type RegId = Register;
    type BreakpointKind = usize;

    fn target_description_xml() -> Option<&'static str> {
        Some(describe::xml())
    }
}

/// One register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Register {
    /// RAX, RBX, RCX, RDX, RSI, RDI, RBP, RSP, R8 to R15.
    General(usize),
    Rip,
    Eflags,
    /// CS, SS, DS, ES, FS, GS.
    Selector(usize),
    St(usize),
    X87(x87::Field),
    Xmm(usize),
    Mxcsr,
    FsBase,
    GsBase,
    KernelGsBase,
    /// CR0, CR2, CR3, CR4, CR8.
    Control(Control),
    Efer,
}

/// A control register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Control {
    Cr0,
    Cr2,
    Cr3,
    Cr4,
    Cr8,
}

/// How many there are.
pub(super) const COUNT: usize = 66;

impl Register {
    /// By gdb's number, which is the order of the description.
    pub(super) fn numbered(number: usize) -> Option<Self> {
        Some(match number {
            0..=15 => Self::General(number),
            16 => Self::Rip,
            17 => Self::Eflags,
            18..=23 => Self::Selector(number - 18),
            24..=31 => Self::St(number - 24),
            32..=39 => Self::X87(x87::Field::ALL[number - 32]),
            40..=55 => Self::Xmm(number - 40),
            56 => Self::Mxcsr,
            57 => Self::FsBase,
            58 => Self::GsBase,
            59 => Self::KernelGsBase,
            60 => Self::Control(Control::Cr0),
            61 => Self::Control(Control::Cr2),
            62 => Self::Control(Control::Cr3),
            63 => Self::Control(Control::Cr4),
            64 => Self::Control(Control::Cr8),
            65 => Self::Efer,
            _ => return None,
        })
    }

    /// All, in that order.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        (0..COUNT).filter_map(Self::numbered)
    }

    /// Its size.
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::Eflags | Self::Selector(_) | Self::X87(_) | Self::Mxcsr => 4,
            Self::St(_) => 10,
            Self::Xmm(_) => 16,
            _ => 8,
        }
    }
}

impl RegId for Register {
    fn from_raw_id(id: usize) -> Option<(Self, Option<NonZeroUsize>)> {
        let register = Self::numbered(id)?;
        Some((register, NonZeroUsize::new(register.bytes())))
    }
}

/// The largest register.
pub(super) const BYTES_MAX: usize = 16;

/// What KVM keeps of the registers that gdb knows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct VcpuRegisters {
    pub(super) regs: kvm_regs,
    pub(super) sregs: kvm_sregs,
    pub(super) fpu: kvm_fpu,
    pub(super) kernel_gs_base: u64,
}

/// A register that cannot have that value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refused;

impl VcpuRegisters {
    /// CR0.PG.
    pub(super) fn has_paging(&self) -> bool {
        self.sregs.cr0 & 1 << 31 != 0
    }

    /// The value of `register`, little-endian, in its first [`Register::bytes`].
    pub(super) fn get(&self, register: Register) -> [u8; BYTES_MAX] {
        let word: u64 = match register {
            Register::St(n) => return self.fpu.fpr[n],
            Register::Xmm(n) => return self.fpu.xmm[n],
            Register::General(n) => *general(&self.regs, n),
            Register::Rip => self.regs.rip,
            Register::Eflags => self.regs.rflags,
            Register::Selector(n) => segment(&self.sregs, n).selector.into(),
            Register::X87(field) => field.get(&self.fpu).into(),
            Register::Mxcsr => self.fpu.mxcsr.into(),
            Register::FsBase => self.sregs.fs.base,
            Register::GsBase => self.sregs.gs.base,
            Register::KernelGsBase => self.kernel_gs_base,
            Register::Control(Control::Cr0) => self.sregs.cr0,
            Register::Control(Control::Cr2) => self.sregs.cr2,
            Register::Control(Control::Cr3) => self.sregs.cr3,
            Register::Control(Control::Cr4) => self.sregs.cr4,
            Register::Control(Control::Cr8) => self.sregs.cr8,
            Register::Efer => self.sregs.efer,
        };
        let mut value = [0; BYTES_MAX];
        value[..8].copy_from_slice(&word.to_le_bytes());
        value
    }

    /// Sets `register` to the little-endian `value`.
    ///
    /// # Errors
    /// [`Refused`] for a value of another size, and for another selector: it would need a
    /// descriptor, which only the guest can load.
    pub(super) fn set(&mut self, register: Register, value: &[u8]) -> Result<(), Refused> {
        if value.len() != register.bytes() {
            return Err(Refused);
        }
        let mut bytes = [0; BYTES_MAX];
        bytes[..value.len()].copy_from_slice(value);
        let mut word = [0; 8];
        word.copy_from_slice(&bytes[..8]);
        let word = u64::from_le_bytes(word);
        match register {
            Register::St(n) => self.fpu.fpr[n][..10].copy_from_slice(value),
            Register::Xmm(n) => self.fpu.xmm[n] = bytes,
            Register::General(n) => *general_mut(&mut self.regs, n) = word,
            Register::Rip => self.regs.rip = word,
            Register::Eflags => self.regs.rflags = word,
            Register::Selector(_) if bytes == self.get(register) => {}
            Register::Selector(_) => return Err(Refused),
            Register::X87(field) => field.set(&mut self.fpu, word),
            Register::Mxcsr => self.fpu.mxcsr = low_half(word),
            Register::FsBase => self.sregs.fs.base = word,
            Register::GsBase => self.sregs.gs.base = word,
            Register::KernelGsBase => self.kernel_gs_base = word,
            Register::Control(Control::Cr0) => self.sregs.cr0 = word,
            Register::Control(Control::Cr2) => self.sregs.cr2 = word,
            Register::Control(Control::Cr3) => self.sregs.cr3 = word,
            Register::Control(Control::Cr4) => self.sregs.cr4 = word,
            Register::Control(Control::Cr8) => self.sregs.cr8 = word,
            Register::Efer => self.sregs.efer = word,
        }
        Ok(())
    }
}

fn low_half(word: u64) -> u32 {
    u32::try_from(word & u64::from(u32::MAX)).unwrap_or_default()
}

macro_rules! general {
    ($regs:expr, $n:expr, $($r:tt)*) => {
        match $n {
            0 => $($r)* $regs.rax,
            1 => $($r)* $regs.rbx,
            2 => $($r)* $regs.rcx,
            3 => $($r)* $regs.rdx,
            4 => $($r)* $regs.rsi,
            5 => $($r)* $regs.rdi,
            6 => $($r)* $regs.rbp,
            7 => $($r)* $regs.rsp,
            8 => $($r)* $regs.r8,
            9 => $($r)* $regs.r9,
            10 => $($r)* $regs.r10,
            11 => $($r)* $regs.r11,
            12 => $($r)* $regs.r12,
            13 => $($r)* $regs.r13,
            14 => $($r)* $regs.r14,
            _ => $($r)* $regs.r15,
        }
    };
}

fn general(regs: &kvm_regs, n: usize) -> &u64 {
    general!(regs, n, &)
}

fn general_mut(regs: &mut kvm_regs, n: usize) -> &mut u64 {
    general!(regs, n, &mut)
}

fn segment(sregs: &kvm_sregs, n: usize) -> &kvm_segment {
    match n {
        0 => &sregs.cs,
        1 => &sregs.ss,
        2 => &sregs.ds,
        3 => &sregs.es,
        4 => &sregs.fs,
        _ => &sregs.gs,
    }
}

/// All registers, as the `g` packet has them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct AllRegisters(Vec<u8>);

impl From<&VcpuRegisters> for AllRegisters {
    fn from(vcpu: &VcpuRegisters) -> Self {
        let value = |register: Register| vcpu.get(register).into_iter().take(register.bytes());
        Self(Register::all().flat_map(value).collect())
    }
}

impl AllRegisters {
    /// Sets all of `vcpu`'s.
    ///
    /// # Errors
    /// [`Refused`]; some may have been set.
    pub(super) fn give_to(&self, vcpu: &mut VcpuRegisters) -> Result<(), Refused> {
        let mut rest = self.0.as_slice();
        for register in Register::all() {
            let (value, behind) = rest.split_at_checked(register.bytes()).ok_or(Refused)?;
            vcpu.set(register, value)?;
            rest = behind;
        }
        Ok(())
    }
}

impl Registers for AllRegisters {
    type ProgramCounter = u64;

    fn pc(&self) -> u64 {
        let rip = self.0.get(16 * 8..17 * 8).unwrap_or_default();
        rip.try_into().map_or(0, u64::from_le_bytes)
    }

    fn gdb_serialize(&self, mut write_byte: impl FnMut(Option<u8>)) {
        self.0.iter().for_each(|&byte| write_byte(Some(byte)));
    }

    fn gdb_deserialize(&mut self, bytes: &[u8]) -> Result<(), ()> {
        self.0 = bytes.to_vec();
        Ok(())
    }
}

#[cfg(test)]
#[path = "registers_test.rs"]
mod tests;
