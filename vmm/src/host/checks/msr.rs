//! MSRs that KVM hands to the VMM, as a local APIC of our own needs them.

use kvm_bindings::{
    KVM_CAP_X86_USER_SPACE_MSR, KVM_MSR_EXIT_REASON_FILTER, KVM_MSR_EXIT_REASON_INVAL,
    KVM_MSR_EXIT_REASON_UNKNOWN,
};
use kvm_ioctls::{MsrFilterDefaultAction, MsrFilterRange, MsrFilterRangeFlags};

use crate::host::HostError;
use crate::host::check::{CPU_TIME, Finding, Host};
use crate::host::code::{Op, assemble};
use crate::host::error::Step;
use crate::host::tiny_vm::{Exit, Lapic, MSR_ANSWER, Ring, TinyVcpu, TinyVm};

const PORT: u8 = 0x83;
/// Belongs to nobody: outside Intel's, AMD's and KVM's ranges.
const UNKNOWN_MSR: u32 = 0x4b56_4d7f;
const IA32_APIC_BASE: u32 = 0x1b;
const APIC_BASE_DEFAULT: u32 = 0xfee0_0900;
const APIC_BASE_X2APIC: u32 = 1 << 10;

#[derive(Debug, Clone, Copy)]
enum Access {
    Read(u32),
    Write(u32, u32),
}

impl Access {
    fn msr(self) -> u32 {
        match self {
            Self::Read(msr) | Self::Write(msr, _) => msr,
        }
    }

    fn name(self) -> String {
        match self {
            Self::Read(msr) => format!("RDMSR {msr:#x}"),
            Self::Write(msr, _) => format!("WRMSR {msr:#x}"),
        }
    }
}

/// What became of an access.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It exited to the VMM, and its answer reached the guest.
    Exits,
    /// KVM did it.
    DoneByKvm,
    /// #GP.
    Faults,
    /// None of these.
    Other(Exit),
}

impl Fate {
    fn name(self) -> String {
        match self {
            Self::Exits => "exits".to_owned(),
            Self::DoneByKvm => "accepted by KVM".to_owned(),
            Self::Faults => "faults".to_owned(),
            Self::Other(exit) => exit.to_string(),
        }
    }
}

/// Whether the VM has a filter that denies [`IA32_APIC_BASE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Filter {
    None,
    ApicBase,
}

pub(super) fn unknown(host: &Host) -> Result<Finding, HostError> {
    let both = [Access::Read(UNKNOWN_MSR), Access::Write(UNKNOWN_MSR, 7)];
    let fates = fates(host, &both)?;
    Ok(Finding::either(
        fates.iter().all(|&fate| fate == Fate::Exits),
        "the VMM can have MSRs of its own",
        "a guest's access to an MSR that KVM does not know is a #GP",
    ))
}

pub(super) fn x2apic(host: &Host) -> Result<Finding, HostError> {
    let accesses = [
        Access::Read(0x802), // ID
        Access::Read(0x80f), // spurious-interrupt vector
        Access::Write(0x80f, 0x1ff),
        Access::Read(0x830), // interrupt command
        Access::Write(0x830, 0x500),
    ];
    let fates = fates(host, &accesses)?;
    if fates.iter().all(|&fate| fate == Fate::Exits) {
        return Ok(Finding::either(
            true,
            "`--halt vmm` can give its vCPUs an x2APIC",
            "",
        ));
    }
    let each: Vec<String> = accesses
        .iter()
        .zip(&fates)
        .map(|(access, fate)| format!("{} {}", access.name(), fate.name()))
        .collect();
    Ok(Finding::value(
        each.join(", "),
        "`--halt vmm` gives its vCPUs an xAPIC only",
    ))
}

pub(super) fn apic_base(host: &Host) -> Result<Finding, HostError> {
    let (fate, mut vcpu) = attempt(host, ENABLE_X2APIC, Filter::None)?;
    let kept = vcpu.fd().get_sregs().step("KVM_GET_SREGS")?.apic_base;
    let meaning = match fate {
        Fate::DoneByKvm if kept & u64::from(APIC_BASE_X2APIC) != 0 => {
            "KVM keeps the bit, `--halt vmm` reads it from there"
        }
        Fate::DoneByKvm => "and forgotten: `--halt vmm` takes the MSR over with a filter",
        Fate::Exits => "`--halt vmm` keeps the bit",
        Fate::Faults | Fate::Other(_) => "`--halt vmm` has to start its vCPUs in x2APIC mode",
    };
    Ok(Finding::value(fate.name(), meaning))
}

pub(super) fn apic_base_filtered(host: &Host) -> Result<Finding, HostError> {
    Ok(Finding::either(
        fate(host, ENABLE_X2APIC, Filter::ApicBase)? == Fate::Exits,
        "`--halt vmm` can take IA32_APIC_BASE over wherever KVM's answer is not its own",
        "IA32_APIC_BASE is KVM's own: `--halt vmm` takes what it says",
    ))
}

const ENABLE_X2APIC: Access = Access::Write(IA32_APIC_BASE, APIC_BASE_DEFAULT | APIC_BASE_X2APIC);

fn fates(host: &Host, accesses: &[Access]) -> Result<Vec<Fate>, HostError> {
    let each = accesses.iter();
    each.map(|&access| fate(host, access, Filter::None))
        .collect()
}

fn fate(host: &Host, access: Access, filter: Filter) -> Result<Fate, HostError> {
    attempt(host, access, filter).map(|(fate, _)| fate)
}

fn attempt(host: &Host, access: Access, filter: Filter) -> Result<(Fate, TinyVcpu), HostError> {
    let code = match access {
        Access::Read(msr) => assemble(&[Op::Ecx(msr), Op::Rdmsr, Op::Out(PORT)]),
        Access::Write(msr, value) => assemble(&[
            Op::Ecx(msr),
            Op::Edx(0),
            Op::Eax(value),
            Op::Wrmsr,
            Op::Out(PORT),
        ]),
    };
    let vm = TinyVm::new(host.kvm, Lapic::None, &code)?;
    let reasons =
        KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_UNKNOWN | KVM_MSR_EXIT_REASON_FILTER;
    vm.enable(KVM_CAP_X86_USER_SPACE_MSR, u64::from(reasons))
        .step("KVM_CAP_X86_USER_SPACE_MSR")?;
    if filter == Filter::ApicBase {
        deny(&vm, IA32_APIC_BASE)?;
    }
    let mut vcpu = vm.add_vcpu(0, Ring::Kernel, Some(&host.cpuid))?;
    let handed_out = match access {
        Access::Read(index) => Exit::ReadMsr { index },
        Access::Write(index, data) => Exit::WriteMsr {
            index,
            data: data.into(),
        },
    };
    let fate = match vcpu.run(CPU_TIME)? {
        exit if exit == handed_out => match vcpu.run(CPU_TIME)? {
            exit if exit != Exit::out(PORT) => Fate::Other(exit),
            _ if matches!(access, Access::Read(_)) && vcpu.regs()?.rax != MSR_ANSWER => {
                return Err(HostError::Unexpected(format!(
                    "MSR {:#x}: the answer did not reach the guest",
                    access.msr()
                )));
            }
            _ => Fate::Exits,
        },
        exit if exit == Exit::out(PORT) => Fate::DoneByKvm,
        Exit::Shutdown => Fate::Faults,
        exit => Fate::Other(exit),
    };
    Ok((fate, vcpu))
}

fn deny(vm: &TinyVm, msr: u32) -> Result<(), HostError> {
    let range = MsrFilterRange {
        flags: MsrFilterRangeFlags::READ | MsrFilterRangeFlags::WRITE,
        base: msr,
        msr_count: 1,
        bitmap: &[0],
    };
    vm.fd()
        .set_msr_filter(MsrFilterDefaultAction::ALLOW, &[range])
        .step("KVM_X86_SET_MSR_FILTER")
}
