//! A saved local APIC, KVM's or ours.
//!
//! Registers: SDM vol. 3, table 11-1.

use std::fmt;

use kvm_bindings::kvm_lapic_state;
use serde::Serialize;

use crate::cpu::lapic::{
    APIC_BASE_ENABLE, APIC_BASE_X2APIC, ID_AT, SVR_AT, SVR_ENABLED, SavedLapic,
};

const TPR: usize = 0x80;
const ISR: usize = 0x100;
const IRR: usize = 0x200;
const LVT_TIMER: usize = 0x320;

const LVT_MASKED: u32 = 1 << 16;
const TIMER_MODE_SHIFT: u32 = 17;

/// Vectors that a line has room for.
const VECTORS_SHOWN: usize = 3;

/// A local APIC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lapic {
    /// Who keeps it.
    pub kept_by: Keeper,
    /// IA32_APIC_BASE.
    pub mode: Mode,
    /// SVR bit 8: enabled by software.
    pub enabled: bool,
    /// Its ID register.
    pub id: u32,
    /// TPR.
    pub tpr: u32,
    /// The timer's entry of the local vector table.
    pub timer: Timer,
    /// IRR: vectors that wait for delivery.
    pub requested: Vec<u8>,
    /// ISR: vectors that are being served.
    pub in_service: Vec<u8>,
}

/// Who keeps a local APIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Keeper {
    /// KVM (`--halt kvm`).
    Kvm,
    /// The VMM (`--halt vmm`), which delivers no interrupts.
    Vmm,
}

/// What IA32_APIC_BASE selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Off.
    Disabled,
    /// Registers in memory.
    Xapic,
    /// Registers in MSRs.
    X2apic,
}

/// The timer's entry of the local vector table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Timer {
    /// How it counts.
    pub mode: TimerMode,
    /// The vector it raises.
    pub vector: u8,
    /// Raises nothing.
    pub masked: bool,
}

/// How a local APIC's timer counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TimerMode {
    /// Down, once.
    OneShot,
    /// Down, again and again.
    Periodic,
    /// Not at all: it waits for a TSC.
    TscDeadline,
    /// Nobody says.
    Reserved,
}

impl Lapic {
    /// KVM's. `base` is IA32_APIC_BASE.
    pub fn of_kvm(base: u64, state: &kvm_lapic_state) -> Self {
        let register = |offset: usize| {
            let bytes = state.regs.get(offset..offset + 4).unwrap_or_default();
            let bytes = bytes.iter().rev();
            bytes.fold(0, |word, byte| word << 8 | u32::from(byte.cast_unsigned()))
        };
        // With 32-bit IDs, which every machine has whose local APICs are KVM's.
        let id = match Mode::of(base) {
            Mode::X2apic => register(ID_AT),
            Mode::Disabled | Mode::Xapic => register(ID_AT) >> 24,
        };
        Self::new(Keeper::Kvm, base, id, register)
    }

    /// Ours, of the vCPU with this APIC ID.
    pub fn of_vmm(apic_id: u32, saved: &SavedLapic) -> Self {
        let register = |offset| saved.register(offset);
        Self::new(Keeper::Vmm, saved.base(), apic_id, register)
    }

    fn new(kept_by: Keeper, base: u64, id: u32, register: impl Fn(usize) -> u32) -> Self {
        let timer = register(LVT_TIMER);
        Self {
            kept_by,
            mode: Mode::of(base),
            enabled: register(SVR_AT) & SVR_ENABLED != 0,
            id,
            tpr: register(TPR),
            timer: Timer {
                mode: match timer >> TIMER_MODE_SHIFT & 3 {
                    0 => TimerMode::OneShot,
                    1 => TimerMode::Periodic,
                    2 => TimerMode::TscDeadline,
                    _ => TimerMode::Reserved,
                },
                vector: timer.to_le_bytes()[0],
                masked: timer & LVT_MASKED != 0,
            },
            requested: vectors(|word| register(IRR + 16 * word)),
            in_service: vectors(|word| register(ISR + 16 * word)),
        }
    }
}

/// The vectors whose bits are set in 8 words.
fn vectors(word: impl Fn(usize) -> u32) -> Vec<u8> {
    (0..=u8::MAX)
        .filter(|vector| word(usize::from(vector / 32)) & 1 << (vector % 32) != 0)
        .collect()
}

impl Mode {
    fn of(base: u64) -> Self {
        match (base & APIC_BASE_ENABLE != 0, base & APIC_BASE_X2APIC != 0) {
            (false, _) => Self::Disabled,
            (true, false) => Self::Xapic,
            (true, true) => Self::X2apic,
        }
    }
}

impl fmt::Display for Lapic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            mode,
            enabled,
            tpr,
            timer,
            ..
        } = self;
        f.write_str(match mode {
            Mode::Disabled => "disabled",
            Mode::Xapic => "xAPIC",
            Mode::X2apic => "x2APIC",
        })?;
        f.write_str(if *enabled { " on" } else { " off" })?;
        if *tpr != 0 {
            write!(f, ", TPR {tpr:#x}")?;
        }
        if timer.masked {
            f.write_str(", no timer")?;
        } else {
            let how = match timer.mode {
                TimerMode::OneShot => "once",
                TimerMode::Periodic => "periodic",
                TimerMode::TscDeadline => "deadline",
                TimerMode::Reserved => "reserved",
            };
            write!(f, ", timer {how} {:#x}", timer.vector)?;
        }
        for (name, vectors) in [("IRR", &self.requested), ("ISR", &self.in_service)] {
            if vectors.is_empty() {
                continue;
            }
            write!(f, ", {name}")?;
            for vector in vectors.iter().take(VECTORS_SHOWN) {
                write!(f, " {vector:#x}")?;
            }
            if vectors.len() > VECTORS_SHOWN {
                write!(f, " +{}", vectors.len() - VECTORS_SHOWN)?;
            }
        }
        Ok(())
    }
}
