//! What the numbers say, a sentence each.

mod collapse;
mod generic;
mod handlers;
mod kick_yield;
pub(super) mod sentence;
pub(super) mod wrong;

use super::layout::Layout;
use super::study::Study;

/// What chance brings about less often than this is not put down to it.
pub(super) const UNLIKELY: f64 = 0.05;

/// Something that the numbers say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// The sentence.
    pub text: String,
    /// How much it matters.
    pub weight: Weight,
    /// What was to come out, where the project says so.
    pub target: Option<Target>,
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    /// To be read first.
    Headline,
    /// For those who look closer.
    Detail,
}

/// What was to come out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// In words.
    pub text: String,
    /// Whether it did.
    pub met: Met,
}

/// Whether a target is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Met {
    /// It is.
    Yes,
    /// It is not.
    No,
    /// The numbers do not tell.
    Open,
}

impl Finding {
    pub(super) fn headline(text: &str) -> Self {
        Self {
            text: sentence::sentence(text),
            weight: Weight::Headline,
            target: None,
        }
    }

    pub(super) fn detail(text: &str) -> Self {
        Self {
            weight: Weight::Detail,
            ..Self::headline(text)
        }
    }

    fn with_target(self, target: Option<Target>) -> Self {
        Self { target, ..self }
    }
}

/// All findings of `study`, the headlines first.
pub(super) fn of(study: &Study, layout: &Layout<'_>) -> Vec<Finding> {
    let mut findings = match study.name.as_str() {
        "overcommit" => collapse::findings(study, layout),
        "ple" => handlers::findings(study, layout),
        "kick-yield" => kick_yield::findings(study, layout),
        _ => Vec::new(),
    };
    let asks_something_else = study.name != "overcommit" && !findings.is_empty();
    findings.extend(wrong::findings(study, layout));
    let generic = generic::findings(study, layout)
        .into_iter()
        .map(|finding| Finding {
            weight: if asks_something_else {
                Weight::Detail
            } else {
                finding.weight
            },
            ..finding
        });
    findings.extend(generic);
    findings.sort_by_key(|finding| finding.weight == Weight::Detail);
    findings
}

#[cfg(test)]
#[path = "../findings_test.rs"]
mod tests;
