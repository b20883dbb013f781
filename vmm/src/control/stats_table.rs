//! What `vmm stats` shows: totals of one sample, or rates between two.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use super::types::{State, Stats, VcpuState, VcpuStats};
use crate::report::row::{LABEL, row};
use crate::report::units;

/// Lines of a table that are not vCPUs, at most.
const OTHER_LINES: usize = 9;
/// Reasons for exits that are shown.
const REASONS: usize = 6;

/// A sample, and the one before where rates are wanted.
#[derive(Clone, Copy, Debug)]
pub struct Samples<'a> {
    now: &'a Stats,
    before: Option<(&'a Stats, f64)>,
}

impl<'a> Samples<'a> {
    /// Rates are shown if `before` is of the same machine and some time ago.
    pub fn new(now: &'a Stats, before: Option<&'a Stats>) -> Self {
        let before = before
            .map(|before| (before, now.uptime_seconds - before.uptime_seconds))
            .filter(|(before, seconds)| *seconds > 0.0 && before.vcpus.len() == now.vcpus.len());
        Self { now, before }
    }

    /// The number that `of` finds, in all or a second.
    fn number(&self, of: impl Fn(&Stats) -> Option<u64>) -> Option<String> {
        let now = of(self.now)?;
        Some(match self.before {
            None => units::count(now),
            Some((before, seconds)) => {
                let before = of(before).unwrap_or(now);
                units::per_second(now.saturating_sub(before) as f64 / seconds)
            }
        })
    }

    fn of_vcpu(&self, index: usize, of: impl Fn(&VcpuStats) -> Option<u64>) -> String {
        self.number(|stats| of(stats.vcpus.get(index)?))
            .unwrap_or_else(|| "-".to_owned())
    }

    /// The table, with no more than `rows` lines where that is possible.
    pub fn table(&self, rows: usize) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = self.write_table(&mut text, rows);
        text
    }

    fn write_table(&self, f: &mut String, rows: usize) -> fmt::Result {
        let now = self.now;
        writeln!(
            f,
            "{}, up {:.1} s, {}",
            state(now.state),
            now.uptime_seconds,
            vcpus_by_state(&now.vcpus)
        )?;
        let mut rest = String::new();
        fmt::write(&mut rest, format_args!("{}", Rows(self)))?;
        f.push_str(&rest);
        writeln!(
            f,
            "{:LABEL$}{:>8} {:>10} {:>10} {:>10} {:>10} {:>11} {:>10}",
            "vCPU", "APIC ID", "state", "exits", "halts", "kicks sent", "kicks got", "acquired"
        )?;
        let shown = match now.vcpus.len() + OTHER_LINES > rows {
            true => rows.saturating_sub(OTHER_LINES).max(1),
            false => now.vcpus.len(),
        };
        for (index, vcpu) in now.vcpus.iter().enumerate().take(shown) {
            writeln!(
                f,
                "{:LABEL$}{:>8} {:>10} {:>10} {:>10} {:>10} {:>11} {:>10}",
                format!("{index:>4}"),
                vcpu.apic_id,
                vcpu.state.map_or("-", name),
                self.of_vcpu(index, |vcpu| Some(vcpu.exits)),
                self.of_vcpu(index, |vcpu| Some(vcpu.halts)),
                self.of_vcpu(index, |vcpu| vcpu.kicks_sent),
                self.of_vcpu(index, |vcpu| vcpu.kicks_received),
                self.of_vcpu(index, |vcpu| vcpu.acquisitions),
            )?;
        }
        if let Some(others) = now.vcpus.get(shown..).filter(|others| !others.is_empty()) {
            writeln!(
                f,
                "   and {} more: {}",
                others.len(),
                vcpus_by_state(others)
            )?;
        }
        Ok(())
    }

    /// The sample in one line.
    pub fn line(&self) -> String {
        let now = self.now;
        let mut line = format!("{:.1} s {}", now.uptime_seconds, state(now.state));
        let sum = |of: fn(&VcpuStats) -> Option<u64>| self.number(move |stats| sum(stats, of));
        let cells = [
            ("kicks", self.number(|stats| Some(stats.kicks?.handled))),
            (
                "to halted",
                self.number(|stats| Some(stats.kicks?.to_halted)),
            ),
            (
                "to running",
                self.number(|stats| Some(stats.kicks?.to_running)),
            ),
            ("halts", sum(|vcpu| Some(vcpu.halts))),
            ("exits", sum(|vcpu| Some(vcpu.exits))),
            ("acquired", sum(|vcpu| vcpu.acquisitions)),
            ("wait p50", now.wait_ns.map(|wait| units::ns(wait.p50))),
            ("p99", now.wait_ns.map(|wait| units::ns(wait.p99))),
            ("p99.9", now.wait_ns.map(|wait| units::ns(wait.p999))),
            ("max", now.wait_ns.map(|wait| units::ns(wait.max))),
        ];
        for (name, value) in cells {
            if let Some(value) = value {
                line.push_str(&format!("  {name} {value}"));
            }
        }
        line.push_str(&format!("  {}\n", vcpus_by_state(&now.vcpus)));
        line
    }
}

/// The rows between the first line and the vCPUs.
struct Rows<'s, 'a>(&'s Samples<'a>);

impl fmt::Display for Rows<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let samples = self.0;
        let kick = |name, of: fn(&crate::report::run::Kicks) -> u64| {
            let number = samples.number(|stats| stats.kicks.as_ref().map(of));
            number.map(|number| (name, number))
        };
        let cells = [
            kick("handled", |kicks| kicks.handled),
            kick("to halted", |kicks| kicks.to_halted),
            kick("to running", |kicks| kicks.to_running),
            kick("no such ID", |kicks| kicks.no_such_apic_id),
        ];
        row(f, "kicks", 4, cells.into_iter().flatten())?;
        let sum = |name, of: fn(&VcpuStats) -> Option<u64>| {
            let number = samples.number(move |stats| sum(stats, of));
            number.map(|number| (name, number))
        };
        let cells = [
            sum("halts", |vcpu| Some(vcpu.halts)),
            sum("exits", |vcpu| Some(vcpu.exits)),
            sum("KVM exits", |vcpu| vcpu.kvm_exits),
            sum("acquired", |vcpu| vcpu.acquisitions),
        ];
        row(f, "all vCPUs", 4, cells.into_iter().flatten())?;
        if let Some(wait) = samples.now.wait_ns {
            let cells = [
                ("p50", wait.p50),
                ("p99", wait.p99),
                ("p99.9", wait.p999),
                ("max", wait.max),
            ];
            row(f, "wait", 4, cells.map(|(name, ns)| (name, units::ns(ns))))?;
        }
        let reasons = reasons(samples.now);
        let cells = reasons.iter().filter_map(|reason| {
            let count = |stats: &Stats| {
                let of = |vcpu: &VcpuStats| vcpu.exits_by_reason.get(reason).copied();
                Some(
                    stats
                        .vcpus
                        .iter()
                        .filter_map(of)
                        .fold(0, u64::saturating_add),
                )
            };
            Some((reason.as_str(), samples.number(count)?))
        });
        row(f, "exits", 3, cells)
    }
}

/// The most frequent reasons for exits.
fn reasons(stats: &Stats) -> Vec<String> {
    let mut sums: BTreeMap<&String, u64> = BTreeMap::new();
    for (reason, count) in stats.vcpus.iter().flat_map(|vcpu| &vcpu.exits_by_reason) {
        let sum = sums.entry(reason).or_default();
        *sum = sum.saturating_add(*count);
    }
    let mut sorted: Vec<_> = sums.into_iter().collect();
    sorted.sort_by_key(|&(reason, count)| (std::cmp::Reverse(count), reason));
    let reasons = sorted.into_iter().take(REASONS);
    reasons.map(|(reason, _)| reason.clone()).collect()
}

/// The sum over all vCPUs that tell; `None` if none does.
fn sum(stats: &Stats, of: impl Fn(&VcpuStats) -> Option<u64>) -> Option<u64> {
    let told = stats.vcpus.iter().filter_map(of);
    told.reduce(u64::saturating_add)
}

fn state(state: State) -> &'static str {
    match state {
        State::Running => "RUNNING",
        State::Paused => "PAUSED",
        State::Migrating => "MIGRATING",
        State::Ended => "ENDED",
    }
}

fn name(state: VcpuState) -> &'static str {
    match state {
        VcpuState::Running => "running",
        VcpuState::Halted => "halted",
        VcpuState::WaitingForSipi => "wait SIPI",
    }
}

/// How many vCPUs do what.
fn vcpus_by_state(vcpus: &[VcpuStats]) -> String {
    let count = |state| vcpus.iter().filter(|vcpu| vcpu.state == state).count();
    let states = [
        ("running", count(Some(VcpuState::Running))),
        ("halted", count(Some(VcpuState::Halted))),
        ("waiting for SIPI", count(Some(VcpuState::WaitingForSipi))),
        ("unknown", count(None)),
    ];
    let told = states.iter().filter(|(_, count)| *count != 0);
    let told: Vec<_> = told
        .map(|(state, count)| format!("{count} {state}"))
        .collect();
    match told.is_empty() {
        true => "vCPUs: none".to_owned(),
        false => format!("vCPUs: {}", told.join(", ")),
    }
}

#[cfg(test)]
#[path = "stats_table_test.rs"]
mod tests;
