//! Loading: from a state to a machine that goes on where another stood.
//!
//! The order is that of `cpu::state::order` for each vCPU. Around it: kvmclock first, because the
//! TSC offsets follow from it; then all vCPUs; then a kick for every vCPU that had one, because
//! only now all local APICs are there to take it; and the clocks once more when the machine goes
//! on, which may be long after.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};

use kvm_bindings::kvm_lapic_state;

use super::Machine;
use super::irqchip;
use super::pause::PausedMachine;
use super::platform::PcMachineState;
use super::save::local_apics;
use super::state::MachineState;
use crate::cpu::clock::{
    ClockPolicy, ClockSample, clock_to_set, tsc_goes_back, tsc_offset_on_target,
};
use crate::cpu::kvmclock::{self, End};
use crate::cpu::state::{self, Kept, Raw, Tsc, TscOutcome};
use crate::device::{counter, pc, serial_state};
use crate::kvm::tsc::host_tsc;
use crate::pv::apic_id::VcpuIndex;
use crate::pv::xen;
use crate::vcpu::ending::Ending;
use crate::vcpu::state::{HiddenKicks, LoadError as VcpuError};

/// How to load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loading {
    /// What the guest's clocks make of the time away.
    pub clock: ClockPolicy,
    /// Kicks that no MP_STATE shows.
    pub hidden_kicks: HiddenKicks,
    /// What this host cannot do as the other could.
    pub shortfalls: Shortfalls,
}

/// What to do about a host that cannot do as the other could.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortfalls {
    /// Load nothing.
    Refuse,
    /// Load what can be loaded (`--force`).
    Accept,
}

/// Why a state cannot be loaded. The machine is of no use then.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Another number of vCPUs.
    #[error("the state has {saved} vCPUs, the machine {here}")]
    OtherMachine {
        /// vCPUs in the state.
        saved: usize,
        /// vCPUs here.
        here: usize,
    },
    /// KVM does not take the clock.
    #[error("KVM_SET_CLOCK")]
    Clock(#[source] kvm_ioctls::Error),
    /// The guest's TSC would go back.
    #[error(
        "the guest's TSC would go back by {ticks} ticks: this host cannot set a TSC offset, and \
         its own TSC is behind (it was started later); --force restores all the same"
    )]
    TscGoesBack {
        /// By how many.
        ticks: u64,
    },
    /// A vCPU.
    #[error("vCPU {0} cannot be loaded")]
    Vcpu(u32, #[source] VcpuError),
    /// A kick that the saved vCPU had cannot be given back.
    #[error("vCPU {0}: its local APIC does not take the kick that it had not consumed")]
    KickRefused(u32, #[source] state::Error),
    /// The source did not know what time it was.
    #[error("--clock realtime: the time of saving is not known; use --clock continue")]
    NoRealtime,
    /// A device.
    #[error(transparent)]
    Counter(#[from] counter::RestoreError),
    /// A device.
    #[error(transparent)]
    Serial(#[from] serial_state::RestoreError),
    /// The build has interrupt controllers and the state none, or the other way round.
    #[error("the state is not one of a machine with these devices")]
    OtherPlatform,
    /// KVM's interrupt controllers or its PIT.
    #[error("the interrupt controllers cannot be set")]
    Irqchip(#[source] kvm_ioctls::Error),
    /// The devices of a PC.
    #[error(transparent)]
    Pc(#[from] pc::RestoreError),
    /// Xen's interface.
    #[error(transparent)]
    Xen(#[from] xen::LoadError),
    /// The machine has Xen's interface and the state has not, or the other way round.
    #[error("of state and machine only one has Xen's interface (--xen)")]
    OtherInterface,
    /// A vCPU's thread has ended.
    #[error("the machine has come to its end")]
    Ended,
}

/// What a loaded machine has to do about its clocks when it goes on.
#[derive(Debug)]
pub struct Arrival {
    policy: ClockPolicy,
    source: ClockSample,
    /// By index: the TSC as it was saved, its rate, and the deadline in its ticks.
    tsc: Vec<SavedTsc>,
}

#[derive(Clone, Debug)]
struct SavedTsc {
    tsc: Tsc,
    /// Its timer has run since it was loaded.
    lapic: Option<Raw<kvm_lapic_state>>,
    khz: Option<u32>,
    deadline: Option<u64>,
}

impl SavedTsc {
    /// The TSC for a host whose clocks say `target`.
    fn on_target(&self, source: &ClockSample, target: &ClockSample) -> Tsc {
        match self.tsc {
            Tsc::Offset(offset) => {
                let khz = self.khz.unwrap_or(0).into();
                Tsc::Offset(tsc_offset_on_target(offset, source, target, khz))
            }
            value @ Tsc::Value(_) => value,
        }
    }
}

impl Arrival {
    fn new(state: &MachineState, policy: ClockPolicy) -> Self {
        let tsc = state.vcpus.iter().map(|vcpu| SavedTsc {
            tsc: vcpu.kvm.tsc,
            lapic: vcpu.kvm.lapic,
            khz: vcpu.kvm.tsc_khz,
            deadline: vcpu.kvm.tsc_deadline,
        });
        Self {
            policy,
            source: state.clock,
            tsc: tsc.collect(),
        }
    }

    /// Sets kvmclock and says what the clocks are here.
    fn set_clock(&self, machine: &Machine) -> Result<ClockSample, LoadError> {
        let refused = LoadError::Clock;
        let data = clock_to_set(&self.source, self.policy);
        machine.vm.set_clock(&data).map_err(refused)?;
        kvmclock::sample(&machine.vm, End::Target).map_err(refused)
    }

    /// A machine that has not gone on yet is saved with the clocks it came with.
    pub(super) fn keep_clocks(&self, state: &mut MachineState) {
        state.clock = self.source;
        for (vcpu, saved) in state.vcpus.iter_mut().zip(&self.tsc) {
            vcpu.kvm.tsc = saved.tsc;
            if let (Some(lapic), Some(saved)) = (&mut vcpu.kvm.lapic, &saved.lapic) {
                state::lapic_timer::set(&mut lapic.0, &saved.0);
            }
            vcpu.kvm.tsc_deadline = saved.deadline;
        }
    }
}

impl PausedMachine<'_> {
    /// Loads `state`; returns how many kicks were given back that no MP_STATE shows.
    ///
    /// # Errors
    /// [`LoadError`]. The machine never runs then.
    pub fn load(&self, state: MachineState, loading: Loading) -> Result<u64, LoadError> {
        self.try_load(state, loading)
            .inspect_err(|_| self.never_again())
    }

    fn try_load(&self, state: MachineState, loading: Loading) -> Result<u64, LoadError> {
        let machine = self.machine();
        let board = &machine.board;
        let (saved, here) = (state.vcpus.len(), board.all().len());
        if saved != here {
            return Err(LoadError::OtherMachine { saved, here });
        }
        if loading.clock == ClockPolicy::Realtime && state.clock.realtime_ns.is_none() {
            return Err(LoadError::NoRealtime);
        }
        board.ports.serial.restore(&state.devices.serial)?;
        board.ports.counter.restore(&state.devices.counter)?;
        board
            .user_hypercalls
            .store(state.devices.user_hypercalls, Relaxed);
        match (&board.xen, &state.xen) {
            (Some(xen), Some(saved)) => xen.interface.load(saved)?,
            (None, None) => {}
            _ => return Err(LoadError::OtherInterface),
        }
        let arrival = Arrival::new(&state, loading.clock);
        let target = arrival.set_clock(machine)?;

        let mut vcpus = state.vcpus;
        if loading.hidden_kicks == HiddenKicks::Lose {
            vcpus = vcpus
                .into_iter()
                .map(crate::vcpu::state::VcpuState::without_hidden_kick)
                .collect();
        }
        for (vcpu, tsc) in vcpus.iter_mut().zip(&arrival.tsc) {
            vcpu.kvm.tsc = tsc.on_target(&arrival.source, &target);
        }
        let hidden: Vec<bool> = vcpus.iter().map(|vcpu| vcpu.has_hidden_kick()).collect();
        let kvm_keeps: Vec<bool> = vcpus.iter().map(|vcpu| vcpu.kvm.pv_unhalted).collect();
        let kept = Arc::new(Kept::to_restore(
            &machine.vm,
            local_apics(machine.blueprint.halt_in),
        ));
        let vcpus = Arc::new(vcpus);
        let loaded = self.each(move |vcpu| {
            vcpus
                .get(vcpu.index().place())
                .map(|state| vcpu.load(state, &kept))
        });
        for (index, outcome) in (0..).zip(loaded) {
            let outcome = outcome.flatten().ok_or(LoadError::Ended)?;
            let tsc = outcome.map_err(|error| LoadError::Vcpu(index, error))?;
            if tsc == TscOutcome::HostsOwn && loading.shortfalls == Shortfalls::Refuse {
                check_tsc(&arrival.source)?;
            }
        }
        self.load_pc(state.pc.as_ref())?;
        let given_back = self.each(move |vcpu| match kvm_keeps.get(vcpu.index().place()) {
            Some(true) => vcpu.give_back_kick(),
            _ => Ok(()),
        });
        for (index, outcome) in (0..).zip(given_back) {
            outcome
                .ok_or(LoadError::Ended)?
                .map_err(|error| LoadError::KickRefused(index, error))?;
        }
        *machine
            .arrival
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(arrival);
        Ok(hidden.iter().map(|hidden| u64::from(*hidden)).sum())
    }

    /// After the vCPUs: an interrupt that the I/O APIC has pending finds its local APIC. The devices
    /// last: they raise their lines again.
    fn load_pc(&self, state: Option<&PcMachineState>) -> Result<(), LoadError> {
        let machine = self.machine();
        match (&machine.board.ports.pc, state) {
            (None, None) => Ok(()),
            (Some(_), Some(state)) => {
                let restored = state.irqchip.restore(&machine.vm);
                restored.map_err(LoadError::Irqchip)?;
                Ok(machine.board.ports.restore_pc(&state.devices)?)
            }
            (Some(_), None) | (None, Some(_)) => Err(LoadError::OtherPlatform),
        }
    }

    /// Lets the machine go on, if nobody else keeps it still. Where it listens the guest is told that
    /// it stood still, and a machine that was loaded gets its clocks.
    ///
    /// # Errors
    /// [`LoadError`]. The machine never runs again then.
    pub fn go_on(self) -> Result<(), LoadError> {
        self.set_clocks().inspect_err(|_| self.never_again())
    }

    /// A machine half of whose state was set must not run.
    fn never_again(&self) {
        let half = std::io::Error::other("the machine's state could not be set");
        let ending = Ending::Failed(VcpuIndex(0), half);
        self.machine().board.end(ending);
    }

    fn set_clocks(&self) -> Result<(), LoadError> {
        let machine = self.machine();
        // Held to the end: nobody saves the clocks while they are being set.
        let mut arrival = machine
            .arrival
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let came = arrival.is_some();
        let adapted = match arrival.take() {
            Some(arrival) => {
                let target = arrival.set_clock(machine)?;
                let mut adapted = arrival.tsc;
                for saved in &mut adapted {
                    saved.tsc = saved.on_target(&arrival.source, &target);
                }
                adapted
            }
            None => Vec::new(),
        };
        let done = self.each(move |vcpu| {
            let (fd, index) = vcpu.kvm();
            let adapted = usize::try_from(index.0).ok().and_then(|at| adapted.get(at));
            if let Some(SavedTsc {
                tsc,
                lapic,
                deadline,
                khz: _,
            }) = adapted
            {
                let lapic = lapic.as_ref().map(|lapic| &lapic.0);
                state::restore_clock(fd, *tsc, lapic, *deadline)?;
            }
            // A guest that cannot be told has no watchdog that asks.
            let _ = kvmclock::tell_stopped(fd);
            Ok::<_, state::Error>(())
        });
        for (index, outcome) in (0..).zip(done) {
            outcome
                .ok_or(LoadError::Ended)?
                .map_err(|error| LoadError::Vcpu(index, error.into()))?;
        }
        if came && machine.board.ports.pc.is_some() {
            // Requests may have come to the local APICs while these were being set.
            irqchip::restart_pit(&machine.vm).map_err(LoadError::Irqchip)?;
            machine.board.ports.serial.raise_again();
        }
        Ok(())
    }
}

/// Where the guest reads the host's own TSC, it must not be behind what the guest has seen.
fn check_tsc(source: &ClockSample) -> Result<(), LoadError> {
    let Some(seen) = source.host_tsc else {
        return Ok(());
    };
    let here = host_tsc();
    if tsc_goes_back(seen, here) {
        return Err(LoadError::TscGoesBack {
            ticks: seen.wrapping_sub(here),
        });
    }
    Ok(())
}
