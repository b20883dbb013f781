//! `mode=conformance`: what this host's kick hypercall does, case by case.

mod kicks;
mod report;
mod team;

pub(crate) use team::serve;

use core::sync::atomic::Ordering::{Relaxed, SeqCst};

use guest_payload::abi::{Control, STATE_FINISHED, STATE_RUNNING};
use guest_payload::conformance::Case;
use guest_payload::stats;

use crate::arch::smp;
use crate::setup;
use crate::shared::{RESULTS, exit};
use report::Verdict;

/// The cases to run: those of `cases=`, or all that suit any guest.
fn asked_for(case: Case, cases: &str) -> bool {
    if cases.is_empty() {
        return !matches!(case, Case::FeatureOffEnforced | Case::FeatureOffNotEnforced);
    }
    cases.split(',').any(|name| name == case.name())
}

/// The boot CPU runs the cases and ends the machine.
pub(crate) fn run(rsdp: u64) -> ! {
    let cases = setup::get().args.cases;
    let mut team = team::Team::new(rsdp);
    let mut passed = true;
    RESULTS.state.store(STATE_RUNNING, SeqCst);
    for (case, run) in kicks::CASES {
        if asked_for(*case, cases) {
            report::start(*case);
            let verdict = report::finish(*case, run(&mut team));
            passed &= verdict != Verdict::Fail;
            stats::add(&smp::cpus()[0].acquisitions, 1);
        }
    }
    report::done(passed);
    RESULTS.state.store(STATE_FINISHED, SeqCst);
    RESULTS.done_count.store(1, Relaxed);
    exit(if passed {
        Control::ExitPassed
    } else {
        Control::ExitFailed
    })
}
