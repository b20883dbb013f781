//! The systemd units of the guide are units, and what they start are command lines of `vmm`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use clap::Parser;
use vmm::cli::Cli;
use vmm_tests::command::{Folder, binary, skip, wait};

/// Where the units of the guide expect the program.
const INSTALLED: &str = "/usr/local/bin/vmm";

/// Name and content of each unit: a fenced block that begins with `# /etc/systemd/system/NAME`.
fn units() -> Vec<(String, String)> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guide/migration.md");
    let page = fs::read_to_string(page).unwrap();
    let blocks = page.split("\n```ini\n# /etc/systemd/system/").skip(1);
    blocks
        .map(|block| {
            let (name, rest) = block.split_once(' ').unwrap();
            let content = rest.split_once('\n').unwrap().1;
            let content = content.split("\n```").next().unwrap();
            (name.to_owned(), format!("{content}\n"))
        })
        .collect()
}

#[test]
fn what_the_units_start_are_command_lines() {
    let units = units();
    assert_eq!(units.len(), 2);
    for (name, content) in units {
        // As systemd reads it: a line that ends in a backslash goes on.
        let content = content.replace("\\\n", " ");
        let mut lines = content.lines();
        let line = lines
            .find_map(|line| line.strip_prefix("ExecStart="))
            .unwrap();
        let words: Vec<_> = line.split_whitespace().collect();
        assert_eq!(words.first(), Some(&INSTALLED), "{name}");
        if let Err(error) = Cli::try_parse_from(words) {
            panic!("{name}: {line}: {error}");
        }
    }
}

#[test]
fn systemd_has_nothing_to_say_against_the_units() {
    let found = Command::new("systemd-analyze").arg("--version").output();
    if !found.is_ok_and(|found| found.status.success()) {
        return skip("the units of the guide", "there is no systemd-analyze");
    }
    let folder = Folder::new("units");
    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "--man=no"]);
    for (name, content) in units() {
        let content = content.replace(INSTALLED, binary().to_str().unwrap());
        verify.arg(folder.file(&name, content.as_bytes()));
    }
    let child = verify
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let finished = wait(child, "systemd-analyze verify".to_owned());
    // It only warns of a key that it does not know, and exits with 0.
    assert!(
        finished.code == 0 && finished.stderr.is_empty(),
        "{finished}"
    );
}
