//! Arbitrary exits of arbitrary vCPUs, with arbitrary registers and guest memory, served as the run
//! loop serves them but without KVM. Every exit is served, data that the guest reads is there, kicks
//! are counted, and what the machine has become can be saved.
#![no_main]

#[path = "exits/exit.rs"]
mod exit;
#[path = "exits/machine.rs"]
mod machine;

use std::sync::atomic::Ordering::Relaxed;

use guest_payload::abi::xen::{MSR_HYPERCALL_PAGE, PORT_XEN_HYPERCALL};
use guest_payload::abi::{
    KVM_HC_KICK_CPU, PORT_CONTROL, PORT_HALT, PORT_HYPERCALL, PORT_SEQUENCE, PORT_SPIN_EXIT,
};
use kvm_bindings::KVM_EXIT_XEN;
use kvm_bindings::{kvm_debug_exit_arch, kvm_regs, kvm_sregs};
use kvm_ioctls::{MsrExitReason, ReadMsrExit, VcpuExit, WriteMsrExit};
use libfuzzer_sys::fuzz_target;
use vm_memory::{Bytes, GuestAddress};
use vmm::memory::{self, MemorySize};
use vmm::pv::apic_id::VcpuIndex;
use vmm::vcpu::fuzzing::{Registers, Rig};

use exit::Exit;
use machine::{Machine, VCPUS, rig};

/// Ports that somebody has.
const PORTS: [u16; 18] = [
    PORT_CONTROL as u16,
    PORT_SEQUENCE as u16,
    0x60,
    0x64,
    0x70,
    0x71,
    0xf4,
    0x3f8,
    0x3f9,
    0x3fb,
    0x3fd,
    0x505,
    0x510,
    0x511,
    0x600,
    0x604,
    0xcf9,
    0x2005,
];
/// IA32_APIC_BASE, registers of the x2APIC, Xen's hypercall page.
const MSRS: [u32; 6] = [0x1b, 0x802, 0x80f, 0x830, 0x83f, MSR_HYPERCALL_PAGE];
/// More than KVM brings in one exit.
const ACCESS_BYTES_MAX: usize = 4096;
/// Memory that a guest has at the start of a step.
const WRITE_BYTES_MAX: usize = 4096;
const STEPS_MAX: usize = 256;

/// Segments and control registers of a guest that is in ring 0, in 64-bit mode without paging.
fn system(user: bool, long: bool, cr3: u32, paging: bool, five: bool) -> kvm_sregs {
    let mut sregs = kvm_sregs {
        cr0: 1 | u64::from(paging) << 31,
        cr3: u64::from(cr3),
        cr4: 1 << 5 | u64::from(five) << 12,
        efer: u64::from(long) << 10 | u64::from(long) << 8,
        ..kvm_sregs::default()
    };
    sregs.cs.l = u8::from(long);
    sregs.ss.dpl = if user { 3 } else { 0 };
    sregs
}

fn msr_read(rig: &mut Rig, vcpu: VcpuIndex, index: u32, registers: &mut Registers) {
    let (mut error, mut data) = (0, 0);
    let exit = ReadMsrExit {
        error: &mut error,
        reason: MsrExitReason::Unknown,
        index,
        data: &mut data,
    };
    let ending = rig.exit(vcpu, VcpuExit::X86Rdmsr(exit), registers);
    assert!(ending.is_none() && error <= 1);
}

fn msr_write(rig: &mut Rig, vcpu: VcpuIndex, index: u32, data: u64, registers: &mut Registers) {
    let mut error = 0;
    let exit = WriteMsrExit {
        error: &mut error,
        reason: MsrExitReason::Unknown,
        index,
        data,
    };
    let ending = rig.exit(vcpu, VcpuExit::X86Wrmsr(exit), registers);
    assert!(ending.is_none() && error <= 1);
}

fuzz_target!(|input: (Machine, Vec<(u8, Exit)>)| {
    let (machine, exits) = input;
    let memory = memory::map(MemorySize::from_mib(2)).expect("2 MiB");
    let mut rig = rig(&machine, &memory);
    let mut registers = Registers {
        general: kvm_regs::default(),
        system: system(false, true, 0, false, false),
    };
    let mut over = false;
    for (vcpu, exit) in exits.into_iter().take(STEPS_MAX) {
        let vcpu = VcpuIndex(u32::from(vcpu) % VCPUS);
        let regs = &mut registers;
        let port_of = |port: u8| PORTS[usize::from(port) % PORTS.len()];
        let msr_of = |msr: u8| MSRS[usize::from(msr) % MSRS.len()];
        let out = |rig: &mut Rig, port: u8, data: u8, regs: &mut Registers| {
            rig.exit(vcpu, VcpuExit::IoOut(port.into(), &[data]), regs)
        };
        let ending = match exit {
            Exit::Out { port, mut data } => {
                data.truncate(ACCESS_BYTES_MAX);
                rig.exit(vcpu, VcpuExit::IoOut(port, &data), regs)
            }
            Exit::KnownOut { port, data } => {
                rig.exit(vcpu, VcpuExit::IoOut(port_of(port), &[data]), regs)
            }
            Exit::In { port, bytes } => {
                let mut data = vec![0; usize::from(bytes) % ACCESS_BYTES_MAX];
                rig.exit(vcpu, VcpuExit::IoIn(port, &mut data), regs)
            }
            Exit::KnownIn { port, bytes } => {
                let mut data = vec![0; usize::from(bytes)];
                rig.exit(vcpu, VcpuExit::IoIn(port_of(port), &mut data), regs)
            }
            Exit::MmioRead { address, bytes } => {
                let mut data = [0; 8];
                let data = &mut data[..1 + usize::from(bytes) % 8];
                rig.exit(vcpu, VcpuExit::MmioRead(address, data), regs)
            }
            Exit::MmioWrite { address, mut data } => {
                data.truncate(8);
                rig.exit(vcpu, VcpuExit::MmioWrite(address, &data), regs)
            }
            Exit::LapicWrite { register, value } => {
                let address = 0xfee0_0000 + 16 * u64::from(register);
                let value = value.to_le_bytes();
                rig.exit(vcpu, VcpuExit::MmioWrite(address, &value), regs)
            }
            Exit::LapicRead { register } => {
                let address = 0xfee0_0000 + 16 * u64::from(register);
                rig.exit(vcpu, VcpuExit::MmioRead(address, &mut [0; 4]), regs)
            }
            Exit::ReadMsr(index) => {
                msr_read(&mut rig, vcpu, index, regs);
                None
            }
            Exit::WriteMsr(index, data) => {
                msr_write(&mut rig, vcpu, index, data, regs);
                None
            }
            Exit::KnownReadMsr(index) => {
                msr_read(&mut rig, vcpu, msr_of(index), regs);
                None
            }
            Exit::KnownWriteMsr(index, data) => {
                msr_write(&mut rig, vcpu, msr_of(index), data, regs);
                None
            }
            Exit::Kick { destination } => {
                (regs.general.rax, regs.general.rcx) = (KVM_HC_KICK_CPU, destination.into());
                let handled = |rig: &Rig| rig.board().kick.stats().handled.load(Relaxed);
                let before = handled(&rig);
                let ending = out(&mut rig, PORT_HYPERCALL, 0, regs);
                let is_allowed = regs.system.ss.dpl == 0 || rig.board().user_hypercalls_allowed();
                let is_kick = is_allowed && machine.takes_kicks();
                assert_eq!(handled(&rig) - before, u64::from(is_kick));
                ending
            }
            Exit::Hypercall { number, a0, a1 } => {
                (regs.general.rax, regs.general.rbx, regs.general.rcx) = (number, a0, a1);
                out(&mut rig, PORT_HYPERCALL, 0, regs)
            }
            Exit::XenHypercall {
                number,
                operation,
                at,
            } => {
                regs.general.rax = number.into();
                (regs.general.rdi, regs.general.rsi) = (operation.into(), at);
                out(&mut rig, PORT_XEN_HYPERCALL, 0, regs)
            }
            Exit::Halt => out(&mut rig, PORT_HALT, 0, regs),
            Exit::Spin { reason } => out(&mut rig, PORT_SPIN_EXIT, reason, regs),
            Exit::Debug { exception, pc, dr6 } => {
                let arch = kvm_debug_exit_arch {
                    exception,
                    pc,
                    dr6,
                    ..kvm_debug_exit_arch::default()
                };
                rig.exit(vcpu, VcpuExit::Debug(arch), regs)
            }
            Exit::FailEntry(reason) => rig.exit(vcpu, VcpuExit::FailEntry(reason, 0), regs),
            Exit::Hlt => rig.exit(vcpu, VcpuExit::Hlt, regs),
            Exit::Intr => rig.exit(vcpu, VcpuExit::Intr, regs),
            Exit::Shutdown => rig.exit(vcpu, VcpuExit::Shutdown, regs),
            Exit::InternalError => rig.exit(vcpu, VcpuExit::InternalError, regs),
            Exit::Xen => rig.exit(vcpu, VcpuExit::Unsupported(KVM_EXIT_XEN), regs),
            Exit::Eoi(vector) => rig.exit(vcpu, VcpuExit::IoapicEoi(vector), regs),
            Exit::Other(reason) => rig.exit(vcpu, VcpuExit::Unsupported(reason), regs),
            Exit::Memory { at, mut bytes } => {
                bytes.truncate(WRITE_BYTES_MAX);
                let _ = memory.write_slice(&bytes, GuestAddress(at.into()));
                None
            }
            Exit::System {
                user,
                long,
                cr3,
                paging,
                five,
            } => {
                regs.system = system(user, long, cr3, paging, five);
                None
            }
            Exit::Late => {
                rig.board().kick.deliver_due();
                None
            }
        };
        if let Some(ending) = ending {
            over |= rig.board().end(ending);
        }
    }
    assert_eq!(over, rig.board().has_ended());
    rig.board().kick.flush_late();
    let _ = rig.board().ports.save();
    if let Some(xen) = &rig.board().xen {
        xen.interface
            .load(&xen.interface.save())
            .expect("what was saved can be loaded");
    }
});
