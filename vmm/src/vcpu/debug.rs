//! KVM_SET_GUEST_DEBUG of one vCPU, which has two users: the kick of a guest without a stub page,
//! and a debugger.
//!
//! KVM keeps one setting a vCPU and an exit does not say whose it is, so both are put together and
//! taken apart here and nowhere else.

use std::collections::BTreeSet;
use std::sync::Arc;

use kvm_bindings::{
    KVM_GUESTDBG_BLOCKIRQ, KVM_GUESTDBG_ENABLE, KVM_GUESTDBG_SINGLESTEP, KVM_GUESTDBG_USE_HW_BP,
    KVM_GUESTDBG_USE_SW_BP, kvm_debug_exit_arch, kvm_guest_debug,
};
use kvm_ioctls::VcpuFd;

/// DR0 to DR3.
const REGISTERS: usize = 4;
/// DR7.GE and the bit that is always 1 (SDM vol. 3, 18.2.4).
const DR7_BASE: u64 = 1 << 9 | 1 << 10;
/// DR6.BS: a single step.
const DR6_BS: u64 = 1 << 14;
/// `kvm_debug_exit_arch::exception` of #DB and #BP.
const DB_VECTOR: u32 = 1;
const BP_VECTOR: u32 = 3;

/// What the processor watches for with one debug register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// The instruction that begins at this linear address is next.
    Execute(u64),
    /// One of these bytes is written.
    Write(Span),
    /// One of these bytes is read or written.
    Access(Span),
}

/// Bytes that one debug register can watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    address: u64,
    bytes: u64,
}

impl Span {
    /// `bytes` bytes at the linear address `address`; `None` for what a debug register cannot
    /// hold: 1, 2, 4 or 8 bytes at a multiple of their number (SDM vol. 3, 18.2.5).
    pub fn new(address: u64, bytes: u64) -> Option<Self> {
        let fits = matches!(bytes, 1 | 2 | 4 | 8) && address.is_multiple_of(bytes);
        fits.then_some(Self { address, bytes })
    }

    /// Its first byte.
    pub fn address(self) -> u64 {
        self.address
    }
}

impl Point {
    fn address(self) -> u64 {
        match self {
            Self::Execute(address) => address,
            Self::Write(span) | Self::Access(span) => span.address,
        }
    }

    /// R/W and LEN as DR7 has them for register 0.
    fn dr7_type(self) -> u64 {
        let (kind, bytes) = match self {
            Self::Execute(_) => (0b00, 1),
            Self::Write(span) => (0b01, span.bytes),
            Self::Access(span) => (0b11, span.bytes),
        };
        let length = match bytes {
            2 => 0b01,
            4 => 0b11,
            8 => 0b10,
            _ => 0b00,
        };
        length << 2 | kind
    }
}

/// Whether the vCPU stops after one instruction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stepping {
    /// It does not.
    #[default]
    Off,
    /// It does, and may take an interrupt instead of the instruction.
    On,
    /// It does, and no interrupt comes between (`KVM_GUESTDBG_BLOCKIRQ`).
    WithoutInterrupts,
}

/// The instruction of a software breakpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trap {
    /// `int3`.
    #[default]
    Int3,
    /// `out %al,(%dx)`, where KVM does not stop a guest at an `int3` in CPL 3.
    PortOut,
}

impl Trap {
    /// Its one byte.
    pub fn opcode(self) -> u8 {
        match self {
            Self::Int3 => 0xcc,
            Self::PortOut => 0xee,
        }
    }
}

/// What a debugger wants of a vCPU.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Debugger {
    /// Execute breakpoints and watchpoints, at most [`GuestDebug::free_registers`].
    pub points: Vec<Point>,
    /// Linear addresses at which the debugger has put `trap`.
    pub planted: Arc<BTreeSet<u64>>,
    /// What it puts there.
    pub trap: Trap,
    /// One instruction at a time.
    pub stepping: Stepping,
}

/// Why a vCPU left the guest with `KVM_EXIT_DEBUG`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The `vmcall` of the guest's kick is next.
    KickSite,
    /// The instruction at one of the debugger's execute points is next.
    HardwareBreak,
    /// The instruction just done touched what this point of the debugger's watches.
    Watch(Point),
    /// One instruction is done.
    Step,
    /// What the debugger has planted is next.
    SoftwareBreak,
    /// It is the guest's own exception and has to be injected.
    Guests(Exception),
}

/// An exception that KVM took from the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exception {
    /// #DB, with the bits that DR6 gets.
    Debug {
        /// Bits of DR6.
        dr6: u64,
    },
    /// #BP; RIP is at the INT3.
    Breakpoint,
}

/// A debugger asks for more points than there are registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{asked} break- and watchpoints in debug registers, and {free} are free")]
pub struct TooManyPoints {
    asked: usize,
    free: usize,
}

/// The setting of one vCPU.
#[derive(Clone, Debug, Default)]
pub struct GuestDebug {
    kick_site: Option<u64>,
    debugger: Debugger,
    /// KVM was told something, so it has to be told when that is over.
    is_set: bool,
}

impl GuestDebug {
    /// With a hardware breakpoint on the `vmcall` at this linear address.
    pub fn new(kick_site: Option<u64>) -> Self {
        Self {
            kick_site,
            ..Self::default()
        }
    }

    /// The `vmcall`, if there is one to stop at.
    pub fn kick_site(&self) -> Option<u64> {
        self.kick_site
    }

    /// How many points a debugger may have.
    pub fn free_registers(&self) -> usize {
        REGISTERS - self.first_free()
    }

    /// Takes the debugger's wishes over. [`Self::apply`] makes them so.
    ///
    /// # Errors
    /// [`TooManyPoints`]; nothing has changed.
    pub fn set_debugger(&mut self, debugger: Debugger) -> Result<(), TooManyPoints> {
        self.check(debugger.points.len())?;
        self.debugger = debugger;
        Ok(())
    }

    /// What the debugger wants.
    pub fn debugger(&self) -> &Debugger {
        &self.debugger
    }

    /// Tells KVM. After all other changes of the vCPU's registers: KVM arms a single step for the
    /// RIP that it finds now, and KVM_SET_REGS with another one disarms it (`kvm_set_rflags` of
    /// Linux's arch/x86/kvm/x86.c).
    ///
    /// # Errors
    /// What KVM says.
    pub fn apply(&mut self, fd: &VcpuFd) -> Result<(), kvm_ioctls::Error> {
        let setting = self.setting();
        let is_set = setting.control != 0;
        if is_set || self.is_set {
            fd.set_guest_debug(&setting)?;
            self.is_set = is_set;
        }
        Ok(())
    }

    /// Whose an exit is.
    pub fn classify(&self, exit: &kvm_debug_exit_arch) -> Stop {
        match exit.exception {
            BP_VECTOR if self.is_planted(exit.pc) => Stop::SoftwareBreak,
            BP_VECTOR => Stop::Guests(Exception::Breakpoint),
            DB_VECTOR => self.classify_debug(exit.pc, exit.dr6),
            // KVM has no other; an unknown one must not look like a step.
            _ => Stop::Guests(Exception::Debug { dr6: exit.dr6 }),
        }
    }

    /// Whether a write to a port may be a software breakpoint.
    pub fn traps_port_out(&self) -> bool {
        self.debugger.trap == Trap::PortOut && !self.debugger.planted.is_empty()
    }

    /// Whether the debugger has planted something at this linear address.
    pub fn is_planted(&self, address: u64) -> bool {
        self.debugger.planted.contains(&address)
    }

    /// The debugger comes first: when it lets the vCPU go on, the kick's breakpoint is still there.
    fn classify_debug(&self, pc: u64, dr6: u64) -> Stop {
        let hit = |register: usize| dr6 & 1 << register != 0;
        let first = self.first_free();
        for (register, &point) in (first..).zip(&self.debugger.points) {
            if hit(register) {
                return match point {
                    Point::Execute(_) => Stop::HardwareBreak,
                    Point::Write(_) | Point::Access(_) => Stop::Watch(point),
                };
            }
        }
        if dr6 & DR6_BS != 0 && self.debugger.stepping != Stepping::Off {
            return Stop::Step;
        }
        if self.kick_site.is_some() && hit(0) {
            // The register stops the vCPU before it comes to what is planted there.
            if self.is_planted(pc) {
                return Stop::SoftwareBreak;
            }
            return Stop::KickSite;
        }
        Stop::Guests(Exception::Debug { dr6 })
    }

    fn check(&self, asked: usize) -> Result<(), TooManyPoints> {
        let free = self.free_registers();
        if asked > free {
            return Err(TooManyPoints { asked, free });
        }
        Ok(())
    }

    /// The first register that is not the kick's.
    fn first_free(&self) -> usize {
        usize::from(self.kick_site.is_some())
    }

    fn setting(&self) -> kvm_guest_debug {
        let mut setting = kvm_guest_debug::default();
        let kick_site = self.kick_site.map(Point::Execute);
        let points = kick_site
            .into_iter()
            .chain(self.debugger.points.iter().copied());
        let mut dr7 = 0;
        for (register, point) in points.enumerate() {
            setting.arch.debugreg[register] = point.address();
            // The global enable bit: the local one goes at a task switch.
            dr7 |= 0b10 << (2 * register) | point.dr7_type() << (16 + 4 * register);
        }
        if dr7 != 0 {
            setting.arch.debugreg[7] = dr7 | DR7_BASE;
            setting.control |= KVM_GUESTDBG_USE_HW_BP;
        }
        if self.debugger.trap == Trap::Int3 && !self.debugger.planted.is_empty() {
            setting.control |= KVM_GUESTDBG_USE_SW_BP;
        }
        match self.debugger.stepping {
            Stepping::Off => {}
            Stepping::On => setting.control |= KVM_GUESTDBG_SINGLESTEP,
            Stepping::WithoutInterrupts => {
                setting.control |= KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_BLOCKIRQ;
            }
        }
        if setting.control != 0 {
            setting.control |= KVM_GUESTDBG_ENABLE;
        }
        setting
    }
}

#[cfg(test)]
#[path = "debug_test.rs"]
mod tests;
