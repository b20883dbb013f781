//! The soak from its first machine to its last.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::Error;
use super::child::{Child, looks};
use super::folder::Folder;
use super::interrupts::{Interrupted, Interrupts};
use super::plan::{Mode, Plan, Until};
use super::report::{End, EndedBy, Facts, Report, Resources};
use super::tally::Tally;
use crate::control::{PayloadState, PayloadStatus};
use crate::error_chain::in_one_line;
use crate::host::Identity;
use crate::random::Random;
use crate::report::hang::HangReport;
use crate::report::progress::Progress;
use crate::report::resources::Sample;
use crate::report::run::{Host, Outcome};
use crate::report::units;
use crate::spec::{Choice, Interface, NO_PROGRESS_AFTER};
use crate::vcpu::state::HiddenKicks;

/// A machine runs for up to this long before it is stopped.
const RUNS_UP_TO: Duration = Duration::from_millis(3);
/// A machine that every vCPU got on in has taken this many locks a vCPU: they are handed on in turn.
const TURNS: u64 = 2;
/// The machine's own watchdog comes first, unless it is broken.
const HANGS_AFTER: Duration = NO_PROGRESS_AFTER.saturating_mul(2);
/// How often the line on the terminal changes.
const SHOW: Duration = Duration::from_millis(200);

/// Why no further cycle is begun.
#[derive(Debug)]
pub(super) enum Stop {
    Interrupted,
    Loss,
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Interrupted> for Stop {
    fn from(Interrupted: Interrupted) -> Self {
        Self::Interrupted
    }
}

/// What a machine that should run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    GetsOn,
    Hangs,
}

/// Everything a cycle needs.
pub(super) struct Campaign<'a> {
    pub(super) plan: &'a Plan,
    pub(super) folder: Folder,
    pub(super) random: Random,
    pub(super) tally: Tally,
    interrupts: Interrupts,
    /// Processes that had the machine and are about to end.
    leaving: Vec<Child>,
    started: u64,
    resources: Resources,
}

/// Soaks as `plan` says. `signals` is readable when the user wants it to end.
///
/// # Errors
/// [`Error`] where not even the first machine came to run. What happens later is in the report.
pub fn run(plan: &Plan, signals: std::fs::File, progress: &mut Progress) -> Result<Report, Error> {
    let start = Instant::now();
    let mut campaign = Campaign {
        plan,
        folder: Folder::make(&plan.folder)?,
        random: Random::new(plan.seed),
        tally: Tally::default(),
        interrupts: Interrupts::new(signals),
        leaving: Vec::new(),
        started: 0,
        resources: Resources::over(plan.cycles),
    };
    let identity = Identity::detect();
    let mut first = campaign.new_machine()?;
    let (status, _) = first.status()?;
    let facts = Facts {
        host: Host {
            kind: status.host_kind,
            kernel: identity.kernel,
        },
        kick: status.kick,
        halt: status.halt,
    };
    let done = campaign.cycles(first, progress);
    let (by, failure) = match done {
        Ok(()) => (EndedBy::Cycles, None),
        Err(Stop::Interrupted) => (EndedBy::Interrupt, None),
        Err(Stop::Loss) => (EndedBy::Loss, None),
        Err(Stop::Failed(error)) => (EndedBy::Failure, Some(in_one_line(&error))),
    };
    let end = End {
        by,
        failure,
        seconds: start.elapsed().as_secs_f64(),
    };
    let Campaign {
        tally, resources, ..
    } = campaign;
    Ok(Report::new(plan, facts, &tally, resources, end))
}

impl Campaign<'_> {
    fn cycles(&mut self, first: Child, progress: &mut Progress) -> Result<(), Stop> {
        let start = Instant::now();
        let mut shown: Option<Instant> = None;
        let mut machine = self.booted(first)?;
        while self.tally.cycles < self.plan.cycles {
            machine = match self.plan.mode {
                Mode::Snapshot => self.snapshot_cycle(machine)?,
                Mode::Migrate => self.migration_cycle(machine)?,
                Mode::Stay => self.stay_cycle(machine)?,
            };
            self.tally.cycles += 1;
            for child in std::mem::take(&mut self.leaving) {
                child.finish()?;
            }
            self.sample(&machine);
            if shown.is_none_or(|shown| shown.elapsed() >= SHOW) {
                progress.show(self.line(start.elapsed()));
                shown = Some(Instant::now());
            }
            if self.plan.until == Until::FirstLoss && self.tally.lost_kicks > 0 {
                return Err(Stop::Loss);
            }
            self.interrupts.sleep(Duration::ZERO)?;
        }
        let (_, payload) = machine.status()?;
        self.tally.note(&payload);
        machine.ask("stop", |client| client.stop())?;
        machine.finish()?;
        Ok(())
    }

    /// Looks at what this process and the machine's take, now and then. Those that had the machine are
    /// gone by now.
    fn sample(&mut self, machine: &Child) {
        let done = self.tally.cycles;
        if self.resources.soak.is_due(done) {
            self.resources.soak.add(Sample::of_this_process(done));
            self.resources.machine.add(machine.resources(done));
        }
    }

    fn line(&self, elapsed: Duration) -> String {
        let tally = &self.tally;
        format!(
            "{} / {} cycles   {}   hidden kicks {}   lost {}   hangs {}   violations {}",
            units::count(tally.cycles),
            units::count(self.plan.cycles),
            units::per_second(tally.cycles as f64 / elapsed.as_secs_f64().max(f64::EPSILON)),
            units::count(tally.hidden_kicks),
            units::count(tally.lost_kicks),
            units::count(tally.hangs),
            units::count(tally.checks().violations),
        )
    }

    /// Starts a process; the words of all machines that come from elsewhere are the same.
    pub(super) fn start(
        &mut self,
        command: &'static str,
        mut words: Vec<OsString>,
        hidden_kicks: HiddenKicks,
    ) -> Result<Child, Error> {
        if hidden_kicks == HiddenKicks::Lose {
            words.push("--no-repair".into());
        }
        self.started += 1;
        Child::start(&self.folder, self.started, command, &words, None)
    }

    /// A machine that nobody has stopped yet.
    pub(super) fn new_machine(&mut self) -> Result<Child, Error> {
        self.tally.new_guest();
        let plan = self.plan;
        let mut words = vec![
            format!("--vcpus={}", plan.vcpus),
            format!("--memory={}K", plan.memory.bytes() >> 10),
            format!("--kick={}", word(plan.kick)),
            format!("--halt={}", word(plan.halt)),
        ];
        if plan.interface == Interface::Xen {
            words.push("--xen".to_owned());
        }
        let words: Vec<_> = words.into_iter().map(OsString::from).collect();
        self.started += 1;
        Child::start(
            &self.folder,
            self.started,
            "run",
            &words,
            Some(plan.guest.as_str()),
        )
    }

    /// Waits until all its vCPUs are in the workload.
    pub(super) fn booted(&mut self, mut machine: Child) -> Result<Child, Stop> {
        for look in looks() {
            if machine.status()?.1.state == PayloadState::Running {
                break;
            }
            self.interrupts.sleep(look)?;
        }
        Ok(machine)
    }

    /// Gives the guest some time, as the seed says.
    pub(super) fn let_run(&mut self) -> Result<(), Stop> {
        let time = self.random.duration(RUNS_UP_TO);
        Ok(self.interrupts.sleep(time)?)
    }

    /// Waits until every vCPU of `machine` gets on, or none will.
    pub(super) fn look_after(&mut self, machine: &mut Child) -> Result<Life, Stop> {
        let start = Instant::now();
        let mut enough = None;
        for look in looks() {
            let payload = match machine.status() {
                Ok((_, payload)) => payload,
                Err(error @ Error::Ended { .. }) => return self.post_mortem(machine, error),
                Err(error) => return Err(error.into()),
            };
            self.tally.note(&payload);
            let turns = TURNS * u64::from(self.plan.vcpus);
            let enough = *enough.get_or_insert(payload.acquisitions.saturating_add(turns));
            if payload.acquisitions >= enough {
                return Ok(Life::GetsOn);
            }
            check(&payload)?;
            if start.elapsed() > HANGS_AFTER {
                self.tally.hangs += 1;
                return Ok(Life::Hangs);
            }
            self.interrupts.sleep(look)?;
        }
        Ok(Life::Hangs)
    }

    /// A machine whose watchdog has ended it hangs; all else is a failure.
    fn post_mortem(&mut self, machine: &Child, error: Error) -> Result<Life, Stop> {
        let report = machine.report();
        let hang = report
            .filter(|report| report.outcome == Outcome::Hung)
            .and_then(|report| report.hang)
            .ok_or(error)?;
        self.tally.hangs += 1;
        self.tally.lost_kicks += lost_kicks(&hang);
        Ok(Life::Hangs)
    }

    /// It has done its part and will end by itself.
    pub(super) fn leaves(&mut self, child: Child) {
        self.leaving.push(child);
    }

    pub(super) fn file(&self) -> PathBuf {
        self.folder.path("machine.vmm")
    }
}

/// A guest that has ended or crashed takes no locks any more.
fn check(payload: &PayloadStatus) -> Result<(), Stop> {
    match payload.state {
        PayloadState::Booting | PayloadState::Running => Ok(()),
        _ => Err(Error::NoPayload.into()),
    }
}

fn word(choice: Choice) -> &'static str {
    match choice {
        Choice::Auto => "auto",
        Choice::Kvm => "kvm",
        Choice::Vmm => "vmm",
    }
}

/// vCPUs that sleep for ever although the lock is theirs. A hang without any is one that the lock
/// does not explain: then the vCPU that stops all the others counts, if it sleeps.
fn lost_kicks(hang: &HangReport) -> u64 {
    let for_ever = hang.vcpus.iter().filter(|vcpu| vcpu.halted_for_ever());
    let its_turn = for_ever
        .clone()
        .filter(|vcpu| vcpu.waits_for.is_some_and(|wait| wait.its_turn))
        .count();
    let culprit = for_ever.filter(|vcpu| hang.culprit == Some(vcpu.index));
    let lost = if its_turn > 0 {
        its_turn
    } else {
        culprit.count()
    };
    u64::try_from(lost).unwrap_or(u64::MAX)
}
