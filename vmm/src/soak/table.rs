//! The report as a text table, the verdict first.

use std::fmt;

use super::plan::Mode;
use super::report::{EndedBy, Report};
use crate::report::row::row;
use crate::report::units::{bytes, count, ns};
use crate::report::wrap::wrap;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&wrap(&self.verdict(), 0))?;
        let what = match self.mode {
            Mode::Snapshot => "snapshot",
            Mode::Migrate => "migration",
            Mode::Stay => "snapshots in one process",
        };
        let plural = if self.vcpus == 1 { "" } else { "s" };
        f.write_str(&wrap(
            &format!(
                "{what}, {} vCPU{plural}, {}, kick {}, halt {}, {} host, Linux {}, seed {}",
                self.vcpus,
                bytes(self.memory_bytes),
                self.kick,
                self.halt,
                self.host.kind,
                self.host.kernel,
                self.seed,
            ),
            0,
        ))?;
        f.write_str(&wrap(&format!("guest: {}", self.guest), 0))?;
        writeln!(f)?;
        let rate = self.cycles as f64 / self.seconds.max(f64::EPSILON);
        let cells = [
            ("done", count(self.cycles)),
            ("of", count(self.cycles_asked)),
            ("seconds", format!("{:.1}", self.seconds)),
            ("a second", format!("{rate:.1}")),
        ];
        row(f, "cycles", 4, cells)?;
        let counts = |cells: &[(&'static str, u64)]| {
            let cells = cells.iter().map(|(name, n)| (*name, count(*n)));
            cells.collect::<Vec<_>>()
        };
        let kicks = counts(&[
            ("hidden", self.hidden_kicks),
            ("repaired", self.kicks_repaired),
            ("lost", self.lost_kicks),
            ("hangs", self.hangs),
        ]);
        row(f, "kicks", 4, kicks)?;
        let checks = counts(&[
            ("I/O repeated", self.io_duplicated),
            ("I/O lost", self.io_lost),
            ("TSC back", self.tsc_backwards),
            ("kvmclock back", self.kvmclock_backwards),
            ("violations", self.violations),
        ]);
        row(f, "checks", 3, checks)?;
        if self.mode != Mode::Migrate {
            let cells = counts(&[("went on", self.sources_went_on)]);
            row(f, "sources", 4, cells)?;
        }
        if let Some(down) = &self.downtime_ns {
            let cells = [
                ("least", down.min),
                ("p50", down.p50),
                ("p99", down.p99),
                ("most", down.max),
            ];
            row(f, "downtime", 4, cells.map(|(name, n)| (name, ns(n))))?;
        }
        if let Some(resources) = &self.resources {
            writeln!(f)?;
            f.write_str(&wrap(&format!("soak: {}", resources.soak), 0))?;
            f.write_str(&wrap(&format!("machine: {}", resources.machine), 0))?;
        }
        Ok(())
    }
}

fn times(n: u64, what: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{} {what}{plural}", count(n))
}

impl Report {
    /// What it shows, in a sentence or two, and no more than it shows.
    fn verdict(&self) -> String {
        let mut verdict = match (self.ended_by, self.is_clean()) {
            (EndedBy::Failure, _) => format!(
                "FAILED: {}",
                self.failure
                    .as_deref()
                    .unwrap_or("a step could not be done")
            ),
            (_, false) if !self.repaired && self.only_kicks_are_lost() => format!(
                "LOST {} in {}, as --no-repair asks for: a soak without it would have found them",
                times(self.lost_kicks, "kick"),
                times(self.hangs, "hang"),
            ),
            (_, false) => format!("FAILED: {}", self.findings()),
            (EndedBy::Interrupt, true) => "STOPPED by the user; no check had failed".to_owned(),
            (_, true) if !self.repaired => {
                "NOTHING LOST, though --no-repair was given: this proves nothing about the soak; \
                 more cycles or more vCPUs may"
                    .to_owned()
            }
            (_, true) => "PASSED: no kick lost, no I/O repeated or lost, no clock bent".to_owned(),
        };
        if self.repaired && self.is_clean() && self.hidden_kicks == 0 && self.cycles > 0 {
            verdict.push_str("; but no kick was ever hidden, so none could be lost");
        }
        verdict
    }

    fn only_kicks_are_lost(&self) -> bool {
        let harmless = Self {
            lost_kicks: 0,
            hangs: 0,
            ..self.clone()
        };
        self.lost_kicks > 0 && harmless.is_clean()
    }

    fn findings(&self) -> String {
        let kinds = [
            ("lost kick", self.lost_kicks),
            ("hang", self.hangs),
            ("repeated I/O", self.io_duplicated),
            ("lost I/O", self.io_lost),
            ("step of the TSC back", self.tsc_backwards),
            ("step of kvmclock back", self.kvmclock_backwards),
            ("violation in all", self.violations),
        ];
        let found: Vec<_> = kinds
            .into_iter()
            .filter(|(_, n)| *n > 0)
            .map(|(kind, n)| format!("{kind}: {}", count(n)))
            .collect();
        found.join(", ")
    }
}
