//! What the numbers say, a sentence each.

mod collapse;
pub(super) mod finding;
mod generic;
mod handlers;
mod kick_yield;
pub(super) mod sentence;
pub(super) mod wrong;

use super::layout::Layout;
use super::study::Study;
use finding::{Finding, Weight};

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
