//! A question to the host, its answer, and what that means for our commands.

use std::fmt;
use std::time::Duration;

use kvm_bindings::{CpuId, KVM_MAX_CPUID_ENTRIES};
use kvm_ioctls::Kvm;
use serde::{Serialize, Serializer};

use super::error::Step;
use super::{HostError, Kind};

/// What trying it showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It works.
    Yes,
    /// It does not work.
    No,
    /// The question has another answer than yes or no.
    Value(String),
    /// The experiment itself failed, for this reason.
    CannotTell(String),
}

impl From<bool> for Answer {
    fn from(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Yes => f.pad("yes"),
            Self::No => f.pad("no"),
            Self::Value(value) => f.pad(value),
            Self::CannotTell(reason) => write!(f, "cannot tell: {reason}"),
        }
    }
}

/// As displayed: `"yes"`, `"no"`, a value, or `"cannot tell: …"`.
impl Serialize for Answer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One line of `vmm doctor`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Stable name, for programs.
    pub id: &'static str,
    /// What was tried.
    pub question: &'static str,
    /// What it showed.
    pub answer: Answer,
    /// What it means for our commands.
    pub meaning: String,
}

/// An answer and what it means, as an experiment hands it out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it showed.
    pub answer: Answer,
    /// What it means for our commands.
    pub meaning: String,
}

impl Finding {
    /// A yes-or-no finding and the meaning of either.
    pub fn either(yes: bool, if_yes: &str, if_no: &str) -> Self {
        Self {
            answer: yes.into(),
            meaning: if yes { if_yes } else { if_no }.to_owned(),
        }
    }

    /// A finding with a value.
    pub fn value(value: impl Into<String>, meaning: impl Into<String>) -> Self {
        Self {
            answer: Answer::Value(value.into()),
            meaning: meaning.into(),
        }
    }
}

/// A question and the experiment that answers it.
#[derive(Debug, Clone, Copy)]
pub struct Experiment {
    /// As in [`Check`].
    pub id: &'static str,
    /// As in [`Check`].
    pub question: &'static str,
    /// Tries it.
    pub attempt: fn(&Host) -> Result<Finding, HostError>,
}

impl Experiment {
    /// Makes the experiment; one that fails is an answer too.
    #[must_use]
    pub fn run(&self, host: &Host) -> Check {
        let finding = (self.attempt)(host).unwrap_or_else(|error| Finding {
            answer: Answer::CannotTell(error.line()),
            meaning: "treated as a no".to_owned(),
        });
        Check {
            id: self.id,
            question: self.question,
            answer: finding.answer,
            meaning: finding.meaning,
        }
    }
}

/// What every experiment starts from.
#[derive(Debug)]
pub struct Host<'a> {
    /// The device.
    pub kvm: &'a Kvm,
    /// The kind of KVM, for meanings only: no answer is taken from it.
    pub kind: Kind,
    /// `KVM_GET_SUPPORTED_CPUID`.
    pub cpuid: CpuId,
}

impl<'a> Host<'a> {
    /// Prepares for experiments.
    ///
    /// # Errors
    /// Where KVM does not tell its CPUID.
    pub fn new(kvm: &'a Kvm) -> Result<Self, HostError> {
        let cpuid = kvm
            .get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)
            .step("KVM_GET_SUPPORTED_CPUID")?;
        Ok(Self {
            kvm,
            kind: Kind::detect(),
            cpuid,
        })
    }
}

/// CPU time after which an instruction counts as one that never ends.
pub const CPU_TIME: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::open_kvm;

    #[test]
    fn a_failed_experiment_is_an_answer_with_its_reason() {
        let kvm = open_kvm().unwrap();
        let experiment = Experiment {
            id: "x",
            question: "?",
            attempt: |_| Err(HostError::Unexpected("no luck".to_owned())),
        };
        let check = experiment.run(&Host::new(&kvm).unwrap());
        assert_eq!(check.answer.to_string(), "cannot tell: no luck");
        assert_eq!(check.meaning, "treated as a no");
    }

    #[test]
    fn answers_are_plain_strings_in_json() {
        let answers = [Answer::Yes, Answer::No, Answer::Value("3 ns".to_owned())];
        assert_eq!(
            serde_json::to_string(&answers).unwrap(),
            r#"["yes","no","3 ns"]"#
        );
    }
}
