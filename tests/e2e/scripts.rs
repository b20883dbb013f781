//! The scripts around the program: the one for hosts that nobody here has, and the one that makes a page
//! of measurements.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use vmm_tests::command::{Folder, binary, skip};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn shown(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

/// `tests/on-real-hardware.sh`, with stand-ins for some programs.
struct RealHardware {
    folder: Folder,
    command: Command,
}

impl RealHardware {
    fn new(name: &str, arguments: &str) -> Self {
        let folder = Folder::new(name);
        let mut command = Command::new(root().join("tests/on-real-hardware.sh"));
        let path = std::env::var("PATH").unwrap();
        let programs = folder.path("programs");
        fs::create_dir(&programs).unwrap();
        command
            .args(arguments.split_whitespace())
            .env("RESULTS", folder.path("results"))
            .env("CARGO_TARGET_DIR", folder.path("target"))
            .env("PATH", format!("{}:{path}", programs.display()))
            .env_remove("VMM")
            .env_remove("CARGO");
        Self { folder, command }
    }

    /// `script` is found where the program `name` is looked for.
    fn instead(self, name: &str, script: &str) -> Self {
        let path = self.folder.file(
            &format!("programs/{name}"),
            format!("#!/bin/sh\n{script}\n").as_bytes(),
        );
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    fn with_vmm(mut self) -> Self {
        self.command.env("VMM", binary());
        self
    }

    /// What it said, and how it ended.
    fn run(&mut self) -> (String, Option<i32>) {
        let output = self.command.output().unwrap();
        (shown(&output), output.status.code())
    }

    /// A file of its only results.
    fn result(&self, name: &str) -> String {
        let mut folders = fs::read_dir(self.folder.path("results")).unwrap();
        let is_folder = |path: &PathBuf| path.is_dir();
        let folder = folders.find_map(|entry| Some(entry.unwrap().path()).filter(is_folder));
        fs::read_to_string(folder.unwrap().join(name)).unwrap()
    }

    fn archives(&self) -> usize {
        let entries = fs::read_dir(self.folder.path("results")).unwrap();
        let is_packed = |name: &str| name.ends_with(".tar.zst") || name.ends_with(".tar.gz");
        entries
            .filter(|entry| is_packed(&entry.as_ref().unwrap().file_name().to_string_lossy()))
            .count()
    }
}

const CALLED: &str =
    "case $1 in -n) echo NAME ;; *) exec env PATH=\"${PATH#*:}\" uname \"$@\" ;; esac";

#[test]
fn what_a_real_host_sends_back_does_not_name_it() {
    // In two pieces: a name that stands in the sources is a word of the results.
    let name = ["zeb", "ra7"].concat();
    let says =
        format!("echo built on {name}.example.org alias {name}; echo -L$PWD/x 'a\\n'$PWD/y; false");
    let mut script = RealHardware::new("scripts-name", "--quick --only facts --only build")
        .instead(
            "uname",
            &CALLED.replace("NAME", &format!("{name}.example.org")),
        )
        .instead("cargo", &says);
    let (said, _) = script.run();
    assert_eq!(script.archives(), 1, "{said}");
    assert!(script.result("facts.txt").contains("## lscpu\n"), "{said}");
    let built = script.result("build.txt");
    assert!(built.contains("built on HOST alias HOST"), "{built}");
    assert!(built.contains("-L./x"), "{built}");
    let checkout = fs::canonicalize(root()).unwrap();
    let checkout = checkout.display().to_string();
    assert!(!built.contains(&checkout), "{built}");
    let readme = script.result("README.md");
    assert!(readme.contains("name and the paths"), "{readme}");
}

#[test]
fn a_host_that_is_called_like_a_word_of_the_results_keeps_its_name_and_says_so() {
    let mut script = RealHardware::new("scripts-word", "--quick --only doctor")
        .instead("uname", &CALLED.replace("NAME", "kvm"))
        .with_vmm();
    let (said, code) = script.run();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("the host's name, kvm, is a word"), "{said}");
    assert!(script.result("README.md").contains("it is NOT taken out"));
    assert!(!script.result("doctor.txt").contains("HOST"));
    let doctor: Value = serde_json::from_str(&script.result("doctor.json")).unwrap();
    assert!(doctor["checks"].is_array(), "{doctor}");
}

#[test]
fn without_a_vmm_nothing_that_needs_one_is_run() {
    let mut script = RealHardware::new("scripts-none", "--only build --only doctor --only bench")
        .instead("cargo", "false");
    let (said, code) = script.run();
    assert_eq!(code, Some(1), "{said}");
    let steps = script.result("steps.txt");
    let not_run = steps.matches("not run: there is no vmm").count();
    assert_eq!(not_run, 2, "{steps}");
    assert_eq!(
        script.archives(),
        1,
        "what the build said is packed: {said}"
    );
}

#[test]
fn results_that_cannot_be_packed_are_an_error() {
    let mut script = RealHardware::new("scripts-full", "--only facts")
        .instead("zstd", "echo no space left >&2; exit 1");
    let (said, code) = script.run();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("could not be written"), "{said}");
    assert!(!said.contains("packed into"), "{said}");
}

#[test]
fn in_a_hurry_every_suite_that_skips_runs_and_what_unit_tests_skip_is_told() {
    let mut script = RealHardware::new("scripts-skips", "--quick --only tests")
        .instead("cargo", "echo \"$@\"; echo 'skipped: this: that'")
        .with_vmm();
    let (said, code) = script.run();
    assert_eq!(code, Some(0), "{said}");
    let tests = script.result("tests.txt");
    let (words, skipped) = tests.split_once("## still skipped").unwrap();
    let words: Vec<_> = words.split_whitespace().collect();
    assert!(words.contains(&"--lib") && words.contains(&"--show-output"));
    for suite in [
        "migrate",
        "gdb",
        "snapshot",
        "bad_input",
        "report",
        "docs",
        "locks",
    ] {
        assert!(words.contains(&suite), "{suite}: {words:?}");
    }
    assert_eq!(skipped.trim(), "skipped: this: that");
}

#[test]
fn a_step_that_there_is_not_is_refused() {
    let (said, code) = RealHardware::new("scripts-usage", "--only everything").run();
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("facts, build, doctor"), "{said}");
}

/// A file of `make bench` with these rows: name, what stands beside, median.
fn measured(folder: &Folder, name: &str, rows: &[(&str, Option<&str>, f64)]) -> PathBuf {
    let row = |(name, beside, median): &(&str, Option<&str>, f64)| {
        let reference = beside.map(|beside| json!({ "name": beside, "median": 1.0 }));
        json!({
            "name": name, "unit": "ms", "ours": { "median": median }, "reference": reference,
            "ratio": reference.is_some().then_some(median), "target": "<= 2", "met": *median <= 2.0,
        })
    };
    let host = json!({ "kind": "vmx", "kernel": "6.12.9-local", "cpu_model": "CPU" });
    let file = json!({
        "schema": "vmm.bench/1", "host": host, "host_cpus": 64, "quick": false,
        "rows": rows.iter().map(row).collect::<Vec<_>>(),
    });
    folder.file(name, file.to_string().as_bytes())
}

#[test]
fn a_later_files_rows_replace_those_of_the_same_name_and_the_rest_of_the_page_stays() {
    if Command::new("python3").arg("--version").output().is_err() {
        return skip("the page of measurements", "there is no python3");
    }
    let folder = Folder::new("scripts-page");
    let first = [
        ("start", Some("floor"), 9.0),
        ("start", Some("qemu"), 0.06),
        ("kick", None, 41.0),
    ];
    let first = measured(&folder, "first.json", &first);
    let again = measured(&folder, "again.json", &[("start", Some("floor"), 1.25)]);
    let begin = "Before.\n\n<!-- from the benchmark -->\n";
    let end = "<!-- until here -->\n\nBy hand.\n";
    let page = folder.file("page.md", format!("{begin}old\n{end}").as_bytes());
    let made = Command::new(root().join("tests/bench-to-markdown"))
        .arg("--into")
        .args([&page, &first, &again])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", shown(&made));
    let page = fs::read_to_string(page).unwrap();
    assert!(page.starts_with(begin) && page.ends_with(end), "{page}");
    let rows: Vec<_> = page.lines().filter(|line| line.contains(" ms |")).collect();
    assert_eq!(
        rows,
        [
            "| start | 1.250 ms | floor: 1.000 ms | 1.25x | <= 2 | yes |",
            "| start | 0.06000 ms | qemu: 1.000 ms | 0.06x | <= 2 | yes |",
            "| kick | 41.00 ms |  |  | <= 2 | **no** |",
        ]
    );
    assert!(
        page.contains("Linux 6.12.9, CPU, 64 CPUs; a full run."),
        "{page}"
    );
    assert!(page.contains("2 of 3 targets met."), "{page}");
}
