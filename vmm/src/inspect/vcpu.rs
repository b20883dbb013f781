//! One vCPU of a snapshot.

use serde::Serialize;

use super::lapic::Lapic;
use crate::cpu::state::MpState;
use crate::report::hex::Hex;
use crate::vcpu::inspect::Activity;
use crate::vcpu::state::VcpuState;

const RFLAGS_IF: u64 = 1 << 9;

/// A vCPU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Vcpu {
    /// Its index.
    pub index: u32,
    /// Its x2APIC ID.
    pub apic_id: u32,
    /// What it was doing.
    pub state: State,
    /// KVM's MP_STATE; `None` where the VMM keeps it (`--halt vmm`).
    pub mp_state: Option<&'static str>,
    /// A kick waits to be consumed.
    pub pv_unhalted: bool,
    /// One waits that no MP_STATE shows.
    pub hidden_kick: bool,
    /// RIP.
    pub rip: Hex,
    /// Current privilege level.
    pub cpl: u8,
    /// RFLAGS.IF. With it off, only a kick ends a halt.
    pub interrupts_enabled: bool,
    /// Its local APIC; `None` where the file has none.
    pub lapic: Option<Lapic>,
}

/// What a vCPU was doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It executed instructions.
    Running,
    /// It was halted.
    Halted,
    /// It had not been started.
    WaitingForSipi,
}

impl State {
    /// As the table has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Halted => "halted",
            Self::WaitingForSipi => "not started",
        }
    }
}

impl From<Activity> for State {
    fn from(activity: Activity) -> Self {
        match activity {
            Activity::Running => Self::Running,
            Activity::Halted => Self::Halted,
            Activity::WaitingForSipi => Self::WaitingForSipi,
        }
    }
}

impl Vcpu {
    /// Of a saved vCPU.
    pub fn of(index: u32, saved: &VcpuState) -> Self {
        let regs = &saved.kvm.regs.0;
        let sregs = &saved.kvm.sregs.0;
        let own = saved.own.as_ref();
        let kvms = saved.kvm.lapic.as_ref();
        Self {
            index,
            apic_id: saved.apic_id,
            state: saved.activity().into(),
            mp_state: own.is_none().then(|| mp_state(saved.kvm.mp_state)),
            pv_unhalted: saved.pv_unhalted(),
            hidden_kick: saved.has_hidden_kick(),
            rip: Hex(regs.rip),
            cpl: sregs.ss.dpl & 3,
            interrupts_enabled: regs.rflags & RFLAGS_IF != 0,
            lapic: own
                .map(|own| Lapic::of_vmm(saved.apic_id, &own.lapic))
                .or_else(|| kvms.map(|lapic| Lapic::of_kvm(sregs.apic_base, &lapic.0))),
        }
    }
}

fn mp_state(state: MpState) -> &'static str {
    match state {
        MpState::Runnable => "runnable",
        MpState::Uninitialized => "uninitialized",
        MpState::InitReceived => "init-received",
        MpState::Halted => "halted",
        MpState::SipiReceived => "sipi-received",
        MpState::ApResetHold => "ap-reset-hold",
    }
}
