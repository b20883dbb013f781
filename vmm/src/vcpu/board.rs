//! What all vCPU threads of a machine share.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use guest_payload::abi::Control;
use vmm_sys_util::eventfd::EventFd;

use super::control::Request;
use super::ending::Ending;
use super::shared::VcpuShared;
use super::stops::Stops;
use super::xen::XenSide;
use crate::cpu::lapic::Recipients;
use crate::device::ports::Ports;
use crate::ple::service::SpinService;
use crate::pv::HaltIn;
use crate::pv::apic_id::{ApicIds, Destination, Targets, VcpuIndex};
use crate::pv::hypercall::Unhalt;
use crate::pv::kick::KickService;
use crate::pv::recorder::Tracer;
use crate::sched::Scheduler;
use crate::spec::KickYield;
use std::time::Duration;

/// What all vCPU threads share.
#[derive(Debug)]
pub struct Board {
    /// The kick service.
    pub kick: KickService,
    /// What is recorded of kicks, halts and wake-ups.
    pub trace: Tracer,
    /// Who has which APIC ID.
    pub ids: ApicIds,
    /// The ports.
    pub ports: Ports,
    /// Where halted vCPUs wait.
    pub halt_in: HaltIn,
    /// How long a halted vCPU polls before it parks, under `--halt vmm`.
    pub halt_poll: Duration,
    /// What PV_UNHALT means to the hypercall.
    pub unhalt: Unhalt,
    /// CPUID.1:EAX, which EDX holds after INIT.
    pub signature: u32,
    /// Whether the guest has a stub page, and with it our ports.
    pub has_stub_page: bool,
    /// Linear address of a `vmcall` that the VMM carries out, in a guest without a stub page.
    pub kick_site: Option<u64>,
    /// Xen's interface, under `--xen`.
    pub xen: Option<XenSide>,
    /// Whether KVM keeps general registers in `kvm_run`.
    pub sync_regs: bool,
    /// The vCPUs, once all are made.
    pub vcpus: Arc<OnceLock<Vec<Arc<VcpuShared>>>>,
    /// Set by a CPL 0 kernel: its CPL 3 code may make hypercalls.
    pub user_hypercalls: AtomicBool,
    /// The first ending, until somebody takes it.
    pub ending: Mutex<Option<Ending>>,
    /// There is or was one. Changes under the lock of `ending`.
    pub over: AtomicBool,
    /// Readable once `ending` is there.
    pub ended: EventFd,
    /// vCPUs that wait for a debugger.
    pub stops: Stops,
    /// Who schedules the vCPUs, unless the host does.
    pub sched: Option<Arc<Scheduler>>,
    /// Whether a kick yields to its target.
    pub kick_yield: KickYield,
    /// Who serves spin exits, where they are asked for.
    pub spin: Option<SpinService>,
}

impl Board {
    /// Whether CPL 3 may make hypercalls.
    pub fn user_hypercalls_allowed(&self) -> bool {
        self.user_hypercalls.load(Relaxed)
    }

    /// Serves a request on the payload's control port; returns one that ends the machine.
    pub fn control(&self, data: &[u8]) -> Option<Control> {
        let &[byte] = data else { return None };
        let request = Control::from_byte(byte)?;
        if request == Control::AllowUserHypercalls {
            self.user_hypercalls.store(true, Relaxed);
            return None;
        }
        Some(request)
    }

    /// Ends the machine; the first ending counts, and whether this was it is returned. A crash that
    /// a debugger looks at was before it. The vCPU that calls stands still from then on.
    pub fn end(&self, ending: Ending) -> bool {
        let mut slot = self.ending.lock().unwrap_or_else(PoisonError::into_inner);
        // Relaxed here and below: the lock orders it.
        let is_first = !self.over.swap(true, Relaxed);
        if is_first {
            *slot = Some(self.stops.take_crash().unwrap_or(ending));
        }
        drop(slot);
        for vcpu in self.all() {
            vcpu.request(Request::Stop);
        }
        // The counter of an eventfd cannot overflow here, and nothing else can fail.
        let _ = self.ended.write(1);
        is_first
    }

    /// Whether the machine has come to its end.
    pub fn has_ended(&self) -> bool {
        let _slot = self.ending.lock().unwrap_or_else(PoisonError::into_inner);
        self.over.load(Relaxed)
    }

    /// The vCPUs, by index.
    pub fn all(&self) -> &[Arc<VcpuShared>] {
        self.vcpus.get().map_or(&[], Vec::as_slice)
    }

    /// One vCPU.
    pub fn vcpu(&self, index: VcpuIndex) -> Option<&VcpuShared> {
        self.all()
            .get(usize::try_from(index.0).ok()?)
            .map(AsRef::as_ref)
    }

    fn for_each(&self, from: VcpuIndex, recipients: Recipients, act: impl Fn(&VcpuShared)) {
        let indices = || (0..).map(VcpuIndex).zip(self.all());
        match recipients {
            Recipients::Myself => {
                if let Some(vcpu) = self.vcpu(from) {
                    act(vcpu);
                }
            }
            Recipients::All => indices().for_each(|(_, vcpu)| act(vcpu)),
            Recipients::Others => {
                indices()
                    .filter(|(index, _)| *index != from)
                    .for_each(|(_, vcpu)| act(vcpu));
            }
            Recipients::Destination(destination) => {
                let mode = |index| {
                    self.vcpu(index).map_or(
                        crate::pv::apic_id::ApicMode::Disabled,
                        VcpuShared::apic_mode,
                    )
                };
                let at = |index| self.vcpu(index).into_iter().for_each(&act);
                let to = Destination::from_a1(destination.into());
                match self.ids.ipi_targets(to, mode(from), mode) {
                    Targets::Nobody => {}
                    Targets::One(index) => at(index),
                    Targets::Broadcast(all) => all.for_each(at),
                }
            }
        }
    }

    /// INIT by our own local APIC.
    pub fn init(&self, from: VcpuIndex, recipients: Recipients) {
        self.for_each(from, recipients, |vcpu| {
            vcpu.halt.init();
            vcpu.control.interrupt();
        });
    }

    /// SIPI by our own local APIC.
    pub fn sipi(&self, from: VcpuIndex, recipients: Recipients, vector: u8) {
        self.for_each(from, recipients, |vcpu| vcpu.halt.sipi(vector));
    }
}
