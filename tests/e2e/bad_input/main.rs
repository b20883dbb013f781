//! Bad input: one clear line, exit code 2 or 3, nothing on standard output, nothing left behind.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod images;
mod surroundings;
mod values;

use vmm_tests::command::{Finished, Folder, Vmm};

const USAGE: i32 = 2;

const HOST: i32 = 3;

/// The line that `vmm` was refused with; `part` says what it has to name.
fn assert_refused(refused: &Finished, code: i32, part: &str) {
    assert_eq!(refused.code, code, "{refused}");
    assert_eq!(refused.stdout, "", "{refused}");
    let line = refused.one_line();
    assert!(line.starts_with("vmm: "), "{refused}");
    assert!(line.contains(part), "no `{part}` in {refused}");
}

/// The same, run in a folder that is afterwards what it was before.
fn refuse(folder: &Folder, vmm: &Vmm, code: i32, part: &str) {
    let before = folder.content();
    assert_refused(&vmm.finish(), code, part);
    assert_eq!(folder.content(), before, "{}", vmm.line());
}
