//! Tells the program which revision it is built from: `VMM_REVISION` in its environment at build
//! time or, in a checkout, what git says, or, in a package, what cargo has written down. And with
//! which of cargo's profiles.

use std::path::Path;
use std::process::Command;

/// Where `cargo package` notes the commit.
const PACKAGED_FROM: &str = ".cargo_vcs_info.json";

/// What a build depends on, from this folder.
const SOURCES: [&str; 5] = [
    "src",
    "Cargo.toml",
    "../guest-payload",
    "../Cargo.toml",
    "../Cargo.lock",
];

fn main() {
    println!("cargo::rerun-if-env-changed=VMM_REVISION");
    // A path that does not exist would have every build start over.
    for source in SOURCES.iter().filter(|source| Path::new(source).exists()) {
        println!("cargo::rerun-if-changed={source}");
    }
    // A commit changes no source. A release build, which is what is measured, follows it all the
    // same; a debug build does not, as it would link every test anew.
    let profile = std::env::var("PROFILE").unwrap_or_default();
    let is_release = profile == "release";
    if is_release
        && std::env::var_os("VMM_REVISION").is_none()
        && let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"])
        && Path::new(&log).exists()
    {
        println!("cargo::rerun-if-changed={log}");
    }
    let revision = std::env::var("VMM_REVISION")
        .ok()
        .or_else(packaged)
        .or_else(revision);
    let revision = revision.unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=VMM_REVISION={revision}");
    println!("cargo::rustc-env=VMM_PROFILE={profile}");
}

/// The commit, with `-dirty` where a source is not as it is there.
fn revision() -> Option<String> {
    // An unpacked archive in somebody else's checkout is none of its revisions.
    git(&["ls-files", "--error-unmatch", "Cargo.toml"])?;
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let mut status = vec!["status", "--porcelain", "--"];
    status.extend(SOURCES);
    let is_clean = git(&status)?.is_empty();
    Some(if is_clean {
        commit
    } else {
        format!("{commit}-dirty")
    })
}

/// The commit that this package was made of, marked likewise.
fn packaged() -> Option<String> {
    let note = std::fs::read_to_string(PACKAGED_FROM).ok()?;
    let (_, commit) = note.split_once("\"sha1\": \"")?;
    let commit = commit.get(..12)?;
    let is_clean = !note.contains("\"dirty\": true");
    Some(if is_clean {
        commit.to_owned()
    } else {
        format!("{commit}-dirty")
    })
}

/// What git prints; `None` where there is no git, or it fails.
fn git(args: &[&str]) -> Option<String> {
    let mut git = Command::new("git");
    // Looking must not write: git would refresh its index.
    git.env("GIT_OPTIONAL_LOCKS", "0").args(args);
    let output = git.output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().to_owned())
}
