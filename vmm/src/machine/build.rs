//! Building a machine. The order of the ioctls is the order of what they cost: memory before the
//! irqchip (fifty times cheaper that way round), and a split irqchip, because nothing here needs
//! PIC or PIT and closing a VM that has them takes tens of milliseconds. What depends on the trial
//! of `vmcall` comes last: it runs beside the rest.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use guest_payload::abi::{CPUID_FEATURES, FEATURE_PV_UNHALT};
use kvm_bindings::{CpuId, KVM_MAX_CPUID_ENTRIES};
use kvm_ioctls::{Cap, Kvm};
use vmm_sys_util::eventfd::EventFd;

use super::guest::LoadedGuest;
use super::switches::KvmKick;
use super::{Error, Machine, capabilities, switches, vcpus};
use crate::cpu::cpuid::CpuidTemplate;
use crate::cpu::pv_leaves::{KickTaker, LocalApics, Offer, PvFeatures, Vmcall};
use crate::cpu::topology::XAPIC_ID_MAX;
use crate::device::ports::Ports;
use crate::device::serial::{Output, SerialPort};
use crate::host::{Sureness, VmcallAnswer};
use crate::kvm::stats::StatsFd;
use crate::memory;
use crate::pv::apic_id::{ApicIds, BroadcastQuirk};
use crate::pv::hypercall::Unhalt;
use crate::pv::kick::{KickService, Waker};
use crate::pv::waker::KvmWaker;
use crate::pv::{HaltIn, KickBy};
use crate::spec::{Choice, DisabledExit, PvUnhalt, RunSpec, SerialTarget};
use crate::vcpu::Vcpu;
use crate::vcpu::board::Board;
use crate::vcpu::park_waker::ParkWaker;

/// Builds what `spec` asks for, up to the first instruction.
///
/// # Errors
/// [`Error`]; nothing is left behind.
pub fn build(kvm: &Kvm, spec: &RunSpec) -> Result<Machine, Error> {
    let vcpus = spec.topology.vcpus();
    let most = kvm.get_max_vcpus();
    if usize::try_from(vcpus).map_or(true, |n| n > most) {
        return Err(Error::TooManyVcpus { asked: vcpus, most });
    }
    spec.topology.check(
        vcpus,
        u32::try_from(kvm.get_max_vcpu_id()).unwrap_or(u32::MAX),
    )?;
    let guest = LoadedGuest::read(&spec.guest, spec.memory)?;
    let has_stub_page = guest.image.stub_page.is_some();
    let halt_in = switches::halt_in(spec.halt);
    let drops_kick = spec.drop_kick.is_some();
    switches::check(spec.kick, halt_in, has_stub_page, drops_kick)?;
    let decides_who_kicks = has_stub_page || spec.kick == Choice::Kvm;
    let vmcall = VmcallAnswer::seek(if decides_who_kicks {
        Sureness::Tried
    } else {
        Sureness::Safe
    })?;
    let hlt_exits = !spec.disable_exits.contains(&DisabledExit::Hlt);
    let wants_pv_unhalt = spec.pv_unhalt == PvUnhalt::On && hlt_exits;

    // Before the VM, so that it goes after it.
    let memory = memory::map(spec.memory)?;
    let vm = kvm
        .create_vm()
        .map_err(|e| Error::Ioctl("KVM_CREATE_VM", e))?;
    memory::register(&vm, &memory)?;
    let apic_ids: Vec<u32> = spec.topology.apic_ids().collect();
    let start_info = guest.load(&memory, spec.memory, &spec.cmdline, &apic_ids)?;
    let wide_ids = spec.topology.max_apic_id() > XAPIC_ID_MAX;
    capabilities::enable_all(&vm, spec, halt_in, wide_ids)?;
    let vm = Arc::new(vm);

    let supported = kvm
        .get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)
        .map_err(|e| Error::Ioctl("KVM_GET_SUPPORTED_CPUID", e))?;
    let fds = apic_ids
        .iter()
        .map(|&id| vm.create_vcpu(id.into()))
        .zip((0..).zip(&apic_ids))
        .map(|(made, (index, &id))| made.map_err(|e| Error::Vcpu(index, id, e)))
        .collect::<Result<Vec<_>, _>>()?;

    let vmcall = if vmcall.completes()? {
        Vmcall::Completes
    } else {
        Vmcall::NeverCompletes
    };
    let kvm_kick = if vmcall == Vmcall::NeverCompletes {
        KvmKick::VmcallNeverCompletes
    } else if supported_features(&supported) & FEATURE_PV_UNHALT == 0 {
        KvmKick::NoPvUnhalt
    } else {
        KvmKick::Works
    };
    let kick_by = switches::kick_by(spec.kick, halt_in, has_stub_page, drops_kick, kvm_kick)?;
    if kick_by == KickBy::Vmm {
        guest.take_over_stubs(&memory)?;
    }
    let output = serial_output(spec)?;
    let offer = |shown| if shown { Offer::Shown } else { Offer::Hidden };
    let features = PvFeatures {
        pv_unhalt: offer(wants_pv_unhalt),
        hint_realtime: offer(spec.hint_realtime),
        tsc_deadline: offer(halt_in == HaltIn::Kvm && vm.check_extension(Cap::TscDeadlineTimer)),
        vmcall,
        kick: match kick_by {
            KickBy::Kvm => KickTaker::Kvm,
            KickBy::Vmm => KickTaker::Vmm,
        },
        local_apics: match halt_in {
            HaltIn::Kvm => LocalApics::Kvm,
            HaltIn::Vmm => LocalApics::Vmm,
        },
        tsc_khz: None,
        apic_bus_khz: None,
    };
    let shows_pv_unhalt = features.offers_pv_unhalt(supported_features(&supported));

    let quirk = if wide_ids {
        BroadcastQuirk::Disabled
    } else {
        BroadcastQuirk::Enabled
    };
    let ids = ApicIds::new(apic_ids.iter().copied(), quirk)?;
    let shared_vcpus = Arc::new(OnceLock::new());
    let stats: Arc<OnceLock<Vec<StatsFd>>> = Arc::new(OnceLock::new());
    let waker: Box<dyn Waker> = match halt_in {
        HaltIn::Kvm => Box::new(KvmWaker::new(
            Arc::clone(&vm),
            vcpus::is_blocking(Arc::clone(&stats)),
        )),
        HaltIn::Vmm => Box::new(ParkWaker::new(Arc::clone(&shared_vcpus))),
    };
    let board = Arc::new(Board {
        kick: KickService::new(apic_ids.clone(), ids.clone(), waker, spec.drop_kick),
        ids,
        ports: Ports {
            serial: SerialPort::new(output)
                .map_err(|e| Error::System("the serial port's output".to_owned(), e))?,
        },
        halt_in,
        halt_poll: Duration::from_nanos(spec.halt_poll_ns.unwrap_or(0).into()),
        unhalt: match (shows_pv_unhalt, spec.enforce_pv) {
            (true, _) => Unhalt::Offered,
            (false, true) => Unhalt::Enforced,
            (false, false) => Unhalt::Hidden,
        },
        signature: supported
            .as_slice()
            .iter()
            .find(|entry| entry.function == 1)
            .map_or(0, |entry| entry.eax),
        has_stub_page,
        sync_regs: vm.check_extension(Cap::SyncRegs),
        vcpus: Arc::clone(&shared_vcpus),
        user_hypercalls: AtomicBool::new(false),
        ending: Mutex::new(None),
        ended: EventFd::new(libc::EFD_NONBLOCK | libc::EFD_CLOEXEC)
            .map_err(|e| Error::System("eventfd".to_owned(), e))?,
    });

    let mut template = CpuidTemplate::new(&supported, &features, &spec.topology)?;
    let vcpus = vcpus::make(fds, &apic_ids, spec, &mut template, &board)?;
    let first = vcpus.first().map(Vcpu::fd);
    first
        .map_or(Ok(()), |fd| {
            vcpus::start_at_entry(fd, guest.image.entry, start_info)
        })
        .map_err(|e| Error::Ioctl("setting the first vCPU's registers", e))?;
    if kick_by == KickBy::Vmm && halt_in == HaltIn::Kvm {
        // Without them kicks to halted vCPUs are counted as kicks to running ones.
        let _ = vcpus::open_stats(&vcpus).map(|opened| stats.set(opened));
    }
    let shared = vcpus.iter().map(|vcpu| Arc::clone(vcpu.shared())).collect();
    // Set once, here; nobody else has the other end yet.
    let _ = shared_vcpus.set(shared);
    Ok(Machine {
        vm,
        memory,
        kick_by,
        halt_in,
        shows_pv_unhalt,
        results_gpa: guest.image.results,
        board,
        vcpus,
        threads: Vec::new(),
        patience: spec.patience(),
        affinity: spec.cpus.clone(),
    })
}

fn serial_output(spec: &RunSpec) -> Result<Output, Error> {
    Ok(match &spec.serial {
        SerialTarget::Null => Output::Null,
        SerialTarget::Buffer => Output::Buffer(Vec::new()),
        SerialTarget::Stdio => Output::stdio(spec.json_on_stdout)
            .map_err(|e| Error::System("standard output".to_owned(), e))?,
        SerialTarget::File(path) => {
            let file =
                std::fs::File::create(path).map_err(|e| Error::SerialFile(path.clone(), e))?;
            Output::File(file)
        }
    })
}

/// The PV features that KVM can do, from its own leaf.
fn supported_features(supported: &CpuId) -> u32 {
    supported
        .as_slice()
        .iter()
        .find(|entry| entry.function == CPUID_FEATURES)
        .map_or(0, |entry| entry.eax)
}
