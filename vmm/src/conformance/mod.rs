//! One table of cases of the kick hypercall, run against every `--kick` and `--halt` that the host
//! supports.
//!
//! The guest of it is the bundled payload with `mode=conformance`, which any VMM can boot; what a
//! case does and sees is in there, and what it should see is in [`guest_payload::conformance`].

mod error;
pub mod lines;
pub mod report;
pub mod setting;
pub mod table;
pub mod trial;

use std::fs::File;

use guest_payload::conformance::Case;
use kvm_ioctls::Kvm;

use crate::host::Identity;
use crate::report::progress::Progress;
use crate::spec::Choice;
pub use error::Error;
use report::{Finding, Report};
use setting::{Apic, Switches};
use trial::Trial;

/// What the command may be narrowed down to.
#[derive(Clone, Debug)]
pub struct Selection {
    /// Who takes the kick; `auto` is everybody.
    pub kick: Choice,
    /// Where halted vCPUs wait; `auto` is everywhere.
    pub halt: Choice,
    /// The cases; none is all.
    pub cases: Vec<Case>,
}

/// Every pair, the impossible one with its refusal included.
const SWITCHES: [(Choice, Choice); 4] = [
    (Choice::Kvm, Choice::Kvm),
    (Choice::Vmm, Choice::Kvm),
    (Choice::Vmm, Choice::Vmm),
    (Choice::Kvm, Choice::Vmm),
];

impl Selection {
    /// The pairs it leaves.
    pub fn switches(&self) -> impl Iterator<Item = Switches> + '_ {
        let leaves = |asked: Choice, choice| asked == Choice::Auto || asked == choice;
        SWITCHES
            .into_iter()
            .filter(move |(kick, halt)| leaves(self.kick, *kick) && leaves(self.halt, *halt))
            .map(|(kick, halt)| Switches { kick, halt })
    }

    /// Whether it leaves `case`.
    pub fn leaves(&self, case: Case) -> bool {
        self.cases.is_empty() || self.cases.contains(&case)
    }
}

/// Runs the cases of `selection`. `signals` comes from [`events::signals`](crate::machine::events::signals).
///
/// # Errors
/// [`Error`]; a case that fails is none.
pub fn run(
    kvm: &Kvm,
    selection: &Selection,
    signals: &File,
    progress: &mut Progress,
) -> Result<Report, Error> {
    let mut report = Report::new(Identity::detect());
    for switches in selection.switches() {
        for apic in Apic::ALL {
            for (setting, cases) in table::by_setting(|case| selection.leaves(case)) {
                if !setting.suits(apic) {
                    continue;
                }
                let mut trial = Trial {
                    kvm,
                    signals,
                    progress,
                    switches,
                    apic,
                    setting,
                };
                let findings = trial.run(&cases)?;
                let interrupted = findings.iter().any(Finding::is_interrupted);
                report.results.extend(findings);
                if interrupted {
                    return Ok(report);
                }
            }
        }
    }
    Ok(report)
}
