//! A machine as a fuzzer likes it, under every switch of the laboratory.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use vm_memory::GuestMemoryMmap;
use vmm::device::DeviceSet;
use vmm::device::pc::{PcDevices, PcWiring};
use vmm::device::wires::{Level, Wires};
use vmm::memory::MemorySize;
use vmm::ple::config::{OnSpin, Ple, Window};
use vmm::ple::lab::Lab;
use vmm::pv::HaltIn;
use vmm::pv::apic_id::{ApicMode, VcpuIndex};
use vmm::pv::fault::KickFaults;
use vmm::pv::hypercall::Unhalt;
use vmm::pv::kick::{Unhalted, Waker};
use vmm::pv::recorder::Tracer;
use vmm::pv::xen::HypercallsBy;
use vmm::sched::config::{PolicyKind, PreemptHolder, Sched, TokenSched};
use vmm::vcpu::fuzzing::{Parts, Rig};
use vmm::vcpu::xen::XenSide;

const APIC_IDS: [u32; 5] = [0, 1, 7, 254, 300];
pub(super) const VCPUS: u32 = 5;
const HANDSHAKE_PAGE: u64 = 0x3000;
/// [`Machine::unhalt`], modulo 3, of [`Unhalt::Enforced`].
const ENFORCED: u8 = 2;

/// What it is made of.
#[derive(Arbitrary, Debug)]
pub(super) struct Machine {
    halts_in_kvm: bool,
    has_stub_page: bool,
    has_xen: Option<bool>,
    devices: Option<bool>,
    unhalt: u8,
    on_spin: u8,
    is_scheduled: bool,
    is_traced: bool,
    faults: Option<[u8; 3]>,
    delay_us: u8,
    preempts: bool,
    seed: u64,
}

impl Machine {
    /// Whether a kick that its privilege allows is one.
    pub(super) fn takes_kicks(&self) -> bool {
        self.has_stub_page && self.unhalt % 3 != ENFORCED
    }
}

#[derive(Debug, Default)]
struct Clocks(AtomicU64);

impl Wires for Clocks {
    fn set_line(&self, line: u32, _: Level) {
        assert!(line < 24);
    }
    fn uptime(&self) -> Duration {
        Duration::from_micros(self.0.fetch_add(1, Relaxed))
    }
    fn time_of_day(&self) -> Duration {
        self.uptime()
    }
    fn forget_page(&self, gpa: u64) {
        assert_eq!(gpa % 4096, 0);
    }
}

/// KVM, as far as kicks go.
#[derive(Debug)]
struct Kvm;

impl Waker for Kvm {
    fn unhalt(&self, vcpu: VcpuIndex, apic_id: u32) -> Unhalted {
        assert_eq!(APIC_IDS[vcpu.place()], apic_id);
        Unhalted::WasRunning
    }
    fn apic_mode(&self, _: VcpuIndex) -> ApicMode {
        ApicMode::X2Apic
    }
}

fn lab(machine: &Machine) -> Lab {
    let share = |share: u8| f64::from(share) / 765.0;
    Lab {
        sched: match machine.is_scheduled && !machine.halts_in_kvm {
            true => Sched::Tokens(TokenSched {
                policy: PolicyKind::PLAIN
                    [usize::from(machine.seed.to_le_bytes()[0]) % PolicyKind::PLAIN.len()],
                pcpus: 2,
                slice: Duration::from_millis(3),
                seed: machine.seed,
            }),
            false => Sched::Host,
        },
        ple: Ple::Soft(Window::DEFAULT),
        on_spin: OnSpin::ALL[usize::from(machine.on_spin) % OnSpin::ALL.len()],
        kick_faults: machine.faults.map(|[drop, dup, misroute]| KickFaults {
            drop: share(drop),
            dup: share(dup),
            misroute: share(misroute),
            delay: Duration::from_micros(machine.delay_us.into()),
        }),
        preempt_holder: machine.preempts.then_some(PreemptHolder {
            rate: 0.5,
            hold: Duration::from_micros(1),
        }),
        seed: machine.seed,
        ..Lab::default()
    }
}

/// The machine, without KVM.
pub(super) fn rig(machine: &Machine, memory: &GuestMemoryMmap) -> Rig {
    let by = |by_port| match by_port {
        true => HypercallsBy::Port,
        false => HypercallsBy::Vmcall,
    };
    let set = |is_test_image| match is_test_image {
        true => DeviceSet::TestImage,
        false => DeviceSet::Pc,
    };
    let halt_in = match machine.halts_in_kvm {
        true => HaltIn::Kvm,
        false => HaltIn::Vmm,
    };
    let parts = Parts {
        apic_ids: APIC_IDS.to_vec(),
        halt_in,
        kvm_waker: Box::new(Kvm),
        memory: memory.clone(),
        handshake_page: machine.has_stub_page.then_some(HANDSHAKE_PAGE),
        xen: machine
            .has_xen
            .map(|by_port| XenSide::new(VCPUS, memory.clone(), by(by_port))),
        pc: machine.devices.map(|is_test_image| {
            PcDevices::new(PcWiring {
                set: set(is_test_image),
                vcpus: VCPUS,
                memory: MemorySize::from_mib(2),
                wires: Box::new(Clocks::default()),
            })
        }),
        unhalt: match machine.unhalt % 3 {
            0 => Unhalt::Offered,
            ENFORCED => Unhalt::Enforced,
            _ => Unhalt::Hidden,
        },
        lab: lab(machine),
        trace: match machine.is_traced {
            true => Tracer::on(VCPUS, halt_in, Some(1_000_000)),
            false => Tracer::off(),
        },
    };
    Rig::new(parts).expect("descriptors and a page each")
}
