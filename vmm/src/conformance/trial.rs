//! Cases that share a machine: run, and run on without the one that broke it.

use std::fs::File;

use guest_payload::abi::Control;
use guest_payload::conformance::{Case, KICKS_BEFORE_SIPI};
use kvm_ioctls::Kvm;

use super::error::Error;
use super::lines::{self, Ended, Line};
use super::report::{Finding, INTERRUPTED, Verdict};
use super::setting::{Apic, Setting, Switches};
use crate::machine::events::End;
use crate::machine::{self, Machine, events};
use crate::report::progress::Progress;
use crate::vcpu::ending::Ending;
use crate::vcpu::exits::Reason;

/// INIT and the start itself may each send a vCPU out of KVM_RUN once more than its kicks do.
const STARTING_EXITS: u64 = 2;

/// What cases are run in.
#[derive(Debug)]
pub struct Trial<'a> {
    /// KVM.
    pub kvm: &'a Kvm,
    /// Those that end the command.
    pub signals: &'a File,
    /// The command's line on a terminal.
    pub progress: &'a mut Progress,
    /// `--kick` and `--halt`.
    pub switches: Switches,
    /// The guest's local APICs.
    pub apic: Apic,
    /// The machine.
    pub setting: Setting,
}

/// What one machine did.
struct Ran {
    serial: String,
    /// Why the case that did not end did not end.
    stopped: Option<String>,
    /// The most times that KVM_RUN of a vCPU returned because it waits for SIPI.
    again: u64,
}

/// Whether the reason is the host or the switches, and not a failure.
fn is_refusal(error: &machine::Error) -> bool {
    matches!(
        error,
        machine::Error::Switches(_)
            | machine::Error::TooManyVcpus { .. }
            | machine::Error::Topology(_)
            | machine::Error::Missing(_)
    )
}

impl Trial<'_> {
    /// Runs `cases`. Where one hangs or crashes its machine, it has failed, and those after it get
    /// a new one.
    ///
    /// # Errors
    /// [`Error`].
    pub fn run(&mut self, cases: &[Case]) -> Result<Vec<Finding>, Error> {
        let mut findings = Vec::with_capacity(cases.len());
        let mut left = cases;
        while !left.is_empty() {
            let ran = match self.run_machine(left) {
                Ok(ran) => ran,
                Err(Error::Build(error)) if is_refusal(&error) => {
                    let reason = error.to_string();
                    findings.extend(self.all_alike(left, Verdict::Skip, &reason));
                    break;
                }
                Err(error) => return Err(error),
            };
            let lines = lines::read(&ran.serial);
            let said = lines.iter().take_while(|line| line.ended != Ended::Never);
            let mut finished = 0;
            for (case, line) in left.iter().zip(said) {
                findings.push(self.finding(*case, line, &ran));
                finished += 1;
            }
            left = &left[finished..];
            let Some(broken) = left.first() else { break };
            let seen = lines.get(finished).map_or("", |line| line.seen);
            let reason = ran.stopped.as_deref().unwrap_or("the guest left it out");
            if reason == INTERRUPTED {
                findings.extend(self.all_alike(left, Verdict::Skip, reason));
                break;
            }
            findings.push(self.found(*broken, Verdict::Fail, seen, reason));
            left = &left[1..];
        }
        Ok(findings)
    }

    /// What was found of `case`; an empty `reason` is none.
    fn found(&self, case: Case, result: Verdict, seen: &str, reason: &str) -> Finding {
        Finding {
            case: case.name(),
            kick: Switches::word(self.switches.kick),
            halt: Switches::word(self.switches.halt),
            apic: self.apic,
            result,
            expected: lines::facts(case),
            seen: seen.to_owned(),
            reason: (!reason.is_empty()).then(|| reason.to_owned()),
        }
    }

    /// One finding for each of `cases`, all the same.
    fn all_alike(&self, cases: &[Case], verdict: Verdict, reason: &str) -> Vec<Finding> {
        let alike = |case: &Case| self.found(*case, verdict, "", reason);
        cases.iter().map(alike).collect()
    }

    fn finding(&self, case: Case, line: &Line<'_>, ran: &Ran) -> Finding {
        if line.case != case {
            let reason = format!("the guest ran {} in its place", line.case.name());
            return self.found(case, Verdict::Fail, "", &reason);
        }
        let (verdict, reason) = match line.ended {
            Ended::Passed => (Verdict::Pass, String::new()),
            Ended::Failed | Ended::Never => (Verdict::Fail, String::new()),
            Ended::Skipped(why) => (Verdict::Skip, why.replace('-', " ")),
        };
        let most = u64::from(KICKS_BEFORE_SIPI) + STARTING_EXITS;
        if case == Case::KickBeforeSipi && ran.again > most {
            let reason = format!(
                "a vCPU that waited for SIPI left KVM_RUN {} times for {KICKS_BEFORE_SIPI} kicks; \
                 at most {most} are needed",
                ran.again
            );
            return self.found(case, Verdict::Fail, line.seen, &reason);
        }
        self.found(case, verdict, line.seen, &reason)
    }

    fn run_machine(&mut self, cases: &[Case]) -> Result<Ran, Error> {
        let names: Vec<_> = cases.iter().map(|case| case.name()).collect();
        let spec = self
            .setting
            .spec(self.switches, self.apic, &names.join(","))
            .map_err(machine::Error::from)?;
        let mut machine = machine::build(self.kvm, &spec)?;
        let signals = self.signals.try_clone().map_err(Error::Signals)?;
        machine.start()?;
        let finished = events::run(&machine, signals, spec.host.timeout, self.progress, None)?;
        machine.stop();
        let serial = machine.board.ports.serial.captured();
        Ok(Ran {
            serial: String::from_utf8_lossy(&serial).into_owned(),
            stopped: stopped(finished.end),
            again: most_again(&machine),
        })
    }
}

fn most_again(machine: &Machine) -> u64 {
    let vcpus = machine.board.all().iter();
    vcpus
        .map(|vcpu| vcpu.exits.of(Reason::Again))
        .max()
        .unwrap_or(0)
}

/// Why a machine ended that did not say it was done.
fn stopped(end: End) -> Option<String> {
    Some(match end {
        End::Guest(Ending::Exit(Control::ExitPassed | Control::ExitFailed)) => return None,
        End::Guest(Ending::Exit(_)) => "the guest gave up".to_owned(),
        End::Guest(Ending::Stopped | Ending::Left) => "the machine was stopped".to_owned(),
        End::Guest(Ending::Reset) => "the guest reset the machine".to_owned(),
        End::Guest(Ending::PowerOff | Ending::DebugExit(_)) => {
            "the guest switched the machine off".to_owned()
        }
        End::Guest(Ending::Crashed(crash)) => {
            format!("crashed: APIC ID {}: {}", crash.apic_id, crash.reason)
        }
        End::Guest(Ending::Failed(vcpu, error)) => format!("vCPU {} failed: {error}", vcpu.0),
        End::Timeout => "the guest took too long".to_owned(),
        End::Interrupted | End::Console => INTERRUPTED.to_owned(),
        End::Hung(hang) => format!("hung: {}", hang.sentence),
    })
}
