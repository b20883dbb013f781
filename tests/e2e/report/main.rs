//! `vmm report` makes a page of an experiment's folders, and says in a line what it cannot use.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod browser;
mod refuses;
mod tells;

use std::fs;
use std::path::Path;

use vmm_tests::command::{Finished, Vmm};

fn report(folders: &[&Path]) -> Finished {
    let all = folders
        .iter()
        .fold(Vmm::new("report"), |vmm, folder| vmm.arg(*folder));
    all.finish()
}

/// The page about one folder.
fn page(folder: &Path) -> String {
    let finished = report(&[folder]);
    assert_eq!(finished.code, 0, "{finished}");
    fs::read_to_string(folder.join("report.html")).unwrap()
}

fn refused(finished: &Finished, words: &str) {
    assert_eq!(finished.code, 2, "{finished}");
    assert!(finished.one_line().contains(words), "{finished}");
}
