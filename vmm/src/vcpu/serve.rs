//! One exit of the guest: what it asked for, and what comes after.

use std::time::Instant;

use guest_payload::abi::xen::PORT_XEN_HYPERCALL;
use guest_payload::abi::{
    Control, PORT_CONTROL, PORT_HALT, PORT_HYPERCALL, PORT_SEQUENCE, PORT_SPIN_EXIT,
};
use kvm_bindings::KVM_EXIT_XEN;
use kvm_ioctls::VcpuExit;

use super::debug::{GuestDebug, Stop};
use super::exits::Reason;
use super::shared::VcpuShared;
use super::xen::XenSide;
use crate::cpu::lapic::{Effect, LocalApic};
use crate::device::Asked;
use crate::device::serial::Wait;
use crate::os::time::context_switches;
use crate::ple::service::Then;
use crate::pv::apic_id::{Destination, VcpuIndex};
use crate::pv::kick::Kicker;
use crate::report::crash::CrashReason;
use crate::report::hex::Hex;
use crate::vcpu::board::Board;
use crate::vcpu::ending::Ending;

/// What to do after an exit.
pub(super) enum After {
    /// Enter the guest again.
    Continue,
    /// The guest called the hypercall stub.
    Hypercall,
    /// The guest called Xen's hypercall page.
    XenHypercall,
    /// The same, by a `vmcall` that KVM handed over.
    InterceptedXenHypercall,
    /// The guest called the halt stub, or executed HLT without an in-kernel local APIC.
    Halt,
    /// A breakpoint, a watchpoint, a step, or a debug exception of the guest's own.
    Debug(Stop),
    /// The guest wrote this byte to this port, or met what a debugger has planted.
    PortOut(u16, u8),
    /// KVM cannot go on; why is in `kvm_run`.
    InternalError,
    /// The machine is at its end.
    End(Ending),
}

/// Serves `exit`, but for what needs the vCPU itself.
pub(super) fn serve(
    exit: VcpuExit<'_>,
    board: &Board,
    shared: &VcpuShared,
    debug: &GuestDebug,
    lapic: Option<&mut LocalApic>,
    index: VcpuIndex,
) -> After {
    let exits = &shared.exits;
    match exit {
        VcpuExit::IoOut(port, &[byte]) if debug.traps_port_out() => After::PortOut(port, byte),
        VcpuExit::IoOut(port, data) => port_out(port, data, board, shared, index),
        VcpuExit::IoIn(port, data) => {
            exits.count(Reason::PortIn);
            match u8::try_from(port) {
                Ok(PORT_SEQUENCE) if board.has_stub_page => board.ports.counter.read(index, data),
                _ => board.ports.read(port, data),
            }
            After::Continue
        }
        VcpuExit::MmioRead(address, data) => {
            exits.count(Reason::MmioRead);
            match lapic {
                Some(lapic) => lapic.mmio_read(address, data),
                None => board.ports.mmio_read(address, data),
            }
            After::Continue
        }
        VcpuExit::MmioWrite(address, data) => {
            exits.count(Reason::MmioWrite);
            match lapic {
                Some(lapic) => apply(lapic.mmio_write(address, data), board, index),
                None => board.ports.mmio_write(address, data),
            }
            After::Continue
        }
        VcpuExit::X86Rdmsr(msr) => {
            exits.count(Reason::MsrRead);
            super::msr::read(msr, lapic, board.xen.as_ref());
            After::Continue
        }
        VcpuExit::X86Wrmsr(msr) => {
            exits.count(Reason::MsrWrite);
            let effect = super::msr::write(msr, lapic, board.xen.as_ref(), shared);
            apply(effect, board, index);
            After::Continue
        }
        VcpuExit::Hlt => {
            exits.count(Reason::Hlt);
            After::Halt
        }
        VcpuExit::Intr => {
            exits.count(Reason::Interrupted);
            After::Continue
        }
        VcpuExit::Shutdown => {
            exits.count(Reason::Shutdown);
            After::End(Ending::crashed(
                index,
                shared.apic_id,
                CrashReason::TripleFault,
            ))
        }
        VcpuExit::InternalError => {
            exits.count(Reason::InternalError);
            After::InternalError
        }
        VcpuExit::Debug(exit) => {
            exits.count(Reason::Debug);
            After::Debug(debug.classify(&exit))
        }
        VcpuExit::FailEntry(reason, _) => {
            exits.count(Reason::Other);
            let hardware_reason = Hex(reason);
            let reason = CrashReason::FailEntry { hardware_reason };
            After::End(Ending::crashed(index, shared.apic_id, reason))
        }
        VcpuExit::Unsupported(KVM_EXIT_XEN) if board.xen.is_some() => {
            exits.count(Reason::XenHypercall);
            After::InterceptedXenHypercall
        }
        VcpuExit::IrqWindowOpen | VcpuExit::SetTpr | VcpuExit::IoapicEoi(_) => {
            exits.count(Reason::Other);
            After::Continue
        }
        other => {
            exits.count(Reason::Other);
            let what =
                format!("KVM left the guest for a reason this VMM does not serve: {other:?}");
            let reason = CrashReason::Other { what };
            After::End(Ending::crashed(index, shared.apic_id, reason))
        }
    }
}

/// The end that the guest asked a device for.
fn asked_for(asked: Asked, index: VcpuIndex, shared: &VcpuShared) -> Ending {
    match asked {
        Asked::Reset => Ending::Reset,
        Asked::PowerOff => Ending::PowerOff,
        Asked::DebugExit(value) => Ending::DebugExit(value),
        Asked::GuestPanic => Ending::crashed(index, shared.apic_id, CrashReason::GuestPanic),
    }
}

/// Serves a write to a port.
pub(super) fn port_out(
    port: u16,
    data: &[u8],
    board: &Board,
    shared: &VcpuShared,
    index: VcpuIndex,
) -> After {
    let exits = &shared.exits;
    match u8::try_from(port) {
        Ok(PORT_HYPERCALL) if board.has_stub_page => {
            exits.count(Reason::HypercallStub);
            After::Hypercall
        }
        Ok(PORT_XEN_HYPERCALL) if board.xen.as_ref().is_some_and(XenSide::has_port) => {
            exits.count(Reason::XenHypercall);
            After::XenHypercall
        }
        Ok(PORT_HALT) if board.has_stub_page => {
            exits.count(Reason::HaltStub);
            After::Halt
        }
        Ok(PORT_SPIN_EXIT) if board.has_stub_page => {
            exits.count(Reason::SpinStub);
            spin_exit(data, board, shared, index);
            After::Continue
        }
        Ok(PORT_SEQUENCE) if board.has_stub_page => {
            exits.count(Reason::PortOut);
            board.ports.counter.write(index, data);
            After::Continue
        }
        Ok(PORT_CONTROL) if board.has_stub_page => {
            exits.count(Reason::PortOut);
            match board.control(data) {
                None => After::Continue,
                Some(Control::ExitCrashed) => After::End(Ending::crashed(
                    index,
                    shared.apic_id,
                    CrashReason::GuestPanic,
                )),
                Some(how) => After::End(Ending::Exit(how)),
            }
        }
        _ => {
            exits.count(Reason::PortOut);
            let wait = || match shared.control.is_pending() {
                true => Wait::Over,
                false => Wait::On,
            };
            match board.ports.write(port, data, wait) {
                None => After::Continue,
                Some(asked) => After::End(asked_for(asked, index, shared)),
            }
        }
    }
}

/// Serves a spin exit: its reason is the byte that was written.
fn spin_exit(data: &[u8], board: &Board, shared: &VcpuShared, index: VcpuIndex) {
    let (Some(spin), &[reason]) = (&board.spin, data) else {
        return;
    };
    let place = index.place();
    let is_interrupted = |vcpu: usize| {
        let vcpu = board.all().get(vcpu);
        vcpu.is_some_and(|vcpu| vcpu.halt.has_pending_start())
    };
    match spin.left(place, reason, is_interrupted, context_switches) {
        Then::GoOn => {}
        Then::StayOff(time) => shared.hold_off(Instant::now() + time),
        Then::BePreempted => {
            if let Some(sched) = &board.sched {
                sched.preempt(place);
            }
        }
    }
}

/// What a write to our local APIC makes other vCPUs do.
fn apply(effect: Option<Effect>, board: &Board, from: VcpuIndex) {
    match effect {
        None => {}
        Some(Effect::Init(destination)) => board.init(from, destination),
        Some(Effect::Sipi(destination, vector)) => board.sipi(from, destination, vector),
        Some(Effect::RemoteRead(destination)) => {
            board
                .kick
                .kick(Kicker::Vcpu(from), Destination::from_a1(destination.into()));
        }
    }
}
