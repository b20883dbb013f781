//! A door for the fuzz targets: vCPUs without KVM, whose exits come from outside. What follows an
//! exit is done as far as it needs no descriptor of KVM's.

use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use kvm_bindings::{kvm_regs, kvm_sregs};
use kvm_ioctls::VcpuExit;
use vm_memory::GuestMemoryMmap;
use vmm_sys_util::eventfd::EventFd;

use super::board::Board;
use super::debug::GuestDebug;
use super::ending::Ending;
use super::hypercall;
use super::park_waker::ParkWaker;
use super::serve::{After, serve};
use super::shared::VcpuShared;
use super::stops::Stops;
use super::xen::{self, XenSide};
use crate::cpu::lapic::LocalApic;
use crate::device::counter::Counter;
use crate::device::pc::PcDevices;
use crate::device::ports::Ports;
use crate::device::serial::{Output, SerialPort};
use crate::kvm::immediate_exit::ImmediateExit;
use crate::ple::lab::Lab;
use crate::ple::service::SpinService;
use crate::ple::slots::Slots;
use crate::pv::HaltIn;
use crate::pv::apic_id::{ApicIds, BroadcastQuirk, VcpuIndex};
use crate::pv::faulty::FaultyKicks;
use crate::pv::halt::HaltState;
use crate::pv::hypercall::{Call, Unhalt};
use crate::pv::kick::{KickService, Waker};
use crate::pv::recorder::Tracer;
use crate::sched::config::Sched;
use crate::sched::{Pcpus, Scheduler};

/// What a rig is made of.
#[derive(Debug)]
pub struct Parts {
    /// The vCPUs' APIC IDs.
    pub apic_ids: Vec<u32>,
    /// Who has the local APICs.
    pub halt_in: HaltIn,
    /// Who unhalts vCPUs where KVM has the local APICs.
    pub kvm_waker: Box<dyn Waker>,
    /// Guest memory.
    pub memory: GuestMemoryMmap,
    /// Whether the guest has a stub page, and where its handshake page is.
    pub handshake_page: Option<u64>,
    /// Xen's interface.
    pub xen: Option<XenSide>,
    /// The devices of a PC.
    pub pc: Option<PcDevices>,
    /// What PV_UNHALT means.
    pub unhalt: Unhalt,
    /// The laboratory's switches.
    pub lab: Lab,
    /// What is recorded.
    pub trace: Tracer,
}

/// vCPUs that no thread runs.
#[derive(Debug)]
pub struct Rig {
    board: Arc<Board>,
    lapics: Vec<LocalApic>,
    debug: GuestDebug,
}

/// The registers that serving an exit looks at.
#[derive(Debug, Default)]
pub struct Registers {
    /// General registers.
    pub general: kvm_regs,
    /// Segments and control registers.
    pub system: kvm_sregs,
}

impl Rig {
    /// Puts them together, as `machine` does.
    ///
    /// # Errors
    /// What eventfd, timerfd and mmap say, and APIC IDs that are not each vCPU's own.
    pub fn new(parts: Parts) -> io::Result<Self> {
        let Parts { apic_ids, lab, .. } = parts;
        let vcpus = u32::try_from(apic_ids.len()).map_err(io::Error::other)?;
        let ids = ApicIds::new(apic_ids.iter().copied(), BroadcastQuirk::Enabled)
            .map_err(io::Error::other)?;
        let halts: Vec<_> = (0..vcpus)
            .map(|index| match index {
                0 => HaltState::default(),
                _ => HaltState::waiting_for_sipi(),
            })
            .map(Arc::new)
            .collect();
        let shared = Arc::new(OnceLock::new());
        let sched = match lab.sched {
            Sched::Host => None,
            Sched::Tokens(config) => Some(Arc::new(Scheduler::new(config, halts.clone()))),
        };
        let waker = match parts.halt_in {
            HaltIn::Kvm => parts.kvm_waker,
            HaltIn::Vmm => Box::new(ParkWaker::new(Arc::clone(&shared), sched.clone())),
        };
        let spin = parts.handshake_page.map(|page| {
            let slots = Slots::new(parts.memory.clone(), page, &apic_ids);
            let pcpus = sched.clone();
            let pcpus = pcpus.map(|sched| sched as Arc<dyn Pcpus + Send + Sync>);
            SpinService::new(&lab, apic_ids.len(), slots, pcpus)
        });
        let faulty = lab
            .kick_faults
            .map(|faults| FaultyKicks::new(faults, lab.seed, vcpus))
            .transpose()?;
        let kick = KickService::new(
            apic_ids.clone(),
            ids.clone(),
            waker,
            None,
            parts.trace.clone(),
        );
        let board = Board {
            kick: kick.with_faults(faulty),
            trace: parts.trace,
            ids,
            ports: Ports {
                serial: SerialPort::new(Output::Null)?,
                counter: Counter::new(vcpus),
                pc: parts.pc,
            },
            halt_in: parts.halt_in,
            halt_poll: Duration::ZERO,
            unhalt: parts.unhalt,
            signature: 0,
            has_stub_page: parts.handshake_page.is_some(),
            kick_site: None,
            xen: parts.xen,
            sync_regs: false,
            vcpus: Arc::clone(&shared),
            user_hypercalls: AtomicBool::new(false),
            ending: Mutex::new(None),
            over: AtomicBool::new(false),
            ended: EventFd::new(0)?,
            stops: Stops::default(),
            sched,
            kick_yield: lab.kick_yield,
            spin,
        };
        let vcpus = apic_ids.iter().zip(halts).map(|(&apic_id, halt)| {
            let immediate_exit = ImmediateExit::of_nobody()?;
            Ok(Arc::new(VcpuShared::new(apic_id, immediate_exit, halt)))
        });
        let vcpus = vcpus.collect::<io::Result<Vec<_>>>()?;
        // Set once, here.
        let _ = shared.set(vcpus);
        let own = |(index, &id)| LocalApic::new(id, index == 0);
        Ok(Self {
            lapics: match parts.halt_in {
                HaltIn::Kvm => Vec::new(),
                HaltIn::Vmm => apic_ids.iter().enumerate().map(own).collect(),
            },
            board: Arc::new(board),
            debug: GuestDebug::default(),
        })
    }

    /// What the vCPUs share.
    pub fn board(&self) -> &Board {
        &self.board
    }

    /// Serves an exit of vCPU `index`, and what follows from it. An INIT that has come, and a SIPI,
    /// are taken first; a halt that would last is none.
    pub fn exit(
        &mut self,
        index: VcpuIndex,
        exit: VcpuExit<'_>,
        registers: &mut Registers,
    ) -> Option<Ending> {
        let board = Arc::clone(&self.board);
        let shared = board.vcpu(index)?;
        let mut lapic = self.lapics.get_mut(index.place());
        if let Some(lapic) = &mut lapic {
            let _ = shared.halt.take_init();
            if shared.halt.has_pending_start() {
                shared.halt.wait_for_sipi();
                lapic.reset();
            }
        }
        match serve(exit, &board, shared, &self.debug, lapic, index) {
            After::Hypercall => {
                let regs = &mut registers.general;
                let call = Call {
                    number: regs.rax,
                    a0: regs.rbx,
                    a1: regs.rcx,
                };
                regs.rax = hypercall::serve(call, &registers.system, &board, index).rax;
                None
            }
            After::XenHypercall | After::InterceptedXenHypercall => {
                let xen = board.xen.as_ref()?;
                let call = xen::call(&registers.general);
                xen.serve(&call, &registers.system, &board, index);
                None
            }
            After::Halt => {
                board.trace.halted(index);
                shared.count_halt();
                if board.halt_in == HaltIn::Vmm && shared.halt.pv_unhalted() {
                    shared.halt.halt(Duration::ZERO);
                }
                None
            }
            After::End(ending) => Some(ending),
            After::Continue | After::Debug(_) | After::PortOut(..) | After::InternalError => None,
        }
    }
}
