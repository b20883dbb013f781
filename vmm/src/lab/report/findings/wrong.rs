//! Runs that went wrong are results.

use super::finding::Finding;
use super::sentence;
use crate::lab::report::layout::{self, Layout};
use crate::lab::report::study::Study;

/// Every cell in which runs went wrong.
pub(in crate::lab::report) fn findings(study: &Study, layout: &Layout<'_>) -> Vec<Finding> {
    let others = layout.x.others(study);
    let cells = study.cells.iter().filter(|cell| !cell.wrong().is_empty());
    let finding = |cell: &super::super::cell::Cell| {
        let (place, rest) = (
            sentence::place(&layout.x, cell),
            layout::label(cell, &others),
        );
        let wrong: usize = cell.wrong().values().sum();
        let all = match cell.all_went_wrong() {
            true => "; there is no median",
            false => "",
        };
        let text = format!(
            "{}{wrong} of {} went wrong ({}){all}.",
            sentence::at(&layout.x, &place, &rest),
            sentence::counted(cell.runs.len(), "run"),
            cell.wrong_in_words(),
        );
        Finding::headline(&text)
    };
    cells.map(finding).collect()
}
