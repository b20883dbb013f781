//! What is installed: the program, its manual, its completions and its payload.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use clap::CommandFactory;
use vmm::cli::Cli;
use vmm_tests::command::{Folder, Vmm, binary, skip};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn commands() -> Vec<String> {
    let command = Cli::command();
    let names = command.get_subcommands().map(|sub| sub.get_name());
    names.map(str::to_owned).collect()
}

/// `make TARGET` with the binary under test, which is not built anew for it.
fn make(target: &str, words: &[String]) {
    let output = Command::new("make")
        .arg("--directory")
        .arg(root())
        .arg(target)
        .arg(format!("VMM={}", binary().display()))
        .args(words)
        .output()
        .unwrap();
    assert!(output.status.success(), "{target}: {}", shown(&output));
}

fn shown(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

/// Every file below `folder`, by its path from there.
fn files(folder: &Path) -> BTreeSet<String> {
    let output = Command::new("find")
        .args([".", "-type", "f"])
        .current_dir(folder)
        .output()
        .unwrap();
    let lines = shown(&output);
    lines
        .lines()
        .map(|line| line.trim_start_matches("./").to_owned())
        .collect()
}

#[test]
fn make_install_puts_everything_below_destdir_and_uninstall_takes_all_of_it_away() {
    let folder = Folder::new("package-install");
    let destdir = folder.path("staging");
    let words = [
        "PREFIX=/opt/vmm".to_owned(),
        format!("DESTDIR={}", destdir.display()),
    ];
    make("install", &words);
    let mut expected: BTreeSet<_> = [
        "bin/vmm",
        "share/bash-completion/completions/vmm",
        "share/zsh/site-functions/_vmm",
        "share/fish/vendor_completions.d/vmm.fish",
        "share/doc/vmm/README.md",
        "share/doc/vmm/CHANGELOG.md",
        "share/doc/vmm/LICENSE-APACHE",
        "share/doc/vmm/LICENSE-MIT",
        "share/man/man1/vmm.1",
    ]
    .map(str::to_owned)
    .into();
    let page = |name| format!("share/man/man1/vmm-{name}.1");
    expected.extend(commands().into_iter().map(page));
    let notices = files(&root().join("packaging/third-party"));
    let installed = |name| format!("share/doc/vmm/third-party/{name}");
    expected.extend(notices.into_iter().map(installed));
    let there = destdir.join("opt/vmm");
    assert_eq!(files(&there), expected);
    let installed = Command::new(there.join("bin/vmm"))
        .arg("-V")
        .output()
        .unwrap();
    assert_eq!(
        shown(&installed),
        format!("vmm {}\n", env!("CARGO_PKG_VERSION"))
    );
    make("uninstall", &words);
    assert_eq!(files(&destdir), BTreeSet::new());
}

#[test]
fn the_long_version_names_the_revision() {
    let said = Vmm::new("--version").finish();
    let version = env!("CARGO_PKG_VERSION");
    let revision = said
        .stdout
        .strip_prefix(&format!("vmm {version} ("))
        .and_then(|rest| rest.strip_suffix(")\n"));
    let revision = revision.unwrap_or_else(|| panic!("{said}"));
    assert!(!revision.is_empty() && !revision.contains(' '), "{said}");
    assert_eq!(
        Vmm::new("-V").finish().stdout,
        format!("vmm {version}\n"),
        "the short one does not"
    );
}

#[test]
fn every_command_has_a_page_with_its_options_and_exit_codes() {
    let folder = Folder::new("package-man");
    let dir = folder.path("new/man");
    let written = Vmm::new("man").arg(&dir).finish();
    assert_eq!(written.code, 0, "{written}");
    let mut command = Cli::command();
    // Before that a command has no options.
    command.build();
    let commands = command.get_subcommands();
    let mut pages: Vec<_> = commands
        .filter(|sub| sub.get_name() != "help")
        .map(|sub| (format!("vmm-{}.1", sub.get_name()), sub))
        .collect();
    pages.push(("vmm.1".to_owned(), &command));
    assert_eq!(files(&dir).len(), pages.len());
    let mut options = 0;
    for (name, command) in pages {
        let page = fs::read_to_string(dir.join(&name)).unwrap();
        for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "EXIT STATUS", "SEE ALSO"] {
            let heading = section.replace(' ', "\\ ");
            let has = |heading: &str| page.contains(&format!(".SH {heading}\n"));
            let quoted = format!("\"{section}\"");
            assert!(
                has(section) || has(&heading) || has(&quoted),
                "{name}: {section}"
            );
        }
        for option in command.get_arguments().filter_map(|arg| arg.get_long()) {
            options += 1;
            let option = format!("\\-\\-{}", option.replace('-', "\\-"));
            assert!(page.contains(&option), "{name}: {option}");
        }
    }
    assert!(options > 100, "{options}");
}

#[test]
fn the_pages_render_without_a_warning() {
    let folder = Folder::new("package-render");
    let written = Vmm::new("man").arg(folder.path("man")).finish();
    let checks: [&[&str]; 2] = [
        &["groff", "-ww", "-man", "-Tutf8", "-P-cbou"],
        &["mandoc", "-Tlint", "-Wwarning"],
    ];
    for check in checks {
        for page in written.stdout.lines() {
            let output = match Command::new(check[0]).args(&check[1..]).arg(page).output() {
                Ok(output) => output,
                Err(error) => {
                    skip(
                        "the look of manual pages",
                        &format!("{}: {error}", check[0]),
                    );
                    break;
                }
            };
            let is_lint = check[0] == "mandoc";
            let warnings = if is_lint {
                &output.stdout
            } else {
                &output.stderr
            };
            let warnings = String::from_utf8_lossy(warnings);
            assert!(warnings.is_empty(), "{}: {page}: {warnings}", check[0]);
            let has_text = String::from_utf8_lossy(&output.stdout).contains("EXIT STATUS");
            assert!(is_lint || has_text, "{page}");
        }
    }
}

#[test]
fn the_pages_exit_codes_are_those_of_the_reference_and_their_date_is_the_releases() {
    let folder = Folder::new("package-codes");
    Vmm::new("man").arg(folder.path("man")).finish();
    let page = fs::read_to_string(folder.path("man/vmm-run.1")).unwrap();
    let (_, below) = page.split_once("EXIT STATUS").unwrap();
    let (codes, _) = below.split_once(".SH ").unwrap();
    let in_page: Vec<_> = codes
        .lines()
        .filter_map(|line| line.strip_prefix("\\fB")?.strip_suffix("\\fR"))
        .collect();
    let reference = fs::read_to_string(root().join("docs/reference/exit-codes.md")).unwrap();
    let in_reference: Vec<_> = reference
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" |").next())
        .filter(|cell| cell.parse::<u8>().is_ok())
        .collect();
    assert_eq!(in_page, in_reference);
    // Ends that have no code of their own.
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    for end in ["(value << 1) | 1", "SIGSYS", "a shell makes 159"] {
        assert!(words(codes).contains(end), "page: {end}");
        assert!(words(&reference).contains(end), "reference: {end}");
    }
    let changes = fs::read_to_string(root().join("CHANGELOG.md")).unwrap();
    let release = changes
        .lines()
        .find_map(|line| line.strip_prefix(&format!("## {} - ", env!("CARGO_PKG_VERSION"))));
    assert!(page.contains(release.unwrap()), "{page}");
}

#[test]
fn the_completions_are_scripts_and_know_every_command() {
    let folder = Folder::new("package-completions");
    for shell in ["bash", "zsh", "fish"] {
        let made = Vmm::new("completions").words(shell).finish();
        assert_eq!(made.code, 0, "{made}");
        for command in commands() {
            assert!(made.stdout.contains(&command), "{shell}: {command}");
        }
        let script = folder.file(shell, made.stdout.as_bytes());
        match Command::new(shell).arg("-n").arg(script).output() {
            Ok(output) => assert!(output.status.success(), "{shell}: {}", shown(&output)),
            Err(error) => skip("the completions' syntax", &format!("{shell}: {error}")),
        }
    }
}

#[test]
fn bash_completes_commands_options_and_values() {
    let completes = |words: &str, at: usize| {
        let script = format!(
            "source <('{}' completions bash); COMP_WORDS=({words}); COMP_CWORD={at}; \
             _vmm vmm \"${{COMP_WORDS[at]}}\" \"${{COMP_WORDS[at-1]}}\"; echo \"${{COMPREPLY[@]}}\"",
            binary().display()
        )
        .replace("[at]", &format!("[{at}]"))
        .replace("[at-1]", &format!("[{}]", at - 1));
        shown(&Command::new("bash").args(["-c", &script]).output().unwrap())
    };
    assert_eq!(completes("vmm snap", 1), "snapshot\n");
    assert_eq!(completes("vmm run --hal", 2), "--halt --halt-poll-ns\n");
    assert_eq!(completes("vmm run --kick ''", 3), "auto kvm vmm\n");
}

#[test]
fn the_payload_is_written_whole_and_over_an_older_file() {
    let folder = Folder::new("package-payload");
    let path = folder.file("payload.elf", b"older");
    let mode = fs::Permissions::from_mode(0o640);
    fs::set_permissions(&path, mode).unwrap();
    let written = Vmm::new("payload -o").arg(&path).finish();
    assert_eq!(written.code, 0, "{written}");
    assert_eq!(fs::read(&path).unwrap(), guest_payload::IMAGE);
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640, "an older file keeps its mode");
    assert_eq!(folder.content().len(), 1, "and nothing is left beside it");
    let piped = Command::new(binary())
        .args(["payload", "--output", "-"])
        .output()
        .unwrap();
    assert_eq!(piped.stdout, guest_payload::IMAGE);
}

#[test]
fn a_payload_that_goes_nowhere_is_refused_in_a_line() {
    let folder = Folder::new("package-nowhere");
    let dir = folder.path("dir");
    fs::create_dir(&dir).unwrap();
    for (path, words) in [
        (dir, "is no file; name a file"),
        (
            folder.path("none/payload.elf"),
            "no such folder; make it first",
        ),
    ] {
        let refused = Vmm::new("payload -o").arg(&path).finish();
        assert_eq!(refused.code, 2, "{refused}");
        assert!(refused.one_line().contains(words), "{refused}");
        assert_eq!(refused.stdout, "");
    }
    let unnamed = Vmm::new("payload").finish();
    assert_eq!(unnamed.code, 2, "{unnamed}");
    assert!(
        unnamed.one_line().contains("--output <FILE|->"),
        "{unnamed}"
    );
}

#[test]
fn a_payload_that_was_written_runs_as_a_guest_of_its_own() {
    if !Path::new("/dev/kvm").exists() {
        return skip("the written payload", "there is no /dev/kvm");
    }
    let folder = Folder::new("package-guest");
    let path = folder.path("payload.elf");
    Vmm::new("payload -o").arg(&path).finish();
    let run = Vmm::run("--vcpus 2").arg(&path);
    run.words("-- seconds=0.05").report().ended("completed", 0);
}

#[test]
fn a_book_that_cannot_be_built_fails_and_a_missing_mdbook_does_not() {
    let folder = Folder::new("package-doc");
    let doc = || {
        let mut command = Command::new("make");
        command.arg("--directory").arg(root());
        command.args(["doc", "CARGO=true"]);
        command
    };
    let path = std::env::var("PATH").unwrap();
    let mdbook = folder.file("mdbook", b"#!/bin/sh\nexit 1\n");
    fs::set_permissions(&mdbook, fs::Permissions::from_mode(0o755)).unwrap();
    let first = format!("{}:{path}", mdbook.parent().unwrap().display());
    let failed = doc().env("PATH", first).output().unwrap();
    assert!(!failed.status.success(), "{}", shown(&failed));
    if Command::new("mdbook").arg("--version").output().is_err() {
        let missing = doc().output().unwrap();
        assert!(missing.status.success(), "{}", shown(&missing));
        assert!(shown(&missing).contains("not installed"));
    }
}

#[test]
fn debians_changelog_begins_with_this_version() {
    let changes = fs::read_to_string(root().join("packaging/changelog")).unwrap();
    let begin = format!("vmm ({}-", env!("CARGO_PKG_VERSION"));
    assert!(changes.starts_with(&begin), "{changes}");
}
