//! One exit of the guest: what it asked for, and what comes after.

use guest_payload::abi::{
    Control, PORT_CONTROL, PORT_HALT, PORT_HYPERCALL, PORT_SEQUENCE, PORT_SPIN_EXIT,
};
use kvm_ioctls::VcpuExit;

use super::exits::Reason;
use super::shared::VcpuShared;
use crate::cpu::lapic::{Effect, LocalApic};
use crate::device::ports::Reset;
use crate::device::serial::Wait;
use crate::pv::apic_id::{Destination, VcpuIndex};
use crate::pv::kick::Kicker;
use crate::report::crash::CrashReason;
use crate::report::hex::Hex;
use crate::vcpu::board::{Board, Ending};

/// What to do after an exit.
pub(super) enum After {
    /// Enter the guest again.
    Continue,
    /// The guest called the hypercall stub.
    Hypercall,
    /// The guest called the halt stub, or executed HLT without an in-kernel local APIC.
    Halt,
    /// The machine is at its end.
    End(Ending),
}

/// Serves `exit`, but for what needs the vCPU itself.
pub(super) fn serve(
    exit: VcpuExit<'_>,
    board: &Board,
    shared: &VcpuShared,
    lapic: Option<&mut LocalApic>,
    index: VcpuIndex,
) -> After {
    let exits = &shared.exits;
    match exit {
        VcpuExit::IoOut(port, data) => match u8::try_from(port) {
            Ok(PORT_HYPERCALL) if board.has_stub_page => {
                exits.count(Reason::HypercallStub);
                After::Hypercall
            }
            Ok(PORT_HALT) if board.has_stub_page => {
                exits.count(Reason::HaltStub);
                After::Halt
            }
            Ok(PORT_SPIN_EXIT) if board.has_stub_page => {
                exits.count(Reason::SpinStub);
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
                    Some(Reset) => After::End(Ending::Reset),
                }
            }
        },
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
                None => data.fill(0xff),
            }
            After::Continue
        }
        VcpuExit::MmioWrite(address, data) => {
            exits.count(Reason::MmioWrite);
            let effect = lapic.and_then(|lapic| lapic.mmio_write(address, data));
            apply(effect, board, index);
            After::Continue
        }
        VcpuExit::X86Rdmsr(msr) => {
            exits.count(Reason::MsrRead);
            super::msr::read(msr, lapic);
            After::Continue
        }
        VcpuExit::X86Wrmsr(msr) => {
            exits.count(Reason::MsrWrite);
            let effect = super::msr::write(msr, lapic, shared);
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
            // `with_registers` says more once `kvm_run` is free.
            After::End(Ending::crashed(
                index,
                shared.apic_id,
                CrashReason::EmulationFailure,
            ))
        }
        VcpuExit::FailEntry(reason, _) => {
            exits.count(Reason::Other);
            let hardware_reason = Hex(reason);
            let reason = CrashReason::FailEntry { hardware_reason };
            After::End(Ending::crashed(index, shared.apic_id, reason))
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
