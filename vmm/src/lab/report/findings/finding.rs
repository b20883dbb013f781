//! Something that the numbers say.

use super::sentence::sentence;

/// What chance brings about less often than this is not put down to it.
pub(in crate::lab::report) const UNLIKELY: f64 = 0.05;

/// Something that the numbers say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::lab::report) struct Finding {
    /// The sentence.
    pub text: String,
    /// How much it matters.
    pub weight: Weight,
    /// What was to come out, where the project says so.
    pub target: Option<Target>,
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::lab::report) enum Weight {
    /// To be read first.
    Headline,
    /// For those who look closer.
    Detail,
}

/// What was to come out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::lab::report) struct Target {
    /// In words.
    pub text: String,
    /// Whether it did.
    pub met: Met,
}

/// Whether a target is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::lab::report) enum Met {
    /// It is.
    Yes,
    /// It is not.
    No,
    /// The numbers do not tell.
    Open,
}

impl Finding {
    pub(in crate::lab::report) fn headline(text: &str) -> Self {
        Self {
            text: sentence(text),
            weight: Weight::Headline,
            target: None,
        }
    }

    pub(in crate::lab::report) fn detail(text: &str) -> Self {
        Self {
            weight: Weight::Detail,
            ..Self::headline(text)
        }
    }

    pub(super) fn with_target(self, target: Option<Target>) -> Self {
        Self { target, ..self }
    }
}
