//! No progress is a finding, not a time-out.
//!
//! The watchdog looks for progress from outside. Without any, it makes all vCPUs stand still and
//! looks at them: where none can run and none has a kick to come back to, no wait is long enough
//! to prove more. Only a machine in which somebody still runs has to be given time.

use std::time::{Duration, Instant};

use super::{Machine, stuck};
use crate::os::time::process_cpu_time;
use crate::report::hang::{Activity, HangReport, StuckVcpu};
use crate::spec::{FIRST_JUDGEMENT_AFTER, NO_PROGRESS_AFTER, STUCK_AFTER, WATCH_INTERVAL};
use crate::vcpu::exits::Reason;

/// What a look has shown.
#[derive(Debug)]
pub enum Finding {
    /// Progress, or nothing that speaks against it.
    Alive,
    /// No vCPU will ever make progress.
    Hung(HangReport),
}

/// What has to change for a guest to be making progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    /// The payload's locks taken, its state, and how far its CPUs are in all.
    Payload {
        acquisitions: u64,
        state: u32,
        cpus: u64,
    },
    /// Exits and CPU time, in steps too coarse for a process that only looks at itself.
    Other { exits: u64, cpu_time: Duration },
}

/// Looks at a machine now and then.
#[derive(Debug)]
pub struct Watchdog {
    sign: Option<Sign>,
    since: Instant,
    /// Added to the limits.
    patience: Duration,
    /// Judging makes the guest stand still, so it is done ever more seldom.
    judge_after: Duration,
}

impl Watchdog {
    /// For a machine that starts now, whose guest may go without progress for `patience` longer than
    /// usual.
    pub fn new(now: Instant, patience: Duration) -> Self {
        Self {
            sign: None,
            since: now,
            patience,
            judge_after: FIRST_JUDGEMENT_AFTER,
        }
    }

    /// Looks once. The second value is the payload's locks taken so far.
    pub fn look(&mut self, machine: &Machine) -> (Finding, Option<u64>) {
        let (sign, acquisitions) = sign(machine);
        let now = Instant::now();
        // A machine that somebody keeps still owes no progress, nor does one in a debugger's hands,
        // which may hold some of its vCPUs.
        if machine.is_paused() || machine.is_debugged() || has_moved(self.sign, sign) {
            self.sign = Some(sign);
            self.since = now;
            self.judge_after = FIRST_JUDGEMENT_AFTER;
            return (Finding::Alive, acquisitions);
        }
        let without = now.duration_since(self.since);
        if without < self.judge_after {
            return (Finding::Alive, acquisitions);
        }
        self.judge_after *= 2;
        (judge(machine, without, self.patience), acquisitions)
    }
}

fn has_moved(before: Option<Sign>, now: Sign) -> bool {
    match (before, now) {
        (
            Some(Sign::Other {
                exits: before,
                cpu_time: then,
            }),
            Sign::Other { exits, cpu_time },
        ) => exits != before || cpu_time.saturating_sub(then) > WATCH_INTERVAL / 10,
        (before, now) => before != Some(now),
    }
}

fn sign(machine: &Machine) -> (Sign, Option<u64>) {
    let payload = machine
        .payload()
        .and_then(|view| Some((view, view.header()?)));
    if let Some((view, header)) = payload {
        let acquisitions = view.acquisitions(&header);
        let sign = Sign::Payload {
            acquisitions,
            state: header.state,
            cpus: u64::from(header.done_count) + view.started(&header),
        };
        return (sign, Some(acquisitions));
    }
    let exits = machine
        .board
        .all()
        .iter()
        .map(|vcpu| {
            // Two reads of counters that move.
            let interrupted = vcpu.exits.of(Reason::Interrupted);
            vcpu.exits.total().saturating_sub(interrupted)
        })
        .sum();
    (
        Sign::Other {
            exits,
            cpu_time: process_cpu_time(),
        },
        None,
    )
}

fn judge(machine: &Machine, without: Duration, patience: Duration) -> Finding {
    let Some(stuck) = stuck::look(machine) else {
        return Finding::Alive;
    };
    let can_move = |vcpu: &StuckVcpu| {
        vcpu.activity == Activity::Running || vcpu.pv_unhalted || vcpu.interrupts_enabled
    };
    let nobody_can_move = !stuck.iter().any(can_move);
    let is_waiting = stuck.iter().any(StuckVcpu::halted_for_ever);
    let its_turn = |vcpu: &StuckVcpu| {
        vcpu.halted_for_ever() && vcpu.waits_for.is_some_and(|wait| wait.its_turn)
    };
    let is_hung = nobody_can_move && is_waiting
        || without >= STUCK_AFTER.saturating_add(patience) && stuck.iter().any(its_turn)
        || without >= NO_PROGRESS_AFTER.saturating_add(patience) && machine.payload().is_some();
    if is_hung {
        Finding::Hung(HangReport::new(without.as_secs_f64(), stuck))
    } else {
        Finding::Alive
    }
}
