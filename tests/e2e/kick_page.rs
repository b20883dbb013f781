//! The program on the page about the kick that no one saves shows what the page says.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use vmm_tests::command::{Folder, skip, wait};

/// The fenced block of `text` in `language`, which has one.
fn block<'a>(text: &'a str, language: &str) -> &'a str {
    let mut blocks = text.split("\n```");
    let found = blocks.find_map(|block| block.strip_prefix(language)?.strip_prefix('\n'));
    found.unwrap()
}

#[test]
fn the_program_on_the_page_shows_the_lost_kick() {
    let what = "the page about the kick that no one saves";
    if !Path::new("/dev/kvm").exists() {
        return skip(what, "there is no /dev/kvm");
    }
    if Command::new("cc").arg("--version").output().is_err() {
        return skip(what, "there is no C compiler");
    }
    let page =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/design/the-kick-that-no-one-saves.md");
    let page = fs::read_to_string(page).unwrap();
    let folder = Folder::new("kick-page");
    let source = folder.file("kick.c", block(&page, "c").as_bytes());
    let program = folder.path("kick");
    let compiled = Command::new("cc")
        .args(["-Wall", "-Wextra", "-Werror", "-o"])
        .args([&program, &source])
        .output()
        .unwrap();
    let complaints = String::from_utf8_lossy(&compiled.stderr);
    assert!(compiled.status.success(), "{complaints}");

    let child = Command::new(&program)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let finished = wait(child, "kick".to_owned());
    assert_eq!(finished.code, 0, "{finished}");
    // What the page shows is what it prints.
    assert_eq!(
        finished.stdout.trim_end(),
        block(&page, "text kick").trim_end()
    );
}
