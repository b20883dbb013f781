//! What was found, as a table and as JSON.

use std::fmt::Write as _;

use guest_payload::conformance::Case;
use serde::Serialize;

use super::setting::Apic;
use super::table;
use crate::host::Identity;
use crate::report::wrap::wrap;

/// Name and version of the JSON form.
pub const SCHEMA: &str = "vmm.conformance/1";

/// The reason of a case that Ctrl-C kept from running.
pub const INTERRUPTED: &str = "interrupted";

/// How a case is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As KVM does it.
    Pass,
    /// Otherwise.
    Fail,
    /// This host cannot run it, or it does not suit the machine.
    Skip,
}

impl Verdict {
    fn name(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::Skip => "SKIP",
        }
    }
}

/// One case under one pair of switches.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// The case's name.
    pub case: &'static str,
    /// `--kick`.
    pub kick: &'static str,
    /// `--halt`.
    pub halt: &'static str,
    /// Mode of the guest's local APICs.
    pub apic: Apic,
    /// The verdict.
    pub result: Verdict,
    /// Facts, in order: RAX of a hypercall, or what a halted CPU did.
    pub expected: String,
    /// The same, as far as it came.
    pub seen: String,
    /// Why it was skipped, or why it has no end.
    pub reason: Option<String>,
}

impl Finding {
    /// Whether Ctrl-C kept it from running.
    pub fn is_interrupted(&self) -> bool {
        self.reason.as_deref() == Some(INTERRUPTED)
    }
}

/// Everything.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    schema: &'static str,
    host: Identity,
    /// In the order of the runs.
    pub results: Vec<Finding>,
}

impl Report {
    /// Nothing found yet.
    pub fn new(host: Identity) -> Self {
        Self {
            schema: SCHEMA,
            host,
            results: Vec::new(),
        }
    }

    /// How many have this verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.with(verdict).count()
    }

    /// Whether Ctrl-C ended it.
    pub fn is_interrupted(&self) -> bool {
        self.results.iter().any(Finding::is_interrupted)
    }

    fn with(&self, verdict: Verdict) -> impl Iterator<Item = &Finding> {
        self.results
            .iter()
            .filter(move |found| found.result == verdict)
    }

    /// For a person: a line a case and pair of switches, then what was not run and why.
    pub fn table(&self) -> String {
        let mut text = format!("{} host, Linux {}\n\n", self.host.kind, self.host.kernel);
        let ran = self.results.iter().filter(|f| f.result != Verdict::Skip);
        let rows = ran.map(|found| {
            let (result, seen) = (found.result.name(), found.seen.as_str());
            [
                result,
                found.case,
                found.kick,
                found.halt,
                found.apic.name(),
                &found.expected,
                seen,
            ]
        });
        let heading = ["", "case", "kick", "halt", "APIC", "expected", "seen"];
        let rows: Vec<_> = std::iter::once(heading).chain(rows).collect();
        if rows.len() > 1 {
            text.push_str(&aligned(&rows));
            text.push('\n');
        }
        self.with(Verdict::Fail)
            .for_each(|found| explain(&mut text, found));
        for group in self.skipped() {
            text.push_str(&wrap(&group, 0));
        }
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{} passed, {} failed, {} skipped on this {} host",
            self.count(Verdict::Pass),
            self.count(Verdict::Fail),
            self.count(Verdict::Skip),
            self.host.kind
        );
        text
    }

    /// What was skipped, one sentence for all that share switches and reason.
    fn skipped(&self) -> Vec<String> {
        let mut groups: Vec<(&Finding, usize)> = Vec::new();
        for found in self.with(Verdict::Skip) {
            let same =
                |other: &Finding| (other.kick, other.halt, &other.reason) == found.switches();
            match groups.iter_mut().find(|(other, _)| same(other)) {
                Some((_, count)) => *count += 1,
                None => groups.push((found, 1)),
            }
        }
        let sentence = |(found, count): &(&Finding, usize)| {
            let what = match count {
                1 => found.case.to_owned(),
                count => format!("{count} cases"),
            };
            let reason = found.reason.as_deref().unwrap_or("no reason given");
            format!(
                "SKIP  kick {}, halt {}: {what}: {reason}",
                found.kick, found.halt
            )
        };
        groups.iter().map(sentence).collect()
    }
}

impl Finding {
    fn switches(&self) -> (&'static str, &'static str, &Option<String>) {
        (self.kick, self.halt, &self.reason)
    }
}

/// Says what a failed case is about.
fn explain(text: &mut String, found: &Finding) {
    let Some(row) = Case::from_name(found.case).and_then(table::row_of) else {
        return;
    };
    let line = format!(
        "FAIL  {}, kick {}, halt {}, {}: {} ({})",
        found.case,
        found.kick,
        found.halt,
        found.apic.name(),
        row.rule,
        row.source
    );
    text.push_str(&wrap(&line, 0));
    if let Some(reason) = &found.reason {
        text.push_str(&wrap(reason, 4));
    }
}

/// Columns as wide as their widest cell; the last is left as it is.
fn aligned<const N: usize>(rows: &[[&str; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for row in rows {
        let cells: Vec<_> = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
#[path = "report_test.rs"]
mod tests;
