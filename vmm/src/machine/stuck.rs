//! What a machine without progress looks like: each vCPU, what it waits for, its last kick.

use guest_payload::abi::{CPU_DONE, STATE_FINISHED};
use guest_payload::lock::{LockWordView, TicketBits};

use super::Machine;
use super::pause::PausedMachine;
use super::results::{Header, PayloadView};
use crate::pv::apic_id::VcpuIndex;
use crate::pv::kick::{Fate, Kicker, LastKick};
use crate::report::cpu_counts::CpuCounts;
use crate::report::hang::{self, OnPcpu, StuckVcpu, WaitFor};
use crate::report::hex::Hex;
use crate::sched::Pcpus;
use crate::sched::view::Standing;
use crate::vcpu::inspect;

/// Pauses all vCPUs, looks at each, and lets them go on. `None` if one could not be looked at:
/// such a machine is on its way to its end.
pub(super) fn look(machine: &Machine) -> Option<Vec<StuckVcpu>> {
    let vcpus = machine.board.all();
    // Who stands still has no token.
    let standings = standings(machine);
    let paused = PausedMachine::pause(machine);
    let inspections = paused.inspect();
    let payload = machine
        .payload()
        .and_then(|view| Some((view, view.header()?)));
    let counts = payload
        .map(|(view, header)| view.cpus(&header))
        .unwrap_or_default();
    let stuck = (0..)
        .zip(vcpus)
        .zip(inspections)
        .map(|((index, vcpu), inspection)| {
            let inspection = inspection?;
            let cpu = counts.iter().find(|cpu| cpu.apic_id == vcpu.apic_id);
            let is_done = cpu.is_some_and(|cpu| cpu.state == CPU_DONE)
                || payload.is_some_and(|(_, header)| header.state == STATE_FINISHED);
            Some(StuckVcpu {
                index,
                apic_id: vcpu.apic_id,
                activity: match inspection.activity {
                    inspect::Activity::Halted if is_done => hang::Activity::Done,
                    inspect::Activity::Halted => hang::Activity::Halted,
                    inspect::Activity::Running => hang::Activity::Running,
                    inspect::Activity::WaitingForSipi => hang::Activity::WaitingForSipi,
                },
                interrupts_enabled: inspection.interrupts_enabled(),
                pv_unhalted: inspection.pv_unhalted,
                rip: Hex(inspection.regs.rip),
                waits_for: payload.and_then(|(view, header)| wait_of(view, &header, cpu?, &counts)),
                last_kick: machine
                    .board
                    .kick
                    .last_kick(VcpuIndex(index))
                    .map(|kick| last_kick(machine, kick)),
                on_pcpu: standings.get(VcpuIndex(index).place()).copied(),
            })
        })
        .collect();
    drop(paused);
    stuck
}

/// Who has a token, by index; nothing where the host schedules.
fn standings(machine: &Machine) -> Vec<OnPcpu> {
    let Some(sched) = &machine.board.sched else {
        return Vec::new();
    };
    let on_pcpu = |vcpu| match sched.standing(vcpu) {
        Standing::OnPcpu => OnPcpu::Holds,
        Standing::Preempted | Standing::Kicked => OnPcpu::Waits,
        Standing::Halted | Standing::Away => OnPcpu::Off,
    };
    (0..sched.count()).map(on_pcpu).collect()
}

/// What a CPU of the payload waits for, and whose turn it is.
fn wait_of(
    view: PayloadView<'_>,
    header: &Header,
    cpu: &CpuCounts,
    counts: &[CpuCounts],
) -> Option<WaitFor> {
    if cpu.waiting_lock == 0 {
        return None;
    }
    let lock = view.lock(header, cpu.waiting_lock)?;
    let owner = lock
        .owner
        .and_then(|number| counts.get(usize::try_from(number).ok()?))
        .map(|owner| owner.apic_id);
    let bits = header.bits().unwrap_or(TicketBits::Eight);
    let word = header.lock?.view(bits, &lock.bytes);
    Some(match word {
        Some(LockWordView::Tickets {
            head,
            tail,
            slow_path,
            ..
        }) => WaitFor {
            lock_index: lock.index,
            ticket: Some(cpu.waiting_ticket),
            head: Some(head),
            tail: Some(tail),
            slow_path,
            owner,
            its_turn: head == cpu.waiting_ticket && owner.is_none(),
        },
        word => WaitFor {
            lock_index: lock.index,
            ticket: None,
            head: None,
            tail: None,
            slow_path: matches!(
                word,
                Some(LockWordView::Queue {
                    slow_path: true,
                    ..
                })
            ),
            owner,
            its_turn: matches!(
                word,
                Some(
                    LockWordView::Byte { locked: false, .. }
                        | LockWordView::Queue {
                            locked: Some(false),
                            ..
                        }
                )
            ),
        },
    })
}

fn last_kick(machine: &Machine, kick: LastKick) -> hang::LastKick {
    hang::LastKick {
        number: kick.number,
        from_apic_id: match kick.from {
            Kicker::Vcpu(index) => machine.board.vcpu(index).map(|vcpu| vcpu.apic_id),
            Kicker::Vmm => None,
        },
        age_ns: u64::try_from(kick.at.elapsed().as_nanos()).unwrap_or(u64::MAX),
        fate: match kick.fate {
            Fate::ToHalted => hang::KickFate::ToHalted,
            Fate::ToRunning => hang::KickFate::ToRunning,
            Fate::WaitingForSipi => hang::KickFate::WaitingForSipi,
            Fate::NotAccepted => hang::KickFate::NotAccepted,
            Fate::Dropped => hang::KickFate::Dropped,
            Fate::Swallowed => hang::KickFate::Swallowed,
            Fate::Misrouted => hang::KickFate::Misrouted,
            Fate::Delayed => hang::KickFate::Delayed,
        },
    }
}
