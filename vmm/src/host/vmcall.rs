use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use guest_payload::abi::KVM_HC_KICK_CPU;
use kvm_ioctls::Kvm;

use super::code::{Op, VMCALL_LEN, assemble};
use super::error::Step;
use super::tiny_vm::{CODE, Exit, LOOK_EVERY, Lapic, Ring, TinyVm};
use super::{HostError, Kind, open_kvm};
use crate::kvm::timer::RunTimer;

/// A `vmcall` under AMD-V traps first and is patched to a `vmmcall`: a step that stays in place.
/// So one step is no verdict, and this many are.
const STEPS: u32 = 3;

/// Only a host whose single step does not end would need it.
const CPU_TIME: Duration = Duration::from_millis(20);

/// Whether a `vmcall` at CPL 0 ever completes.
///
/// Where CPL 0 is emulated it does not: the emulator executes it again for ever. The question is
/// asked by single-stepping it, so the answer counts instructions and no time: no load on the host
/// can change it.
///
/// # Errors
/// Where the VM for it cannot be made or run.
pub fn vmcall_completes(kvm: &Kvm) -> Result<bool, HostError> {
    // A split irqchip, though nothing here needs it: it is the cheapest to make and to close.
    let code = assemble(&[Op::Vmcall, Op::Out(0)]);
    let vm = TinyVm::new(kvm, Lapic::InKernel, &code)?;
    let mut vcpu = vm.add_vcpu(0, Ring::Kernel, None)?;
    vcpu.set_rax(KVM_HC_KICK_CPU)?;
    vcpu.single_step()?;
    let timer = RunTimer::for_this_thread().step("timer_create")?;
    for _ in 0..STEPS {
        match vcpu.run_looking(CPU_TIME, &timer, LOOK_EVERY)? {
            Exit::Debug { rip } if rip == CODE => {}
            Exit::Debug { rip } if rip == CODE + VMCALL_LEN => return Ok(true),
            // A host that cannot step ran on to the `out` behind the `vmcall`, or never got there.
            Exit::Out { .. } => return Ok(true),
            Exit::Unfinished => return Ok(false),
            other => return Err(HostError::Unexpected(format!("vmcall: {other}"))),
        }
    }
    Ok(false)
}

/// How sure the answer to "does a `vmcall` complete?" has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sureness {
    /// Tried, where it is not known. For deciding who takes the kick.
    Tried,
    /// "No" where it is not known. For hiding features that need one.
    Safe,
}

/// The answer to "does a `vmcall` complete?", known or being sought.
#[derive(Debug)]
pub enum VmcallAnswer {
    /// Known from the kind of host.
    Known(bool),
    /// From [`vmcall_completes`] on a thread of its own: making and closing a VM takes as long as
    /// the rest of a start, and nothing needs the answer before the vCPUs are made.
    Sought(Receiver<Result<bool, HostError>>),
}

impl VmcallAnswer {
    /// Looks at the kind of host, and tries it where that does not tell. Signals that end a run
    /// have to be blocked by then: the thread inherits that.
    ///
    /// # Errors
    /// Where a thread cannot be made.
    pub fn seek(sureness: Sureness) -> Result<Self, HostError> {
        match (Kind::detect(), sureness) {
            // The instruction leaves the guest whatever the guest or the VMM does.
            (Kind::Vmx | Kind::Svm, _) => Ok(Self::Known(true)),
            (Kind::Pvm, Sureness::Safe) => Ok(Self::Known(false)),
            (Kind::Pvm | Kind::Unknown, _) => Self::try_it(),
        }
    }

    fn try_it() -> Result<Self, HostError> {
        let (answer, sought) = mpsc::channel();
        thread::Builder::new()
            .name("vmcall-trial".to_owned())
            .spawn(move || {
                // Who asks may have failed elsewhere and be gone.
                let _ = answer.send(open_kvm().and_then(|kvm| vmcall_completes(&kvm)));
            })
            .step("thread")?;
        Ok(Self::Sought(sought))
    }

    /// Waits for the answer.
    ///
    /// # Errors
    /// As [`vmcall_completes`].
    pub fn completes(&mut self) -> Result<bool, HostError> {
        if let Self::Sought(answer) = self {
            let completes = answer.recv().unwrap_or_else(|_| {
                Err(HostError::Unexpected(
                    "the trial of vmcall broke off".into(),
                ))
            })?;
            *self = Self::Known(completes);
        }
        match self {
            Self::Known(completes) => Ok(*completes),
            Self::Sought(_) => Err(HostError::Unexpected("vmcall was not tried".into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{Kind, open_kvm};

    #[test]
    fn stepping_a_vmcall_and_running_it_agree() {
        let kvm = open_kvm().unwrap();
        let code = assemble(&[Op::Vmcall, Op::Out(0)]);
        let vm = TinyVm::new(&kvm, Lapic::None, &code).unwrap();
        let mut vcpu = vm.add_vcpu(0, Ring::Kernel, None).unwrap();
        vcpu.set_rax(KVM_HC_KICK_CPU).unwrap();
        let ran = match vcpu.run(CPU_TIME).unwrap() {
            Exit::Out { .. } => true,
            Exit::Unfinished => false,
            other => panic!("{other}"),
        };
        assert_eq!(vmcall_completes(&kvm).unwrap(), ran);
    }

    #[test]
    fn hardware_virtualization_completes_a_vmcall() {
        if matches!(Kind::detect(), Kind::Vmx | Kind::Svm) {
            assert!(vmcall_completes(&open_kvm().unwrap()).unwrap());
        }
    }
}
