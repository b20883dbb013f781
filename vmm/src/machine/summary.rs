//! From a finished machine to its report.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;

use guest_payload::abi::{Control, STATE_CRASHED};
use guest_payload::args::Mode as PayloadMode;
use guest_payload::pv::Backend;
use kvm_bindings::{kvm_regs, kvm_sregs};
use vm_memory::{Bytes, GuestAddress};

use super::events::{End, Finished};
use super::results::Header;
use super::{Machine, ple};
use crate::cpu::paging::{Access, LongModeTables, Mode};
use crate::host::Identity;
use crate::kvm::stats::{Counters, StatsFd, moved};
use crate::pv::KickBy;
use crate::report::cpu_counts::CpuCounts;
use crate::report::crash::{CrashReason, CrashReport, Registers};
use crate::report::hex::Hex;
use crate::report::payload::Tally;
use crate::report::percentile::cycles_to_ns;
use crate::report::run::{
    Config, EndedBy, Host, Kicks, Outcome, Preempt, RunReport, SCHEMA, SchedReport, Topology,
    VcpuReport, Workload,
};
use crate::vcpu::ending::{Crash, Ending};

/// The report of a run.
pub fn report(machine: &Machine, host: &Identity, finished: Finished) -> RunReport {
    let header = machine.payload().and_then(|view| view.header());
    let cpus = match (machine.payload(), &header) {
        (Some(view), Some(header)) => view.cpus(header),
        _ => Vec::new(),
    };
    let started = header.as_ref().filter(|header| header.start_tsc != 0);
    let elapsed = finished.elapsed.as_secs_f64();
    let seconds = started.map_or(elapsed, |header| workload_seconds(header, &finished));
    let payload = started.map(|header| {
        let mut tally = Tally::default();
        cpus.iter().for_each(|cpu| tally.add(cpu));
        // A guest under havoc writes to the counting device what it likes.
        if machine.blueprint.payload_args().mode != PayloadMode::Havoc {
            tally.add_device(&machine.board.ports.counter.counts());
        }
        tally.finish(seconds, header.tsc_khz)
    });
    let violated = payload
        .as_ref()
        .is_some_and(|payload| payload.violations.total() != 0);
    let debug_exit = match finished.end {
        End::Guest(Ending::DebugExit(value)) => Some(value),
        _ => None,
    };
    let (mut outcome, ended_by, hang, crash) = judge(finished.end, machine, header.as_ref());
    if violated && !matches!(outcome, Outcome::Hung | Outcome::Crashed) {
        outcome = Outcome::Violated;
    }
    RunReport {
        schema: SCHEMA.to_owned(),
        outcome,
        ended_by,
        host: Host {
            kind: host.kind,
            kernel: host.kernel.clone(),
        },
        config: config(machine, header.as_ref()),
        seconds,
        payload,
        kicks: takes_kicks(machine).then(|| kicks(machine)),
        vcpus: vcpus(machine, &cpus, header.map_or(0, |header| header.tsc_khz)),
        exits: exits(machine),
        kvm_stats: kvm_stats(machine),
        sched: sched(machine),
        ple: machine
            .ple
            .as_ref()
            .map(|ple| ple.report(machine.board.spin.as_ref())),
        kick_faults: machine.board.kick.faulty().map(ple::kick_faults),
        hang,
        crash,
        debug_exit,
    }
}

/// What the VMM's scheduler did, where there is one.
pub(super) fn sched(machine: &Machine) -> Option<SchedReport> {
    let sched = machine.board.sched.as_deref()?;
    let (config, figures, decisions) = (sched.config(), sched.figures(), sched.decisions());
    Some(SchedReport {
        policy: config.policy.name().to_owned(),
        pcpus: config.pcpus,
        slice_ns: u64::try_from(config.slice.as_nanos()).unwrap_or(u64::MAX),
        seed: config.seed,
        switches: figures.switches,
        expired: figures.expired,
        yields: figures.yields,
        preempted: figures.preempted,
        hand_over_p50_ns: figures.hand_over_p50_ns,
        hand_over_p99_ns: figures.hand_over_p99_ns,
        decisions: decisions.count,
        draws_digest: sched.draws_digest(&decisions).map(Hex),
        picks_digest: Hex(decisions.picks_digest()),
    })
}

/// The guest's own time where it has both ends of it, else the host's.
fn workload_seconds(header: &Header, finished: &Finished) -> f64 {
    let cycles = header.end_tsc.saturating_sub(header.start_tsc);
    if header.tsc_khz == 0 || header.end_tsc == 0 {
        return finished.elapsed.as_secs_f64();
    }
    cycles as f64 / (header.tsc_khz as f64 * 1000.0)
}

type Judgement = (
    Outcome,
    EndedBy,
    Option<crate::report::hang::HangReport>,
    Option<CrashReport>,
);

fn judge(end: End, machine: &Machine, header: Option<&Header>) -> Judgement {
    match end {
        End::Timeout => (Outcome::Timeout, EndedBy::Timeout, None, None),
        End::Interrupted => (Outcome::Timeout, EndedBy::Interrupt, None, None),
        End::Console => (Outcome::Stopped, EndedBy::Console, None, None),
        End::Hung(report) => (Outcome::Hung, EndedBy::Watchdog, Some(report), None),
        End::Guest(
            Ending::Exit(Control::ExitPassed)
            | Ending::Reset
            | Ending::PowerOff
            | Ending::DebugExit(_),
        ) => (Outcome::Completed, EndedBy::Guest, None, None),
        End::Guest(Ending::Stopped) => (Outcome::Stopped, EndedBy::Api, None, None),
        End::Guest(Ending::Left) => (Outcome::Migrated, EndedBy::Api, None, None),
        End::Guest(Ending::Exit(_)) => (Outcome::Violated, EndedBy::Guest, None, None),
        End::Guest(Ending::Crashed(crash)) => (
            Outcome::Crashed,
            EndedBy::Guest,
            None,
            Some(crash_report(machine, crash, header)),
        ),
        End::Guest(Ending::Failed(vcpu, error)) => {
            let crash = Crash {
                vcpu,
                apic_id: machine.board.vcpu(vcpu).map_or(0, |vcpu| vcpu.apic_id),
                reason: CrashReason::Other {
                    what: format!("KVM refused an ioctl: {error}"),
                },
                registers: None,
                instruction_bytes: Vec::new(),
            };
            (
                Outcome::Crashed,
                EndedBy::Guest,
                None,
                Some(crash_report(machine, crash, header)),
            )
        }
    }
}

/// What the payload wrote down about the exception it met, if it did.
fn guest_reason(header: &Header) -> Option<CrashReason> {
    let [vector, error_code, rip, cr2] = header.exception;
    let vector = u8::try_from(vector).ok()?;
    let is_exception = header.state == STATE_CRASHED && rip != 0;
    is_exception.then_some(CrashReason::GuestException {
        vector,
        error_code: Hex(error_code),
        rip: Hex(rip),
        cr2: Hex(cr2),
    })
}

fn crash_report(machine: &Machine, crash: Crash, header: Option<&Header>) -> CrashReport {
    let (regs, sregs) = crash.registers.map_or_else(Default::default, |both| *both);
    let registers = Registers::new(&regs, &sregs);
    let reason = match crash.reason {
        CrashReason::GuestPanic => header
            .and_then(guest_reason)
            .unwrap_or(CrashReason::GuestPanic),
        reason => reason,
    };
    let code = if crash.instruction_bytes.is_empty() {
        code_at(machine, &regs, &sregs)
    } else {
        crash.instruction_bytes
    };
    let mut report = CrashReport::new(crash.vcpu.0, crash.apic_id, reason, registers, code);
    report.symbol = machine
        .symbols
        .as_ref()
        .and_then(|symbols| symbols.at(regs.rip))
        .map(|(name, offset)| format!("{name}+{offset:#x}"));
    report
}

/// Up to 15 bytes of guest memory at RIP; none where it cannot be told which memory that is.
fn code_at(machine: &Machine, regs: &kvm_regs, sregs: &kvm_sregs) -> Vec<u8> {
    const INSTRUCTION_BYTES_MAX: usize = 15;
    const CR0_PG: u64 = 1 << 31;
    const EFER_LMA: u64 = 1 << 10;
    let linear = sregs.cs.base.wrapping_add(regs.rip);
    let read_entry = |gpa| machine.memory.read_obj(GuestAddress(gpa)).ok();
    let gpa = match (sregs.cr0 & CR0_PG != 0, sregs.efer & EFER_LMA != 0) {
        (false, _) => Some(linear),
        (true, true) => LongModeTables::new(sregs)
            .translate(linear, Access::Read, Mode::Supervisor, read_entry)
            .ok(),
        (true, false) => None,
    };
    let mut code = vec![0; INSTRUCTION_BYTES_MAX];
    let read = gpa
        .and_then(|gpa| machine.memory.read(&mut code, GuestAddress(gpa)).ok())
        .unwrap_or(0);
    code.truncate(read);
    code
}

fn config(machine: &Machine, header: Option<&Header>) -> Config {
    let blueprint = &machine.blueprint;
    let args = blueprint.payload_args();
    Config {
        guest: blueprint.guest.clone(),
        vcpus: blueprint.vcpus(),
        kick: blueprint.kick_by,
        halt: blueprint.halt_in,
        workload: header.map(|header| Workload {
            lock: header.lock.map_or("unknown", |lock| lock.name()).to_owned(),
            ring: u8::try_from(header.ring).unwrap_or(u8::MAX),
            ticket_bits: u8::try_from(header.ticket_bits).unwrap_or(u8::MAX),
            pv_active: header.backend != Backend::Native,
            pv: Some(header.backend.name().to_owned()),
            threshold_spins: header.threshold_spins,
            locks: args.locks,
            hold: args.hold.into(),
            think: args.think.into(),
            workload_seconds: f64::from(args.duration_ms) / 1000.0,
            seed: args.seed,
        }),
        memory_bytes: blueprint.memory_bytes,
        topology: Topology {
            sockets: blueprint.sockets,
            cores: blueprint.cores,
            threads: blueprint.threads,
        },
        pv_unhalt: blueprint.shows_pv_unhalt,
        enforce_pv: blueprint.enforce_pv,
        hint_realtime: blueprint.hint_realtime,
        xen_hypercalls: blueprint.xen.map(|xen| xen.hypercalls_by),
        halt_poll_ns: blueprint.halt_poll_ns.map(u64::from),
        disabled_exits: blueprint.disabled_exit_names(),
        host_cpus: machine.terms.cpus.as_ref().map(|cpus| cpus.to_vec()),
        cmdline: header.is_none().then(|| blueprint.cmdline.clone()),
        kick_site: machine.board.kick_site.map(Hex),
        preempt: machine.preempt.map(|asked| Preempt {
            per_second: asked.per_second,
            hold_ns: u64::try_from(asked.hold.as_nanos()).unwrap_or(u64::MAX),
        }),
    }
}

/// Whether kicks come to the VMM: KVM's, or Xen's events.
pub(super) fn takes_kicks(machine: &Machine) -> bool {
    machine.blueprint.kick_by == KickBy::Vmm || machine.blueprint.xen.is_some()
}

/// The kicks that the VMM handled.
pub(super) fn kicks(machine: &Machine) -> Kicks {
    let stats = machine.board.kick.stats();
    Kicks {
        handled: stats.handled.load(Relaxed),
        to_halted: stats.to_halted.load(Relaxed),
        to_running: stats.to_running.load(Relaxed),
        no_such_apic_id: stats.no_such_apic_id.load(Relaxed),
        broadcast: stats.broadcast.load(Relaxed),
        waiting_for_sipi: stats.waiting_for_sipi.load(Relaxed),
        not_accepted: stats.not_accepted.load(Relaxed),
        dropped: stats.dropped.load(Relaxed),
    }
}

fn vcpus(machine: &Machine, cpus: &[CpuCounts], tsc_khz: u64) -> Vec<VcpuReport> {
    machine
        .board
        .all()
        .iter()
        .map(|vcpu| {
            let cpu = cpus.iter().find(|cpu| cpu.apic_id == vcpu.apic_id);
            VcpuReport {
                apic_id: vcpu.apic_id,
                acquisitions: cpu.map(|cpu| cpu.acquisitions),
                halts: cpu.map(|cpu| cpu.halts),
                kicks_sent: cpu.map(|cpu| cpu.kicks_sent),
                wait_max_ns: cpu.and_then(|cpu| cycles_to_ns(cpu.wait_max_cycles, tsc_khz)),
                exits: vcpu.exits.total(),
            }
        })
        .collect()
}

fn exits(machine: &Machine) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for vcpu in machine.board.all() {
        vcpu.exits.add_to(&mut sums);
    }
    sums
}

/// KVM's counters that moved, over all vCPUs. The VM is ours from its start, so they began at 0.
fn kvm_stats(machine: &Machine) -> Counters {
    let mut first: Option<StatsFd> = None;
    let mut counters = Vec::new();
    for vcpu in machine.stopped_vcpus() {
        let opened = match &first {
            None => StatsFd::from_vcpu(vcpu.fd()),
            Some(first) => StatsFd::from_vcpu_like(vcpu.fd(), first),
        };
        // A kernel without binary statistics (before 5.14) has nothing to say here.
        let Ok(stats) = opened else { break };
        counters.extend(stats.read_counters());
        first.get_or_insert(stats);
    }
    moved(&[], &counters)
}
