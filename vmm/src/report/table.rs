//! The report as a text table, read from the top: verdict, throughput, where time went.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use guest_payload::pv::Backend;

use super::payload::PayloadResults;
use super::row::{LABEL, row};
use super::run::{Config, EndedBy, Outcome, RunReport, SchedReport, VcpuReport, Workload};
use super::units;
use super::violations::Violations;

/// With more vCPUs than this, only the least, the median and the most are shown.
const VCPUS_LISTED: usize = 8;

/// The whole table, with a newline at its end. No line is longer than
/// [`WIDTH`](super::wrap::WIDTH) characters, unless the guest's path is.
pub fn render(report: &RunReport) -> String {
    let mut text = String::new();
    // Writing to a String does not fail.
    let _ = write!(text, "{}", Table(report));
    text
}

struct Table<'a>(&'a RunReport);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = self.0;
        writeln!(f, "{}", verdict(report))?;
        write!(f, "{}", Setup(report))?;
        if let Some(hang) = &report.hang {
            write!(f, "\n{hang}")?;
        }
        if let Some(crash) = &report.crash {
            write!(f, "\n{crash}")?;
        }
        writeln!(f)?;
        if let Some(payload) = &report.payload {
            payload_rows(f, payload)?;
        }
        if let Some(kicks) = &report.kicks {
            let cells = [
                ("handled", kicks.handled),
                ("to halted", kicks.to_halted),
                ("to running", kicks.to_running),
                ("no such ID", kicks.no_such_apic_id),
                ("broadcast", kicks.broadcast),
                ("dropped", kicks.dropped),
                ("awaiting SIPI", kicks.waiting_for_sipi),
                ("not accepted", kicks.not_accepted),
            ];
            // The first four are what a reader looks for; the others only where they happened.
            let shown = |&(index, (_, count)): &(usize, (_, u64))| index < 4 || count > 0;
            let cells = cells.into_iter().enumerate().filter(shown);
            row(
                f,
                "kicks",
                4,
                cells.map(|(_, (name, n))| (name, units::count(n))),
            )?;
        }
        if let Some(sched) = &report.sched {
            sched_rows(f, sched)?;
        }
        if let Some(kick_faults) = &report.kick_faults {
            write!(f, "{kick_faults}")?;
        }
        if let Some(ple) = &report.ple {
            write!(f, "{ple}")?;
        }
        vcpu_rows(f, &report.vcpus)?;
        row(f, "exits", 3, by_count(&report.exits))?;
        row(f, "KVM stats", 2, report.kvm_stats.iter().map(kvm_stat))
    }
}

/// The outcome in one line.
fn verdict(report: &RunReport) -> String {
    let payload = report.payload.as_ref();
    let all_checks = payload.map_or("", |_| ": every check held");
    match report.outcome {
        Outcome::Completed => match report.debug_exit {
            Some(value) => format!("ENDED by the guest with {value:#x} on the debug-exit port"),
            None => format!("PASSED{all_checks}"),
        },
        Outcome::Violated => {
            let violations = payload.map(|payload| payload.violations);
            format!(
                "FAILED: {}",
                broken_promises(&violations.unwrap_or_default())
            )
        }
        Outcome::Hung => "FAILED: the guest hangs".into(),
        Outcome::Crashed => "FAILED: the guest crashed".into(),
        Outcome::Stopped => match report.ended_by {
            EndedBy::Console => "STOPPED from its console before the guest had finished".into(),
            _ => "STOPPED over the API before the guest had finished".into(),
        },
        Outcome::Migrated => "MIGRATED: the guest runs in another process now".into(),
        Outcome::Timeout => match report.ended_by {
            EndedBy::Interrupt => "STOPPED by the user before the guest had finished".into(),
            _ => "STOPPED by --timeout before the guest had finished".into(),
        },
    }
}

fn broken_promises(violations: &Violations) -> String {
    let kinds = [
        ("mutual exclusion broken", violations.mutual_exclusion),
        ("ticket served out of turn", violations.fifo),
        (
            "lock touched after its release",
            violations.touch_after_unlock,
        ),
        ("I/O repeated", violations.io_duplicated),
        ("I/O lost", violations.io_lost),
        ("TSC went back", violations.tsc_backwards),
        ("kvmclock went back", violations.kvmclock_backwards),
    ];
    let broken: Vec<_> = kinds
        .into_iter()
        .filter(|&(_, times)| times > 0)
        .map(|(kind, times)| match times {
            1 => format!("{kind} once"),
            _ => format!("{kind} {} times", units::count(times)),
        })
        .collect();
    if broken.is_empty() {
        return "the guest says that a check failed".into();
    }
    broken.join(", ")
}

/// What ran on what, in two lines.
struct Setup<'a>(&'a RunReport);

impl fmt::Display for Setup<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RunReport {
            config,
            host,
            seconds,
            ..
        } = self.0;
        let Config {
            vcpus, kick, halt, ..
        } = config;
        let plural = if *vcpus == 1 { "" } else { "s" };
        match &config.workload {
            Some(workload) => write!(f, "{}", Lock(workload))?,
            None => write!(f, "{}", config.guest)?,
        }
        writeln!(f, ", {vcpus} vCPU{plural}, {seconds:.2} s")?;
        let pv_unhalt = if config.pv_unhalt { "on" } else { "off" };
        let xen = match config.xen_hypercalls {
            Some(by) => format!(", Xen by {by}"),
            None => String::new(),
        };
        writeln!(
            f,
            "kick {kick}, halt {halt}, PV_UNHALT {pv_unhalt}{xen}, {}, {} host, Linux {}",
            units::bytes(config.memory_bytes),
            host.kind,
            host.kernel
        )
    }
}

struct Lock<'a>(&'a Workload);

impl fmt::Display for Lock<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Workload {
            lock,
            ring,
            ticket_bits,
            pv_active,
            pv,
            threshold_spins,
            locks,
            hold,
            think,
            ..
        } = self.0;
        if *locks != 1 {
            write!(f, "{locks} x ")?;
        }
        write!(f, "{lock}")?;
        if *ticket_bits != 0 {
            write!(f, " u{ticket_bits}")?;
        }
        write!(f, " in ring {ring}, hold {hold}, think {think}")?;
        match pv_active {
            true if pv.as_deref() == Some(Backend::Xen.name()) => {
                write!(f, ", polls after {threshold_spins} spins")
            }
            true => write!(f, ", halts after {threshold_spins} spins"),
            false => f.write_str(", never halts"),
        }
    }
}

fn payload_rows(f: &mut fmt::Formatter<'_>, payload: &PayloadResults) -> fmt::Result {
    let mut cells = vec![
        ("rate", units::per_second(payload.acquisitions_per_s)),
        ("total", units::count(payload.acquisitions)),
    ];
    row(f, "acquired", 4, cells.drain(..))?;
    if let Some(fairness) = payload.fairness {
        let cells = [
            ("Jain", format!("{:.4}", fairness.jain)),
            ("least", units::count(fairness.least)),
            ("most", units::count(fairness.most)),
        ];
        row(f, "fairness", 4, cells)?;
    }
    if let Some(wait) = payload.wait_ns {
        let cells = [
            ("p50", wait.p50),
            ("p99", wait.p99),
            ("p99.9", wait.p999),
            ("max", wait.max),
        ];
        row(f, "wait", 4, cells.map(|(name, ns)| (name, units::ns(ns))))?;
    }
    if let Some(kick) = payload.kick_ns {
        let cells = [
            ("p50", kick.kick_p50_ns),
            ("p99", kick.kick_p99_ns),
            ("max", kick.kick_max_ns),
        ];
        row(
            f,
            "kick took",
            4,
            cells.map(|(name, ns)| (name, units::ns(ns))),
        )?;
    }
    let guest = &payload.guest;
    let count = units::count;
    let cells = [
        ("taken", count(guest.taken_slow)),
        ("picked up", count(guest.taken_slow_pickup)),
        ("released", count(guest.released_slow)),
        ("kicked", count(guest.released_slow_kicked)),
        ("halts", count(guest.halts)),
        ("blocked", units::ns(guest.time_blocked_ns)),
        ("freed locks", count(guest.freed)),
    ];
    row(f, "slow path", 4, cells)?;
    // Only where they were asked for or happened.
    let cells = [
        ("spurious wake-ups", guest.taken_slow_spurious),
        ("spin exits", guest.spin_exits),
        ("I/O turns", guest.io_turns),
        ("clock stops", guest.clock_stops),
    ];
    let cells = cells.into_iter().filter(|(_, times)| *times > 0);
    row(f, "machine", 4, cells.map(|(name, n)| (name, count(n))))
}

/// How the VMM scheduled.
fn sched_rows(f: &mut fmt::Formatter<'_>, sched: &SchedReport) -> fmt::Result {
    let or_dash = |ns: Option<u64>| ns.map_or_else(|| "-".to_owned(), units::ns);
    let cells = [
        ("by", sched.policy.clone()),
        ("pCPUs", sched.pcpus.to_string()),
        ("slice", units::ns(sched.slice_ns)),
        ("switches", units::count(sched.switches)),
        ("slices over", units::count(sched.expired)),
        ("yields", units::count(sched.yields)),
        ("preempted", units::count(sched.preempted)),
        ("decisions", units::count(sched.decisions)),
    ];
    row(f, "scheduled", 4, cells)?;
    let cells = [
        ("p50", or_dash(sched.hand_over_p50_ns)),
        ("p99", or_dash(sched.hand_over_p99_ns)),
    ];
    row(f, "hand-over", 4, cells)
}

/// The vCPUs, or three of them that stand for all.
fn vcpu_rows(f: &mut fmt::Formatter<'_>, vcpus: &[VcpuReport]) -> fmt::Result {
    let mut ranked: Vec<_> = vcpus.iter().enumerate().collect();
    let all = ranked.len() <= VCPUS_LISTED;
    if !all {
        ranked.sort_by_key(|(_, vcpu)| (vcpu.acquisitions, vcpu.exits));
        let last = ranked.len() - 1;
        ranked = vec![ranked[0], ranked[last / 2], ranked[last]];
    }
    if ranked.is_empty() {
        return Ok(());
    }
    writeln!(
        f,
        "{:LABEL$}{:>9} {:>13} {:>9} {:>11} {:>13} {:>9}",
        "vCPU", "APIC ID", "acquisitions", "halts", "kicks sent", "longest wait", "exits"
    )?;
    for ((index, vcpu), rank) in ranked
        .into_iter()
        .zip(["least", "median", "most"].iter().cycle())
    {
        let rank = if all { "" } else { rank };
        let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".into());
        writeln!(
            f,
            "{:LABEL$}{:>9} {:>13} {:>9} {:>11} {:>13} {:>9}",
            format!("{index:>4} {rank}"),
            vcpu.apic_id,
            or_dash(vcpu.acquisitions.map(units::count)),
            or_dash(vcpu.halts.map(units::count)),
            or_dash(vcpu.kicks_sent.map(units::count)),
            or_dash(vcpu.wait_max_ns.map(units::ns)),
            units::count(vcpu.exits),
        )?;
    }
    Ok(())
}

/// The greatest first.
fn by_count(counts: &BTreeMap<String, u64>) -> impl Iterator<Item = (&str, String)> {
    let mut sorted: Vec<_> = counts.iter().collect();
    sorted.sort_by_key(|&(name, &count)| (std::cmp::Reverse(count), name));
    sorted
        .into_iter()
        .map(|(name, &count)| (name.as_str(), units::count(count)))
}

/// KVM writes the unit into the name.
fn kvm_stat<'a>((name, &value): (&'a String, &u64)) -> (&'a str, String) {
    match name.strip_suffix("_ns") {
        Some(name) => (name, units::ns(value)),
        None => (name, units::count(value)),
    }
}

#[cfg(test)]
#[path = "table_test.rs"]
mod tests;
