//! From a VM with its memory to a machine: what a new one and one that comes from elsewhere share.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use kvm_ioctls::{Cap, Kvm, VcpuFd, VmFd};
use vm_memory::GuestMemoryMmap;
use vmm_sys_util::eventfd::EventFd;

use super::blueprint::Blueprint;
use super::claim::Claims;
use super::pause::Pauses;
use super::ple::PleSetup;
use super::vcpu_thread::Terms;
use super::{Error, Machine, capabilities, vcpus};
use crate::cpu::cpuid::CpuidTemplate;
use crate::cpu::topology::{Topology, XAPIC_ID_MAX};
use crate::device::counter::Counter;
use crate::device::pc::{PcDevices, PcWiring};
use crate::device::ports::{COM1_IRQ, Ports};
use crate::device::serial::{Output, SerialPort};
use crate::device::wires::KvmWires;
use crate::kvm::stats::StatsFd;
use crate::memory::{self, WriteLog};
use crate::ple::handshake::HostFields;
use crate::ple::service::SpinService;
use crate::ple::slots::Slots;
use crate::pv::apic_id::{ApicIds, BroadcastQuirk};
use crate::pv::faulty::FaultyKicks;
use crate::pv::hypercall::Unhalt;
use crate::pv::kick::{KickService, Waker};
use crate::pv::recorder::Tracer;
use crate::pv::waker::KvmWaker;
use crate::pv::{HaltIn, KickBy};
use crate::sandbox::{Role, Sandbox};
use crate::sched::config::Sched;
use crate::sched::{Pcpus, Scheduler, Slices};
use crate::spec::{HostSide, Lab, SerialTarget, Tracing};
use crate::vcpu::board::Board;
use crate::vcpu::park_waker::ParkWaker;
use crate::vcpu::stops::Stops;
use crate::vcpu::xen::XenSide;

/// A VM with memory and bare vCPUs.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) vm: Arc<VmFd>,
    pub(super) memory: GuestMemoryMmap,
    pub(super) apic_ids: Vec<u32>,
    pub(super) fds: Vec<VcpuFd>,
}

/// Whether this host can have as many vCPUs, with these APIC IDs.
pub(super) fn check_vcpus(kvm: &Kvm, topology: &Topology) -> Result<(), Error> {
    let vcpus = topology.vcpus();
    let most = kvm.get_max_vcpus();
    if usize::try_from(vcpus).map_or(true, |n| n > most) {
        return Err(Error::TooManyVcpus { asked: vcpus, most });
    }
    let id_limit = u32::try_from(kvm.get_max_vcpu_id()).unwrap_or(u32::MAX);
    Ok(topology.check(vcpus, id_limit)?)
}

/// Whether some APIC ID needs more than 8 bits.
fn has_wide_ids(topology: &Topology) -> bool {
    topology.max_apic_id() > XAPIC_ID_MAX
}

impl Frame {
    /// Makes VM and vCPUs. The order of the ioctls is the order of what they cost: memory before
    /// the irqchip is fifty times cheaper than the other way round.
    pub(super) fn make(
        kvm: &Kvm,
        memory: GuestMemoryMmap,
        topology: &Topology,
        wanted: &capabilities::Wanted,
    ) -> Result<Self, Error> {
        let vm = kvm
            .create_vm()
            .map_err(|e| Error::Ioctl("KVM_CREATE_VM", e))?;
        memory::register(&vm, &memory, WriteLog::Off)?;
        capabilities::enable_all(&vm, wanted, has_wide_ids(topology))?;
        let apic_ids: Vec<u32> = topology.apic_ids().collect();
        let fds = apic_ids
            .iter()
            .map(|&id| vm.create_vcpu(id.into()))
            .zip((0..).zip(&apic_ids))
            .map(|(made, (index, &id))| made.map_err(|e| Error::Vcpu(index, id, e)))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            vm: Arc::new(vm),
            memory,
            apic_ids,
            fds,
        })
    }
}

/// Makes a machine of `frame`. `template` is the CPUID of a new one; one that comes from elsewhere
/// brings its own.
pub(super) fn assemble(
    frame: Frame,
    blueprint: Blueprint,
    host: &HostSide,
    ple: Option<PleSetup>,
    drop_kick: Option<u64>,
    template: Option<&mut CpuidTemplate>,
) -> Result<Machine, Error> {
    let Frame {
        vm,
        memory,
        apic_ids,
        fds,
    } = frame;
    let quirk = if has_wide_ids(&blueprint.topology()?) {
        BroadcastQuirk::Disabled
    } else {
        BroadcastQuirk::Enabled
    };
    let ids = ApicIds::new(apic_ids.iter().copied(), quirk)?;
    let shared_vcpus = Arc::new(OnceLock::new());
    let stats: Arc<OnceLock<Vec<StatsFd>>> = Arc::new(OnceLock::new());
    let halts = vcpus::halts(fds.len());
    let sched = match host.lab.sched {
        Sched::Host => None,
        Sched::Tokens(config) => Some(Arc::new(Scheduler::new(config, halts.clone()))),
    };
    let waker: Box<dyn Waker> = match blueprint.halt_in {
        HaltIn::Kvm => Box::new(KvmWaker::new(
            Arc::clone(&vm),
            vcpus::is_blocking(Arc::clone(&stats)),
        )),
        HaltIn::Vmm => Box::new(ParkWaker::new(Arc::clone(&shared_vcpus), sched.clone())),
    };
    let spin = spin_service(host, &blueprint, &memory, &apic_ids, sched.as_ref());
    let pc = blueprint.pc.as_ref().map(|pc| {
        Ok::<_, Error>(PcDevices::new(PcWiring {
            set: pc.devices,
            vcpus: blueprint.vcpus(),
            memory: blueprint.memory()?,
            wires: Box::new(KvmWires::new(Arc::clone(&vm), memory.clone())),
        }))
    });
    let pc = pc.transpose()?;
    let serial = serial_port(host, &vm, &blueprint)?;
    let trace = match host.trace {
        Tracing::Off => Tracer::off(),
        Tracing::On => {
            let khz = fds.first().and_then(|fd| fd.get_tsc_khz().ok());
            Tracer::on(blueprint.vcpus(), blueprint.halt_in, khz)
        }
    };
    let board = Arc::new(Board {
        kick: KickService::new(
            apic_ids.clone(),
            ids.clone(),
            waker,
            drop_kick,
            trace.clone(),
        )
        .with_faults(faulty_kicks(&host.lab, &blueprint)?),
        trace,
        ids,
        ports: Ports {
            serial,
            counter: Counter::new(blueprint.vcpus()),
            pc,
        },
        halt_in: blueprint.halt_in,
        halt_poll: Duration::from_nanos(blueprint.halt_poll_ns.unwrap_or(0).into()),
        unhalt: match (blueprint.shows_pv_unhalt, blueprint.enforce_pv) {
            (true, _) => Unhalt::Offered,
            (false, true) => Unhalt::Enforced,
            (false, false) => Unhalt::Hidden,
        },
        signature: blueprint.signature,
        has_stub_page: blueprint.has_stub_page,
        kick_site: blueprint.pc.as_ref().and_then(|pc| pc.kick_site),
        xen: blueprint
            .xen
            .map(|xen| XenSide::new(blueprint.vcpus(), memory.clone(), xen.hypercalls_by)),
        sync_regs: vm.check_extension(Cap::SyncRegs),
        vcpus: Arc::clone(&shared_vcpus),
        user_hypercalls: AtomicBool::new(false),
        ending: Mutex::new(None),
        over: AtomicBool::new(false),
        ended: eventfd()?,
        stops: Stops::default(),
        sched,
        kick_yield: host.lab.kick_yield,
        spin,
    });
    let vcpus = vcpus::make(
        fds,
        &apic_ids,
        halts,
        blueprint.enforce_pv,
        template,
        &board,
    )?;
    let takes_kicks = blueprint.kick_by == KickBy::Vmm || blueprint.xen.is_some();
    let tells_halted = takes_kicks && blueprint.halt_in == HaltIn::Kvm;
    if tells_halted || host.has_api {
        // Without them kicks to halted vCPUs are counted as kicks to running ones, and who asks
        // hears less.
        let _ = vcpus::open_stats(&vcpus).map(|opened| stats.set(opened));
    }
    let shared = vcpus.iter().map(|vcpu| Arc::clone(vcpu.shared())).collect();
    // Set once, here; nobody else has the other end yet.
    let _ = shared_vcpus.set(shared);
    let slices = match &board.sched {
        None => None,
        Some(sched) => Some(watch_slices(sched, &board, &host.sandbox)?),
    };
    Ok(Machine {
        vm,
        memory,
        patience: blueprint.patience()
            + hindrance(host)
            + sched_patience(&host.lab.sched, blueprint.vcpus()),
        blueprint,
        board,
        kvm_stats: stats,
        vcpus,
        threads: Vec::new(),
        terms: Terms::of(host),
        hired: None,
        preempt: host.preempt,
        ple,
        cmdline_added: Vec::new(),
        symbols: None,
        pauses: Pauses::default(),
        claims: Claims::default(),
        slices,
        planted: Mutex::default(),
        kept: OnceLock::new(),
        arrival: Mutex::new(None),
    })
}

/// Who serves the guest's spin exits, if it has been asked for them: that takes a handshake page and
/// one of the switches that fill it.
fn spin_service(
    host: &HostSide,
    blueprint: &Blueprint,
    memory: &GuestMemoryMmap,
    apic_ids: &[u32],
    sched: Option<&Arc<Scheduler>>,
) -> Option<SpinService> {
    let page = blueprint.handshake_gpa?;
    HostFields::of(&host.lab).ok().flatten()?;
    let slots = Slots::new(memory.clone(), page, apic_ids);
    let pcpus = sched.map(|sched| Arc::clone(sched) as Arc<dyn Pcpus + Send + Sync>);
    Some(SpinService::new(&host.lab, apic_ids.len(), slots, pcpus))
}

/// The kicks that go wrong, under `--kick-fault`.
fn faulty_kicks(lab: &Lab, blueprint: &Blueprint) -> Result<Option<FaultyKicks>, Error> {
    lab.kick_faults
        .map(|faults| FaultyKicks::new(faults, lab.seed, blueprint.vcpus()))
        .transpose()
        .map_err(|e| Error::System("timer of delayed kicks".to_owned(), e))
}

/// How long the guest may be kept from making progress on purpose.
fn hindrance(host: &HostSide) -> Duration {
    let preempt = host.preempt.map(|asked| asked.hold);
    let holder = host.lab.preempt_holder.map(|asked| asked.hold);
    let kick = host.lab.kick_faults.map(|faults| faults.delay);
    [preempt, holder, kick].into_iter().flatten().sum()
}

/// COM1. Only a PC has an interrupt controller that listens to it.
fn serial_port(host: &HostSide, vm: &VmFd, blueprint: &Blueprint) -> Result<SerialPort, Error> {
    let output = serial_output(host)?;
    let made = match &blueprint.pc {
        None => SerialPort::new(output),
        Some(_) => {
            let line = Arc::new(eventfd()?);
            vm.register_irqfd(&line, COM1_IRQ.into())
                .map_err(|e| Error::Ioctl("KVM_IRQFD", e))?;
            SerialPort::with_interrupt(output, line)
        }
    };
    made.map_err(|e| Error::System("the serial port's output".to_owned(), e))
}

/// How long it may take until every vCPU has had its slices: a vCPU without a token is not stuck.
fn sched_patience(sched: &Sched, vcpus: u32) -> Duration {
    match sched {
        Sched::Host => Duration::ZERO,
        // Twice around, as a vCPU that is preempted on purpose loses its turn.
        Sched::Tokens(config) => config.slice.saturating_mul(vcpus.saturating_mul(2)),
    }
}

/// Has slices end.
fn watch_slices(
    sched: &Arc<Scheduler>,
    board: &Arc<Board>,
    sandbox: &Sandbox,
) -> Result<Slices, Error> {
    let vcpus = Arc::clone(&board.vcpus);
    let send_out = move |vcpu: usize| {
        let all = vcpus.get().map_or(&[][..], Vec::as_slice);
        if let Some(vcpu) = all.get(vcpu) {
            vcpu.control.interrupt();
        }
    };
    let sandbox = sandbox.clone();
    let confine = move || sandbox.enter(Role::Slices);
    Slices::watch(sched, confine, send_out)
        .map_err(|e| Error::System("thread slices".to_owned(), e))
}

fn eventfd() -> Result<EventFd, Error> {
    EventFd::new(libc::EFD_NONBLOCK | libc::EFD_CLOEXEC)
        .map_err(|e| Error::System("eventfd".to_owned(), e))
}

fn serial_output(host: &HostSide) -> Result<Output, Error> {
    Ok(match &host.serial {
        SerialTarget::Null => Output::Null,
        SerialTarget::Buffer => Output::Buffer(Vec::new()),
        SerialTarget::Stdio => Output::stdio(host.json_on_stdout)
            .map_err(|e| Error::System("standard output".to_owned(), e))?,
        SerialTarget::File(path) => {
            let file =
                std::fs::File::create(path).map_err(|e| Error::SerialFile(path.clone(), e))?;
            Output::File(file)
        }
    })
}
