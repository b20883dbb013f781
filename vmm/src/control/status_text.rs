//! What a running machine says of itself, as text.

use std::fmt::{self, Write};

use super::types::{
    MigrateDone, Operation, OperationKind, PayloadState, SnapshotDone, State, Status,
};
use crate::migrate;
use crate::report::row::row;
use crate::report::units::{self, count, data, ns};

/// Columns of the bar.
const BAR: usize = 10;

/// The table of `vmm status`, with a newline at its end.
pub fn render(status: &Status) -> String {
    let mut text = String::new();
    // Writing to a String does not fail.
    let _ = write!(text, "{}", Table(status));
    text
}

struct Table<'a>(&'a Status);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Status {
            state,
            version,
            guest,
            vcpus,
            kick,
            halt,
            memory_bytes,
            host_kind,
            uptime_seconds,
            kicks_repaired,
            payload,
            operation,
        } = self.0;
        let state = match state {
            State::Running => "RUNNING",
            State::Paused => "PAUSED",
            State::Migrating => "MIGRATING",
            State::Ended => "ENDED",
        };
        writeln!(f, "{state}, up {uptime_seconds:.1} s")?;
        let plural = if *vcpus == 1 { "" } else { "s" };
        let memory = units::bytes(*memory_bytes);
        writeln!(f, "{guest}, {vcpus} vCPU{plural}, {memory}")?;
        writeln!(
            f,
            "kick {kick}, halt {halt}, {host_kind} host, vmm {version}"
        )?;
        if *kicks_repaired != 0 {
            writeln!(f, "came here with {}", hidden(*kicks_repaired))?;
        }
        if let Some(payload) = payload {
            let state = match payload.state {
                PayloadState::Booting => "booting",
                PayloadState::Running => "running",
                PayloadState::Finished => "finished",
                PayloadState::Crashed => "crashed",
                PayloadState::Unknown => "unknown",
            };
            let cells = [
                ("state", state.to_owned()),
                ("acquired", count(payload.acquisitions)),
                ("halts", count(payload.halts)),
                ("kicks sent", count(payload.kicks_sent)),
            ];
            writeln!(f)?;
            row(f, "payload", 4, cells)?;
            let cells = [
                ("violations", payload.violations),
                ("TSC back", payload.tsc_backwards),
                ("kvmclock back", payload.kvmclock_backwards),
                ("I/O repeated", payload.io_duplicated),
                ("I/O lost", payload.io_lost),
            ];
            row(f, "checks", 3, cells.map(|(name, n)| (name, count(n))))?;
        }
        if let Some(now) = operation {
            write!(f, "\n{}\n", self::operation(now))?;
        }
        Ok(())
    }
}

/// How far an operation is, in one line.
pub fn operation(now: &Operation) -> String {
    let kind = match now.kind {
        OperationKind::Snapshot => "snapshot",
        OperationKind::Migrate => "migrate",
    };
    let mut line = format!("{kind}: {}", now.phase);
    if let Some(round) = now.round {
        line.push_str(&format!(" {round}"));
    }
    line.push_str(&format!(
        "  {}  {} of {}  {}/s",
        bar(now.bytes_done, now.bytes_total),
        data(now.bytes_done),
        data(now.bytes_total),
        data(now.rate_bytes_per_second),
    ));
    if let Some(dirty) = now.dirty_bytes_per_second {
        line.push_str(&format!("  dirty {}/s", data(dirty)));
    }
    if let Some(downtime) = now.expected_downtime_ns {
        line.push_str(&format!("  downtime {}", ns(downtime)));
    }
    line
}

/// How far a machine that arrives is, in one line.
pub fn arriving(moved: &migrate::Progress) -> String {
    format!(
        "receive: {}  {} of it, {} in all",
        moved.phase,
        data(moved.bytes_done),
        data(moved.bytes_sent),
    )
}

fn bar(done: u64, total: u64) -> String {
    let share = done.min(total) as f64 / total.max(1) as f64;
    let full = (0..BAR)
        .filter(|&at| (at as f64) < share * BAR as f64)
        .count();
    format!("[{}{}]", "=".repeat(full), " ".repeat(BAR - full))
}

/// A snapshot that is done.
pub fn saved(done: &SnapshotDone) -> String {
    format!(
        "SAVED {}\n{} in a file of {}, {:.2} s, paused for {}, {}\n",
        done.file.display(),
        data(done.data_bytes),
        data(done.file_bytes),
        done.seconds,
        ns(done.paused_ns),
        hidden(done.hidden_kicks),
    )
}

/// A migration that is done.
pub fn moved(target: &str, done: &MigrateDone) -> String {
    format!(
        "MOVED to {target}\n{} in {} round{}, {} pages and {} of zeroes, {:.2} s, downtime {}, {}\n",
        data(done.bytes),
        done.rounds,
        if done.rounds == 1 { "" } else { "s" },
        count(done.pages.saturating_sub(done.zero_pages)),
        count(done.zero_pages),
        done.seconds,
        ns(done.downtime_ns),
        hidden(done.hidden_kicks),
    )
}

fn hidden(kicks: u64) -> String {
    match kicks {
        1 => "1 hidden kick kept".to_owned(),
        _ => format!("{} hidden kicks kept", count(kicks)),
    }
}

#[cfg(test)]
#[path = "status_text_test.rs"]
mod tests;
