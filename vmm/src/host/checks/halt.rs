//! Halt and kick: who wakes whom, and where the flag can be seen.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use kvm_bindings::{
    KVM_CAP_X2APIC_API, KVM_MP_STATE_HALTED, KVM_MP_STATE_RUNNABLE, KVM_X2APIC_API_USE_32BIT_IDS,
};

use crate::host::HostError;
use crate::host::check::{CPU_TIME, Finding, Host};
use crate::host::code::{Op, assemble};
use crate::host::error::Step;
use crate::host::tiny_vm::{Exit, Lapic, Ring, TinyVcpu, TinyVm};
use crate::kvm::timer::RunTimer;

const PORT: u8 = 0x82;
const HALTED: Exit = Exit::Waiting {
    mp_state: KVM_MP_STATE_HALTED,
};

/// How long a halted vCPU is left blocked: far longer than the kick takes to come.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long the kick waits for the vCPU to have blocked. It shapes the experiment, not its answer:
/// a kick that comes too early or too late must wake the vCPU as well.
const HEAD_START: Duration = Duration::from_millis(1);

pub(super) fn kick_wakes(host: &Host) -> Result<Finding, HostError> {
    let vm = TinyVm::new(
        host.kvm,
        Lapic::InKernel,
        &assemble(&[Op::Hlt, Op::Out(PORT)]),
    )?;
    // Before the kick: as long as no vCPU has a LAPIC, KVM_SIGNAL_MSI says EPERM.
    let vcpu = kickable(host, &vm, 0)?;
    let (kicked, wait_for_kick) = mpsc::channel();
    let (taken, exit) = thread::scope(|scope| {
        let blocked = scope.spawn(|| halt_until_kicked(vcpu, wait_for_kick));
        thread::sleep(HEAD_START);
        let taken = vm.kick(0);
        // The receiver is gone when the vCPU has ended already.
        let _ = kicked.send(());
        (taken, blocked.join())
    });
    let exit = exit.map_err(|_| HostError::Unexpected("the vCPU thread panicked".to_owned()))??;
    Ok(Finding::either(
        taken? == 1 && exit == Exit::out(PORT),
        "`--kick vmm --halt kvm` works, and `vmm restore` gives a vCPU its hidden kick back",
        "only `--halt vmm` can wake a vCPU here, and keeps its kick through a restore",
    ))
}

/// Runs a vCPU into its HLT and, whether it blocked there for all of [`PATIENCE`] or not, once more
/// when it has been kicked.
fn halt_until_kicked(mut vcpu: TinyVcpu, kicked: mpsc::Receiver<()>) -> Result<Exit, HostError> {
    let timer = RunTimer::for_this_thread().step("timer_create")?;
    match vcpu.run_looking(CPU_TIME, &timer, PATIENCE)? {
        HALTED => {
            let _ = kicked.recv();
            vcpu.run_looking(CPU_TIME, &timer, PATIENCE)
        }
        exit => Ok(exit),
    }
}

pub(super) fn kick_reaches_id_300(host: &Host) -> Result<Finding, HostError> {
    const ID: u32 = 300;
    let vm = TinyVm::new(
        host.kvm,
        Lapic::InKernel,
        &assemble(&[Op::Hlt, Op::Out(PORT)]),
    )?;
    let taken = match vm.enable(KVM_CAP_X2APIC_API, u64::from(KVM_X2APIC_API_USE_32BIT_IDS)) {
        Err(_) => false,
        Ok(()) => {
            let mut vcpu = kickable(host, &vm, ID)?;
            vcpu.run(CPU_TIME)? == HALTED
                && vm.kick(ID)? == 1
                && vcpu.run(CPU_TIME)? == Exit::out(PORT)
        }
    };
    Ok(Finding::either(
        taken,
        "`--halt kvm` works with any topology",
        "`--halt kvm` is limited to APIC IDs up to 254; `--halt vmm` is not",
    ))
}

pub(super) fn halt_by_mp_state(host: &Host) -> Result<Finding, HostError> {
    let vm = TinyVm::new(host.kvm, Lapic::InKernel, &assemble(&[Op::Out(PORT)]))?;
    let mut vcpu = kickable(host, &vm, 0)?;
    vcpu.set_mp_state(KVM_MP_STATE_HALTED)?;
    let blocked = vcpu.run(CPU_TIME)? == HALTED;
    let woken = vm.kick(0)? == 1 && vcpu.run(CPU_TIME)? == Exit::out(PORT);
    Ok(Finding::either(
        blocked && woken,
        "the `halt` stub of the stub page can halt a vCPU in KVM from any ring",
        "under `--halt kvm` a guest must execute HLT itself",
    ))
}

pub(super) fn peek(host: &Host) -> Result<Finding, HostError> {
    let vm = TinyVm::new(host.kvm, Lapic::InKernel, &assemble(&[Op::Hlt]))?;
    let vcpu = kickable(host, &vm, 0)?;
    let without_kick = peek_at(&vcpu)?;
    vm.kick(0)?;
    let with_kick = peek_at(&vcpu)?;
    Ok(Finding::either(
        !without_kick && with_kick,
        "`vmm snapshot` and `migrate` see a kick that came before its HLT, and carry it over",
        "`vmm snapshot` and `migrate` lose such a kick under `--halt kvm`; `--halt vmm` keeps it",
    ))
}

pub(super) fn runnable_clears(host: &Host) -> Result<Finding, HostError> {
    let vm = TinyVm::new(host.kvm, Lapic::InKernel, &assemble(&[Op::Hlt]))?;
    let vcpu = kickable(host, &vm, 0)?;
    vm.kick(0)?;
    if !peek_at(&vcpu)? {
        return Err(HostError::Unexpected(
            "the kick cannot be seen at all (pv_unhalted_peek)".to_owned(),
        ));
    }
    Ok(Finding::either(
        !peek_at(&vcpu)?,
        "as since Linux 6.15: after a look, the source is kicked again as well if it goes on",
        "as before Linux 6.15: a look leaves the flag alone",
    ))
}

/// Whether a kick is pending on a vCPU that is RUNNABLE; puts RUNNABLE back.
fn peek_at(vcpu: &TinyVcpu) -> Result<bool, HostError> {
    vcpu.set_mp_state(KVM_MP_STATE_HALTED)?;
    let seen = vcpu.mp_state()? == KVM_MP_STATE_RUNNABLE;
    vcpu.set_mp_state(KVM_MP_STATE_RUNNABLE)?;
    Ok(seen)
}

pub(super) fn hlt_exits(host: &Host) -> Result<Finding, HostError> {
    let vm = TinyVm::new(host.kvm, Lapic::None, &assemble(&[Op::Hlt, Op::Out(PORT)]))?;
    let mut vcpu = vm.add_vcpu(0, Ring::Kernel, Some(&host.cpuid))?;
    let exits = vcpu.run(CPU_TIME)? == Exit::Hlt && vcpu.run(CPU_TIME)? == Exit::out(PORT);
    Ok(Finding::either(
        exits,
        "`--halt vmm` works: a halted vCPU parks in the VMM",
        "`--halt vmm` works with the `halt` stub only",
    ))
}

pub(super) fn hlt_at_cpl3(host: &Host) -> Result<Finding, HostError> {
    let vm = TinyVm::new(host.kvm, Lapic::None, &assemble(&[Op::Hlt, Op::Out(PORT)]))?;
    let mut vcpu = vm.add_vcpu(0, Ring::User, Some(&host.cpuid))?;
    Ok(match vcpu.run(CPU_TIME)? {
        Exit::Shutdown => Finding::value(
            "faults",
            "as the manual says: ring 3 halts through the `halt` stub or its #GP handler",
        ),
        exit => Finding::value(
            exit.to_string(),
            "not the #GP of the manual: ring 3 halts through the `halt` stub only",
        ),
    })
}

fn kickable(host: &Host, vm: &TinyVm, apic_id: u32) -> Result<TinyVcpu, HostError> {
    let vcpu = vm.add_vcpu(u64::from(apic_id), Ring::Kernel, Some(&host.cpuid))?;
    if apic_id > 254 {
        vcpu.enter_x2apic_mode()?;
    }
    vcpu.enable_lapic()?;
    Ok(vcpu)
}
