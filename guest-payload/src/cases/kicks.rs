//! The cases, each by the book of `kvm_emulate_hypercall` (Linux `arch/x86/kvm/x86.c`).

use guest_payload::abi::{FEATURE_PV_UNHALT, KVM_HC_KICK_CPU, KVM_HC_VAPIC_POLL_IRQ};
use guest_payload::conformance::{Case, Fact, KICKS_BEFORE_SIPI};

use super::report::{Outcome, Seen};
use super::team::{Cpu, First, Team, kick};
use crate::arch::{acpi, apic, caller, clock};
use crate::platform::hypercall_stub;

type Run = fn(&mut Team) -> Outcome;

/// Every case and what it does.
pub(crate) const CASES: &[(Case, Run)] = &[
    (Case::KickBeforeSipi, kick_before_sipi),
    (Case::KnownId, known_id),
    (Case::UnknownId, unknown_id),
    (Case::Cpl3, cpl3),
    (Case::UnknownNumber, unknown_number),
    (Case::PollIrq, poll_irq),
    (Case::HighBitsOfNumber, high_bits_of_number),
    (Case::HighBitsOfA1, high_bits_of_a1),
    (Case::Flags, flags),
    (Case::Broadcast, broadcast),
    (Case::KickSelf, kick_self),
    (Case::ManyKicks, many_kicks),
    (Case::KickBeforeHlt, kick_before_hlt),
    (Case::Caller32, caller_32_bit),
    (Case::SoftwareDisabledApic, software_disabled_apic),
    (Case::SparseIds, sparse_ids),
    (Case::IdAbove254, id_above_254),
    (Case::FeatureOffEnforced, feature_off_enforced),
    (Case::FeatureOffNotEnforced, feature_off_not_enforced),
];

/// A hypercall number that KVM does not know.
const UNKNOWN_NUMBER: u64 = 99;
/// High halves that must be dropped, or must not.
const HIGH_BITS: u64 = 0xdead_beef << 32;
/// What a witness does so often, a CPU that was about to wake has had time for. Too few can let a
/// wrong wake-up pass unseen; no number makes a right one fail.
const WITNESS_ROUNDS: u32 = 24;
/// Kicks in [`Case::ManyKicks`].
const MANY: u32 = 5;

const TOO_FEW_CPUS: Outcome = Outcome::Skip("too-few-cpus");

/// The `n`-th CPU but this one, in the order of the firmware's table.
fn other(team: &Team, n: usize) -> Option<u32> {
    let (own, mut at, mut found) = (apic::id_from_cpuid(), 0, None);
    acpi::for_each_cpu(team.rsdp(), |id| {
        if id != own {
            if at == n {
                found = Some(id);
            }
            at += 1;
        }
    });
    found
}

fn exists(team: &Team, apic_id: u32) -> bool {
    let mut exists = false;
    acpi::for_each_cpu(team.rsdp(), |id| exists |= id == apic_id);
    exists
}

/// The CPU that most cases kick, and one that bears witness.
fn pair(team: &mut Team) -> Option<(Cpu, Cpu)> {
    let (sleeper, witness) = (other(team, 0)?, other(team, 1)?);
    Some((team.cpu(sleeper)?, team.cpu(witness)?))
}

/// Whether a CPU, of whose HLTs `returned` have returned, sleeps in the next one.
fn sleep_or_wake(cpu: Cpu, returned: u32, witness: Cpu) -> Fact {
    for _ in 0..WITNESS_ROUNDS {
        witness.answer();
    }
    if cpu.returned() == returned {
        Fact::Sleeps
    } else {
        Fact::Wakes
    }
}

/// A CPU that halts once; `call` kicks it, or tries to.
fn kick_halted(team: &mut Team, call: impl FnOnce(u32) -> i64) -> Outcome {
    let Some((cpu, _)) = pair(team) else {
        return TOO_FEW_CPUS;
    };
    let mut seen = Seen::new();
    let returned = cpu.returned();
    cpu.order(First::Nothing, 1);
    seen.see(Fact::Answer(call(cpu.apic_id)));
    cpu.wait_past(returned);
    seen.see(Fact::Wakes);
    cpu.wait_done();
    Outcome::Seen(seen)
}

/// A CPU that halts once and that `call` does not wake.
fn do_not_wake(team: &mut Team, call: impl FnOnce(&Team, u32) -> i64) -> Outcome {
    let Some((cpu, witness)) = pair(team) else {
        return TOO_FEW_CPUS;
    };
    let mut seen = Seen::new();
    let returned = cpu.returned();
    cpu.order(First::Nothing, 1);
    seen.see(Fact::Answer(call(team, cpu.apic_id)));
    seen.see(sleep_or_wake(cpu, returned, witness));
    kick(cpu.apic_id);
    cpu.wait_done();
    Outcome::Seen(seen)
}

/// A CPU that sleeps until it is kicked.
fn sleep_then_kick(cpu: Cpu, witness: Cpu, seen: &mut Seen) {
    let returned = cpu.returned();
    cpu.order(First::Nothing, 1);
    seen.see(sleep_or_wake(cpu, returned, witness));
    seen.see(Fact::Answer(kick(cpu.apic_id)));
    cpu.wait_past(returned);
    seen.see(Fact::Wakes);
    cpu.wait_done();
}

fn known_id(team: &mut Team) -> Outcome {
    let Some((cpu, witness)) = pair(team) else {
        return TOO_FEW_CPUS;
    };
    let mut seen = Seen::new();
    sleep_then_kick(cpu, witness, &mut seen);
    Outcome::Seen(seen)
}

fn unknown_id(team: &mut Team) -> Outcome {
    do_not_wake(team, |team, _| {
        let nobody = (0..).find(|id| !exists(team, *id)).unwrap_or(0);
        kick(nobody)
    })
}

fn cpl3(team: &mut Team) -> Outcome {
    do_not_wake(team, |_, id| {
        caller::hypercall_from_cpl3(KVM_HC_KICK_CPU, 0, id.into())
    })
}

fn unknown_number(_: &mut Team) -> Outcome {
    let mut seen = Seen::new();
    seen.see(Fact::Answer(hypercall_stub(UNKNOWN_NUMBER, 0, 0)));
    Outcome::Seen(seen)
}

fn poll_irq(_: &mut Team) -> Outcome {
    let mut seen = Seen::new();
    seen.see(Fact::Answer(hypercall_stub(KVM_HC_VAPIC_POLL_IRQ, 0, 0)));
    Outcome::Seen(seen)
}

fn high_bits_of_number(team: &mut Team) -> Outcome {
    do_not_wake(team, |_, id| {
        hypercall_stub(HIGH_BITS | KVM_HC_KICK_CPU, 0, id.into())
    })
}

fn high_bits_of_a1(team: &mut Team) -> Outcome {
    kick_halted(team, |id| {
        hypercall_stub(KVM_HC_KICK_CPU, 0, HIGH_BITS | u64::from(id))
    })
}

fn flags(team: &mut Team) -> Outcome {
    kick_halted(team, |id| {
        hypercall_stub(KVM_HC_KICK_CPU, u64::MAX, id.into())
    })
}

fn broadcast(team: &mut Team) -> Outcome {
    const EVERYBODY: u32 = 0xff;
    let Some((one, two)) = pair(team) else {
        return TOO_FEW_CPUS;
    };
    let mut seen = Seen::new();
    let returned = (one.returned(), two.returned());
    one.order(First::Nothing, 1);
    two.order(First::Nothing, 1);
    seen.see(Fact::Answer(kick(EVERYBODY)));
    one.wait_past(returned.0);
    seen.see(Fact::Wakes);
    two.wait_past(returned.1);
    seen.see(Fact::Wakes);
    one.wait_done();
    two.wait_done();
    Outcome::Seen(seen)
}

/// The first of two HLTs has to return at once, the second only after a kick.
fn one_wakes_one_sleeps(cpu: Cpu, returned: u32, witness: Cpu, seen: &mut Seen) {
    cpu.wait_past(returned);
    seen.see(Fact::Wakes);
    seen.see(sleep_or_wake(cpu, returned + 1, witness));
    kick(cpu.apic_id);
    cpu.wait_past(returned + 1);
    seen.see(Fact::Wakes);
    cpu.wait_done();
}

fn kick_self(team: &mut Team) -> Outcome {
    let Some((cpu, witness)) = pair(team) else {
        return TOO_FEW_CPUS;
    };
    let mut seen = Seen::new();
    let returned = cpu.returned();
    cpu.order(First::KickSelf, 2);
    seen.see(Fact::Answer(cpu.answer_to_own_kick()));
    one_wakes_one_sleeps(cpu, returned, witness, &mut seen);
    Outcome::Seen(seen)
}

/// 0 if all were answered so, else the first other answer.
fn kick_often(times: u32, apic_id: u32) -> i64 {
    (0..times)
        .map(|_| kick(apic_id))
        .fold(0, |first, rax| if first == 0 { rax } else { first })
}

fn many_kicks(team: &mut Team) -> Outcome {
    let Some((cpu, witness)) = pair(team) else {
        return TOO_FEW_CPUS;
    };
    let mut seen = Seen::new();
    let returned = cpu.returned();
    cpu.order(First::WaitForGo, 2);
    seen.see(Fact::Answer(kick_often(MANY, cpu.apic_id)));
    cpu.let_go();
    one_wakes_one_sleeps(cpu, returned, witness, &mut seen);
    Outcome::Seen(seen)
}

fn kick_before_hlt(team: &mut Team) -> Outcome {
    let Some((cpu, _)) = pair(team) else {
        return TOO_FEW_CPUS;
    };
    let mut seen = Seen::new();
    let returned = cpu.returned();
    cpu.order(First::WaitForGo, 1);
    seen.see(Fact::Answer(kick(cpu.apic_id)));
    cpu.let_go();
    cpu.wait_past(returned);
    seen.see(Fact::Wakes);
    cpu.wait_done();
    Outcome::Seen(seen)
}

fn kick_before_sipi(team: &mut Team) -> Outcome {
    let Some((_, witness)) = pair(team) else {
        return TOO_FEW_CPUS;
    };
    let waiting = (2..)
        .map_while(|n| other(team, n))
        .find(|id| !team.is_up(*id));
    let Some(waiting) = waiting else {
        return Outcome::Skip("all-cpus-are-up");
    };
    let mut seen = Seen::new();
    seen.see(Fact::Answer(kick_often(KICKS_BEFORE_SIPI, waiting)));
    for _ in 0..WITNESS_ROUNDS {
        witness.answer();
    }
    let Some(cpu) = team.cpu(waiting) else {
        return TOO_FEW_CPUS;
    };
    seen.see(Fact::Starts);
    let returned = cpu.returned();
    cpu.order(First::Nothing, 1);
    seen.see(sleep_or_wake(cpu, returned, witness));
    kick(cpu.apic_id);
    cpu.wait_past(returned);
    seen.see(Fact::Wakes);
    cpu.wait_done();
    Outcome::Seen(seen)
}

fn caller_32_bit(team: &mut Team) -> Outcome {
    let Some((cpu, _)) = pair(team) else {
        return TOO_FEW_CPUS;
    };
    let mut seen = Seen::new();
    let returned = cpu.returned();
    cpu.order(First::Nothing, 1);
    let id = HIGH_BITS | u64::from(cpu.apic_id);
    let rax = caller::hypercall_from_32_bit(HIGH_BITS | KVM_HC_KICK_CPU, HIGH_BITS, id);
    seen.see(Fact::Answer(rax));
    cpu.wait_past(returned);
    seen.see(Fact::Wakes);
    cpu.wait_done();
    let rax = caller::hypercall_from_32_bit(HIGH_BITS | UNKNOWN_NUMBER, 0, 0);
    seen.see(Fact::Answer(rax));
    Outcome::Seen(seen)
}

fn software_disabled_apic(team: &mut Team) -> Outcome {
    let Some((cpu, _)) = pair(team) else {
        return TOO_FEW_CPUS;
    };
    let mut seen = Seen::new();
    let returned = cpu.returned();
    cpu.order(First::DisableApic, 1);
    seen.see(Fact::Answer(kick(cpu.apic_id)));
    cpu.wait_past(returned);
    seen.see(Fact::Wakes);
    cpu.wait_done();
    Outcome::Seen(seen)
}

/// Kicks an ID in a gap, then the first ID after it. By index the first would be that CPU's, and
/// the second the next one's.
fn sparse_ids(team: &mut Team) -> Outcome {
    let Some((_, witness)) = pair(team) else {
        return TOO_FEW_CPUS;
    };
    let after_gap = (2..).map_while(|n| other(team, n)).position(|id| {
        let gap = id.wrapping_sub(1);
        !exists(team, gap) && gap < id
    });
    let Some(at) = after_gap.map(|at| at + 2) else {
        return Outcome::Skip("no-gap-among-apic-ids");
    };
    let (Some(one), Some(next)) = (other(team, at), other(team, at + 1)) else {
        return TOO_FEW_CPUS;
    };
    let (Some(one), Some(next)) = (team.cpu(one), team.cpu(next)) else {
        return TOO_FEW_CPUS;
    };
    let mut seen = Seen::new();
    let returned = (one.returned(), next.returned());
    one.order(First::Nothing, 1);
    next.order(First::Nothing, 1);
    seen.see(Fact::Answer(kick(one.apic_id - 1)));
    seen.see(sleep_or_wake(one, returned.0, witness));
    seen.see(Fact::Answer(kick(one.apic_id)));
    one.wait_past(returned.0);
    seen.see(Fact::Wakes);
    seen.see(sleep_or_wake(next, returned.1, witness));
    one.wait_done();
    kick(next.apic_id);
    next.wait_done();
    Outcome::Seen(seen)
}

fn id_above_254(team: &mut Team) -> Outcome {
    const LAST_8_BIT_ID: u32 = 254;
    let Some((_, witness)) = pair(team) else {
        return TOO_FEW_CPUS;
    };
    let far = (2..)
        .map_while(|n| other(team, n))
        .find(|id| *id > LAST_8_BIT_ID);
    let Some(cpu) = far.and_then(|id| team.cpu(id)) else {
        return Outcome::Skip("no-apic-id-above-254");
    };
    let mut seen = Seen::new();
    sleep_then_kick(cpu, witness, &mut seen);
    Outcome::Seen(seen)
}

fn pv_unhalt_is_shown() -> bool {
    clock::kvm_features().0 & FEATURE_PV_UNHALT != 0
}

fn feature_off_enforced(_: &mut Team) -> Outcome {
    if pv_unhalt_is_shown() {
        return Outcome::Skip("pv-unhalt-is-shown");
    }
    let mut seen = Seen::new();
    seen.see(Fact::Answer(kick(apic::id_from_cpuid())));
    Outcome::Seen(seen)
}

fn feature_off_not_enforced(team: &mut Team) -> Outcome {
    if pv_unhalt_is_shown() {
        return Outcome::Skip("pv-unhalt-is-shown");
    }
    known_id(team)
}
