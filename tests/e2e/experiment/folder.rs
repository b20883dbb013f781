//! What lies in the folder of an experiment, and what does not belong there.

use std::fs;
use std::process::{Command, Stdio};

use vmm_tests::command::{Vmm, binary, wait};

use super::{Case, TINY, assert_done, numbers};

#[test]
fn a_torn_last_line_is_dropped_with_a_sentence() {
    let case = Case::new("torn", TINY);
    assert_done(&case.vmm("").finish());
    let whole = case.results();
    fs::write(
        case.folder.path("out/results.jsonl"),
        &whole[..whole.len() - 10],
    )
    .unwrap();
    let again = case.vmm("").finish();
    assert_done(&again);
    assert!(again.stderr.contains("torn off"), "{again}");
    assert!(again.stderr.contains("7 of them done before"), "{again}");
    assert_eq!(numbers(&case.records()), [0, 1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn damage_in_the_middle_is_one_line_and_changes_nothing() {
    let case = Case::new("damage", TINY);
    assert_done(&case.vmm("").finish());
    let damaged = String::from_utf8(case.results())
        .unwrap()
        .replacen("\"run\":1", "\"run\":x", 1);
    fs::write(case.folder.path("out/results.jsonl"), &damaged).unwrap();
    let finished = case.vmm("").finish();
    assert_eq!(finished.code, 2, "{finished}");
    assert!(finished.one_line().contains("line 2: "), "{finished}");
    assert_eq!(case.results(), damaged.as_bytes());
}

#[test]
fn the_folder_of_another_specification_is_refused_and_left_alone() {
    let case = Case::new("foreign", TINY);
    assert_done(&case.vmm("").finish());
    let before = case.folder.path("out/spec.toml");
    let before = (fs::read(before).unwrap(), case.results());
    let finished = case.vmm("--repetitions 3").finish();
    assert_eq!(finished.code, 2, "{finished}");
    let line = finished.one_line();
    assert!(
        line.contains("`repetitions = 2`, not `repetitions = 3`"),
        "{line}"
    );
    let after = case.folder.path("out/spec.toml");
    assert_eq!((fs::read(after).unwrap(), case.results()), before);

    let divided = case.vmm("--shard 1/2").finish();
    assert_eq!(divided.code, 2, "{divided}");
    assert!(divided.one_line().contains("results.jsonl"), "{divided}");
}

#[test]
fn two_processes_do_not_share_one_file_of_results() {
    let case = Case::new("two", &TINY.replace("0.02", "0.5"));
    let mut first = case.vmm("").spawn();
    case.await_lines(1, &mut first);
    let second = case.vmm("").finish();
    assert_eq!(second.code, 2, "{second}");
    assert!(second.one_line().contains("another vmm"), "{second}");
    assert_done(&wait(first, "the first".to_owned()));
    assert_eq!(case.records().len(), 8);
}

#[test]
fn a_full_disk_is_one_line_and_what_is_recorded_stays() {
    let case = Case::new("full", TINY);
    // In units of 512 bytes: room for the specification and a record or two.
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "ulimit -f 4 && exec \"$0\" \"$@\""])
        .arg(binary());
    shell.arg("experiment").arg(case.folder.path("spec.toml"));
    shell
        .arg("-o")
        .arg(case.folder.path("out"))
        .stdin(Stdio::null());
    let child = shell.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let finished = wait(child.unwrap(), "with little room".to_owned());
    assert_eq!(finished.code, 3, "{finished}");
    assert!(finished.stderr.contains("cannot be recorded"), "{finished}");
    let before = case.results();
    assert_eq!(before.last(), Some(&b'\n'));
    assert_done(&case.vmm("").finish());
    assert!(case.results().starts_with(&before));
    assert_eq!(case.records().len(), 8);
}

#[test]
fn a_folder_that_cannot_be_one_is_one_line() {
    let case = Case::new("nofolder", TINY);
    let file = case.folder.file("file", b"");
    let vmm = Vmm::new("experiment").arg(case.folder.path("spec.toml"));
    let finished = vmm.arg("-o").arg(file.join("out")).finish();
    assert_eq!(finished.code, 2, "{finished}");
    assert!(
        finished.one_line().contains("cannot be written"),
        "{finished}"
    );
}
