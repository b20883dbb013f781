//! Two vCPUs with the payload loaded.

use std::error::Error;
use std::sync::Arc;

use kvm_bindings::{
    KVM_CAP_SPLIT_IRQCHIP, KVM_CAP_X2APIC_API, KVM_CAP_X86_USER_SPACE_MSR, KVM_MAX_CPUID_ENTRIES,
    KVM_MSR_EXIT_REASON_FILTER, KVM_MSR_EXIT_REASON_INVAL, KVM_MSR_EXIT_REASON_UNKNOWN,
    kvm_enable_cap,
};
use kvm_ioctls::{Kvm, MsrFilterDefaultAction, MsrFilterRange, MsrFilterRangeFlags, VcpuFd, VmFd};
use vm_memory::GuestMemoryMmap;
use vmm::boot::registers;
use vmm::cpu::cpuid::CpuidTemplate;
use vmm::cpu::lapic::MSR_APIC_BASE;
use vmm::cpu::pv_leaves::{KickTaker, LocalApics, Offer, PvFeatures, Vmcall};
use vmm::cpu::topology::Topology;
use vmm::machine::guest::{LoadedGuest, Stub};
use vmm::machine::linux_cmdline::Cmdline;
use vmm::machine::results::PayloadView;
use vmm::memory::{self, MemorySize, WriteLog};
use vmm::pv::{HaltIn, KickBy};
use vmm::report::payload::Tally;
use vmm::report::percentile::WaitNs;
use vmm::spec::{GivenCmdline, Guest};

use crate::serve::{self, Shared};

/// The kicking vCPU and its target.
pub(crate) const VCPUS: u32 = 2;
const MEMORY: MemorySize = MemorySize::from_mib(128);

type Failure = Box<dyn Error + Send + Sync>;

/// Ready to run.
#[derive(Debug)]
pub(crate) struct Machine {
    vm: Arc<VmFd>,
    memory: GuestMemoryMmap,
    results: u64,
    halt: HaltIn,
    vcpus: Vec<VcpuFd>,
}

impl Machine {
    /// Loads the payload with `cmdline`.
    pub(crate) fn build(kick: KickBy, halt: HaltIn, cmdline: &str) -> Result<Self, Failure> {
        let kvm = Kvm::new()?;
        let guest = LoadedGuest::read(&Guest::Bundled, &[], MEMORY)?;
        let vm = kvm.create_vm()?;
        let memory = memory::map(MEMORY)?;
        memory::register(&vm, &memory, WriteLog::Off)?;
        let topology = Topology::flat(VCPUS)?;
        let ids: Vec<u32> = topology.apic_ids().collect();
        let entry = guest.load(
            &memory,
            MEMORY,
            &Cmdline::as_given(&GivenCmdline::Text(cmdline.to_owned())),
            &ids,
        )?;
        if kick == KickBy::Vmm {
            guest.take_over_stubs(&memory, &[Stub::Hypercall, Stub::Halt])?;
        }
        match halt {
            HaltIn::Kvm => {
                enable(&vm, KVM_CAP_SPLIT_IRQCHIP, 24)?;
                enable(&vm, KVM_CAP_X2APIC_API, 1)?;
            }
            HaltIn::Vmm => take_local_apics(&vm)?,
        }
        let supported = kvm.get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)?;
        let mut cpuid = CpuidTemplate::new(&supported, &features(kick, halt), &topology)?;
        let mut vcpus = Vec::new();
        for (index, id) in (0..).zip(ids) {
            let vcpu = vm.create_vcpu(id.into())?;
            vcpu.set_cpuid2(cpuid.for_vcpu(index))?;
            vcpus.push(vcpu);
        }
        let mut sregs = vcpus[0].get_sregs()?;
        let regs = registers::start(entry, &mut sregs);
        vcpus[0].set_sregs(&sregs)?;
        vcpus[0].set_regs(&regs)?;
        Ok(Self {
            vm: Arc::new(vm),
            memory,
            results: guest.results().ok_or("the payload has no results")?,
            halt,
            vcpus,
        })
    }

    /// Runs it to its end and returns the target's waits.
    pub(crate) fn run(self) -> Result<WaitNs, Failure> {
        let shared = Arc::new(Shared::new(self.vm));
        let (done, ended) = std::sync::mpsc::channel();
        for (index, vcpu) in self.vcpus.into_iter().enumerate() {
            let (shared, done) = (Arc::clone(&shared), done.clone());
            std::thread::spawn(move || {
                let end = match self.halt {
                    HaltIn::Kvm => serve::with_kvm_halts(vcpu, index, &shared),
                    HaltIn::Vmm => serve::with_own_halts(vcpu, index, &shared),
                };
                // Who listens has heard enough once one vCPU is done.
                let _ = done.send(end);
            });
        }
        ended.recv()?.map_err(|error| format!("KVM_RUN: {error}"))?;
        let view = PayloadView::new(&self.memory, self.results, VCPUS);
        let header = view.header().ok_or("the payload wrote no results")?;
        let mut tally = Tally::default();
        view.cpus(&header).iter().for_each(|cpu| tally.add(cpu));
        let wait = tally.finish(1.0, header.tsc_khz).wait_ns;
        Ok(wait.ok_or("no kick was measured")?)
    }
}

fn enable(vm: &VmFd, cap: u32, argument: u64) -> Result<(), kvm_ioctls::Error> {
    vm.enable_cap(&kvm_enable_cap {
        cap,
        args: [argument, 0, 0, 0],
        ..kvm_enable_cap::default()
    })
}

/// Lets accesses to x2APIC registers and to the local APIC's base exit.
fn take_local_apics(vm: &VmFd) -> Result<(), kvm_ioctls::Error> {
    let reasons =
        KVM_MSR_EXIT_REASON_UNKNOWN | KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_FILTER;
    enable(vm, KVM_CAP_X86_USER_SPACE_MSR, reasons.into())?;
    let base = MsrFilterRange {
        flags: MsrFilterRangeFlags::READ | MsrFilterRangeFlags::WRITE,
        base: MSR_APIC_BASE,
        msr_count: 1,
        bitmap: &[0],
    };
    vm.set_msr_filter(MsrFilterDefaultAction::ALLOW, &[base])
}

fn features(kick: KickBy, halt: HaltIn) -> PvFeatures {
    PvFeatures {
        pv_unhalt: Offer::Shown,
        hint_realtime: Offer::Hidden,
        tsc_deadline: Offer::Hidden,
        vmcall: Vmcall::NeverCompletes,
        kick: match kick {
            KickBy::Kvm => KickTaker::Kvm,
            KickBy::Vmm => KickTaker::Vmm,
        },
        local_apics: match halt {
            HaltIn::Kvm => LocalApics::Kvm,
            HaltIn::Vmm => LocalApics::Vmm,
        },
        tsc_khz: None,
        apic_bus_khz: None,
    }
}
