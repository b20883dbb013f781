//! Specifications for tests, read with the names that the command line has.

use super::SpecError;
use super::cells::Cells;
use super::factor::Names;
use super::spec::{Overrides, Spec};
use crate::cli;

/// The names of this program.
pub(super) fn names() -> Names {
    Names::of(&cli::described_run())
}

/// The specification of `text`.
pub(super) fn spec(text: &str) -> Result<Spec, SpecError> {
    Spec::parse(text, "nameless", &Overrides::default(), &names())
}

/// Its cells.
pub(super) fn cells(text: &str) -> Result<Cells, SpecError> {
    spec(text).and_then(Cells::of)
}
