//! Two vCPUs for the tests: one with something in every part of its state, and a blank one.

use kvm_bindings::{
    CpuId, KVM_CAP_EXCEPTION_PAYLOAD, KVM_CAP_X2APIC_API, KVM_MAX_CPUID_ENTRIES,
    KVM_VCPUEVENT_VALID_PAYLOAD, KVM_X2APIC_API_USE_32BIT_IDS, kvm_debugregs, kvm_regs,
    kvm_vcpu_events, kvm_xcr,
};
use kvm_ioctls::Kvm;

use super::{Kept, KvmVcpuState, MpState, msrs, restore, save};
use crate::cpu::cpuid::CpuidTemplate;
use crate::cpu::pv_leaves::{KickTaker, LocalApics, Offer, PvFeatures, Vmcall};
use crate::cpu::topology::Topology;
use crate::host::code::{Op, assemble};
use crate::host::open_kvm;
use crate::host::tiny_vm::{DATA, Exit, Lapic, Ring, TinyVcpu, TinyVm};
use crate::kvm::{tsc, xsave};

/// The mode of the local APIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Apic {
    /// KVM has none.
    None,
    /// Memory-mapped.
    X,
    /// By MSRs.
    X2,
}

/// What KVM tells of an exception.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exceptions {
    /// One that is pending is told as half delivered.
    Folded,
    /// Pending and half delivered apart (`KVM_CAP_EXCEPTION_PAYLOAD`).
    Apart,
}

/// What a machine is made like: a state fits where it was saved.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) apic: Apic,
    /// The vCPU's, which is its APIC ID.
    pub(super) id: u64,
    pub(super) exceptions: Exceptions,
}

impl Shape {
    pub(super) const NO_LAPIC: Self = Self::bootstrap(Apic::None);
    pub(super) const XAPIC: Self = Self::bootstrap(Apic::X);
    pub(super) const X2APIC: Self = Self::bootstrap(Apic::X2);
    /// An application processor.
    pub(super) const SECOND: Self = Self {
        id: 1,
        exceptions: Exceptions::Apart,
        ..Self::X2APIC
    };

    const fn bootstrap(apic: Apic) -> Self {
        Self {
            apic,
            id: 0,
            exceptions: Exceptions::Folded,
        }
    }

    pub(super) fn local_apics(self) -> LocalApics {
        match self.apic {
            Apic::None => LocalApics::Vmm,
            _ => LocalApics::Kvm,
        }
    }
}

const APIC_BASE_X2APIC: u64 = 1 << 10;
const CR4_OSXSAVE: u64 = 1 << 18;
/// x87, SSE and AVX in XCR0 and in the header of an XSAVE area.
const X87_SSE_AVX: u64 = 0b111;
const XSAVE_XMM0: usize = 160;
const XSAVE_HEADER: usize = 512;
const XSAVE_YMM: usize = 576;
const APIC_TPR: usize = 0x80;
const APIC_SPIV: usize = 0xf0;
const APIC_ICR: usize = 0x300;
const APIC_ICR_HIGH: usize = 0x310;
const APIC_LVT_TIMER: usize = 0x320;
/// Vector ECH in TSC-deadline mode.
const LVT_TSC_DEADLINE: u32 = 2 << 17 | 0xec;
pub(super) const FAR_AWAY: u64 = 1 << 44;
const NONSENSE: u64 = 0x1234_5678_9abc;

/// A VM of one vCPU.
pub(super) struct Machine {
    pub(super) kvm: Kvm,
    pub(super) vm: TinyVm,
    pub(super) vcpu: TinyVcpu,
    shape: Shape,
}

impl Machine {
    /// A vCPU without CPUID: what a state is restored into.
    pub(super) fn blank(shape: Shape) -> Self {
        Self::new(shape, None)
    }

    /// A vCPU with a CPUID, which has not run.
    pub(super) fn with_cpuid(shape: Shape) -> Self {
        let kvm = open_kvm().unwrap();
        let supported = kvm.get_supported_cpuid(KVM_MAX_CPUID_ENTRIES).unwrap();
        let features = PvFeatures {
            pv_unhalt: Offer::Shown,
            hint_realtime: Offer::Hidden,
            tsc_deadline: match shape.apic {
                Apic::None => Offer::Hidden,
                _ => Offer::Shown,
            },
            vmcall: Vmcall::Completes,
            kick: KickTaker::Kvm,
            local_apics: shape.local_apics(),
            tsc_khz: None,
            apic_bus_khz: None,
        };
        let topology = Topology::flat(2).unwrap();
        let mut template = CpuidTemplate::new(&supported, &features, &topology).unwrap();
        Self::new(shape, Some(template.for_vcpu(0)))
    }

    /// A vCPU that has run up to an `out`.
    pub(super) fn started(shape: Shape) -> Self {
        let mut machine = Self::with_cpuid(shape);
        assert_eq!(machine.vcpu.enter().unwrap(), Some(Exit::out(7)));
        machine
    }

    fn new(shape: Shape, cpuid: Option<&CpuId>) -> Self {
        let kvm = open_kvm().unwrap();
        let lapic = match shape.apic {
            Apic::None => Lapic::None,
            _ => Lapic::InKernel,
        };
        let code = assemble(&[Op::Out(7), Op::Hlt, Op::Out(8)]);
        let vm = TinyVm::new(&kvm, lapic, &code).unwrap();
        if shape.apic != Apic::None {
            vm.enable(KVM_CAP_X2APIC_API, KVM_X2APIC_API_USE_32BIT_IDS.into())
                .unwrap();
        }
        if shape.exceptions == Exceptions::Apart {
            vm.enable(KVM_CAP_EXCEPTION_PAYLOAD, 1).unwrap();
        }
        let vcpu = vm.add_vcpu(shape.id, Ring::Kernel, cpuid).unwrap();
        Self {
            kvm,
            vm,
            vcpu,
            shape,
        }
    }

    pub(super) fn kept(&mut self) -> Kept {
        let lapics = self.shape.local_apics();
        Kept::find(&self.kvm, self.vm.fd(), self.vcpu.fd(), lapics).unwrap()
    }

    pub(super) fn save(&mut self, kept: &Kept) -> KvmVcpuState {
        save(self.vcpu.fd(), kept).unwrap()
    }

    /// Puts something into every part of the state.
    pub(super) fn make_busy(&mut self) {
        self.fill_registers();
        self.fill_xsave();
        if self.shape.apic != Apic::None {
            self.fill_lapic();
        }
        self.fill_msrs();
        self.vcpu
            .fd()
            .set_debug_regs(&kvm_debugregs {
                db: [0x1000, 0x2000, 0x3000, 0x4000],
                dr6: 0xffff_0ff1,
                dr7: 0x0003_0402,
                ..Default::default()
            })
            .unwrap();
        let mut events = self.vcpu.fd().get_vcpu_events().unwrap();
        fill_events(&mut events, self.shape.exceptions);
        self.vcpu.fd().set_vcpu_events(&events).unwrap();
    }

    fn fill_registers(&mut self) {
        let fd = self.vcpu.fd();
        let mut sregs = fd.get_sregs().unwrap();
        sregs.fs.base = 0x7fff_1234_5000;
        sregs.gs.base = 0x7fff_4321_5000;
        sregs.cr2 = 0xdead_b000;
        sregs.cr8 = 0;
        sregs.cr4 |= CR4_OSXSAVE;
        sregs.gdt.base = u64::from(DATA);
        sregs.gdt.limit = 0x57;
        if self.shape.apic == Apic::X2 {
            sregs.apic_base |= APIC_BASE_X2APIC;
        }
        fd.set_sregs(&sregs).unwrap();
        let regs = fd.get_regs().unwrap();
        fd.set_regs(&kvm_regs {
            rbx: 0x0b0b,
            rcx: 0x0c0c,
            r8: 8,
            r15: 0xffff_ffff_ffff_fff0,
            ..regs
        })
        .unwrap();
    }

    fn fill_xsave(&mut self) {
        let size = xsave::XsaveSize::of(self.vm.fd());
        let fd = self.vcpu.fd();
        let mut xcrs = fd.get_xcrs().unwrap();
        xcrs.nr_xcrs = 1;
        xcrs.xcrs[0] = kvm_xcr {
            value: X87_SSE_AVX,
            ..Default::default()
        };
        fd.set_xcrs(&xcrs).unwrap();
        let mut area = xsave::get(fd, size).unwrap();
        area[XSAVE_XMM0..][..16].fill(0x5a);
        area[XSAVE_YMM..][..16].fill(0xa5);
        area[XSAVE_HEADER] = 0b111;
        xsave::set(fd, size, &area).unwrap();
    }

    pub(super) fn fill_lapic(&mut self) {
        let fd = self.vcpu.fd();
        let mut lapic = fd.get_lapic().unwrap();
        let mut put = |at: usize, value: u32| {
            for (to, byte) in lapic.regs[at..].iter_mut().zip(value.to_le_bytes()) {
                *to = byte.cast_signed();
            }
        };
        put(APIC_TPR, 0x20);
        put(APIC_SPIV, 0x1ff);
        put(APIC_LVT_TIMER, LVT_TSC_DEADLINE);
        put(APIC_ICR, 0xfd);
        put(APIC_ICR_HIGH, 0x0300_0000);
        fd.set_lapic(&lapic).unwrap();
        let deadline = tsc::host_tsc().wrapping_add(FAR_AWAY);
        msrs::set_one(fd, msrs::IA32_TSC_DEADLINE, deadline).unwrap();
    }

    fn fill_msrs(&mut self) {
        let data = u64::from(DATA);
        let mut values = vec![
            (0x174, 0x10),              // SYSENTER_CS
            (0x175, NONSENSE),          // SYSENTER_ESP
            (0x277, 0x0007_0106),       // PAT
            (0xc000_0081, 0x23 << 48),  // STAR
            (0xc000_0082, NONSENSE),    // LSTAR
            (0xc000_0102, NONSENSE),    // KERNEL_GS_BASE
            (0x2ff, 0xc06),             // MTRR_DEF_TYPE
            (0x200, 0x8000_0006),       // MTRR_PHYSBASE0
            (0x400, u64::MAX),          // MC0_CTL
            (0x4b56_4d00, data + 1024), // WALL_CLOCK
            (0x4b56_4d01, data | 1),    // SYSTEM_TIME
            (0x4b56_4d03, data + 65),   // STEAL_TIME
        ];
        if self.shape.apic != Apic::None {
            values.push((0x4b56_4d04, data + 513)); // PV_EOI
        }
        for (index, value) in values {
            msrs::set_one(self.vcpu.fd(), index, value).unwrap();
        }
    }
}

/// An exception, and an NMI behind it.
fn fill_events(events: &mut kvm_vcpu_events, exceptions: Exceptions) {
    match exceptions {
        Exceptions::Folded => events.exception.injected = 1,
        Exceptions::Apart => {
            events.flags |= KVM_VCPUEVENT_VALID_PAYLOAD;
            events.exception.pending = 1;
        }
    }
    events.exception.nr = 13;
    events.exception.has_error_code = 1;
    events.exception.error_code = 0x18;
    events.nmi.pending = 1;
    events.nmi.masked = 1;
}

/// A state with something in every part, and what there is to keep of it.
pub(super) fn busy(shape: Shape, mp_state: MpState) -> (KvmVcpuState, Kept) {
    let mut machine = Machine::started(shape);
    machine.make_busy();
    machine.vcpu.set_mp_state(mp_state.to_kvm()).unwrap();
    let kept = machine.kept();
    (machine.save(&kept), kept)
}

/// Restores into a blank vCPU and saves again.
pub(super) fn restored_and_saved(shape: Shape, state: &KvmVcpuState, kept: &Kept) -> KvmVcpuState {
    let mut target = Machine::blank(shape);
    restore(target.vcpu.fd(), state, kept).unwrap();
    target.save(kept)
}
