//! Folders that are damaged, or hostile.

use std::fs;

use vmm_tests::command::{Folder, Vmm};
use vmm_tests::experiment::{Experiment, Made, collapse, noise, overcommit};

use super::{page, refused, report};

#[test]
fn a_run_with_two_results_is_refused() {
    let folder = Folder::new("report-twice");
    let one = overcommit().write(&folder.path("one"), collapse);
    let other = overcommit().write(&folder.path("other"), |_, _| Made::Outcome("hung"));
    refused(&report(&[&one, &other]), "run 0 has different results in");
}

#[test]
fn results_of_two_specifications_are_refused() {
    let folder = Folder::new("report-mixed");
    let one = overcommit().write(&folder.path("one"), collapse);
    let other = overcommit()
        .described("another")
        .write(&folder.path("other"), collapse);
    refused(&report(&[&one, &other]), "of another specification");
}

#[test]
fn results_beside_another_specification_are_refused() {
    let folder = Folder::new("report-foreign");
    let dir = overcommit().write(&folder.path("dir"), collapse);
    let spec = dir.join("spec.toml");
    let text = fs::read_to_string(&spec).unwrap();
    fs::write(&spec, text + "# touched\n").unwrap();
    refused(&report(&[&dir]), "is not the specification of");
    assert!(!dir.join("report.html").exists());
}

#[test]
fn a_last_line_without_its_end_is_left_out_though_it_can_be_read() {
    let folder = Folder::new("report-endless");
    let dir = overcommit().write(&folder.path("dir"), collapse);
    let path = dir.join("results.jsonl");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    assert!(page(&dir).contains("1 runs have no result yet: 59."));
}

#[test]
fn what_a_file_says_cannot_write_to_the_terminal() {
    let folder = Folder::new("report-terminal");
    let lines: Vec<_> = overcommit()
        .lines(collapse)
        .iter()
        .map(|line| line.replace("vmm.experiment/1", "\\u001b[2J\\nvmm"))
        .collect();
    let dir = overcommit().write_lines(&folder.path("dir"), "results.jsonl", &lines);
    let finished = report(&[&dir]);
    refused(&finished, "has the schema `\u{fffd}[2J\u{fffd}vmm`");
}

#[test]
fn what_is_no_experiment_is_refused_in_a_line() {
    let folder = Folder::new("report-bad");
    let absent = folder.path("absent");
    refused(&report(&[&absent]), "cannot be read");
    let empty = folder.path("empty");
    fs::create_dir(&empty).unwrap();
    refused(&report(&[&empty]), "no results.jsonl");
    refused(&Vmm::new("report").finish(), "<DIR>");

    let fresh = overcommit().write_lines(&folder.path("fresh"), "results.jsonl", &[]);
    refused(&report(&[&fresh]), "no run has finished yet");

    let lines = overcommit().lines(collapse);
    let newer: Vec<_> = lines
        .iter()
        .map(|line| line.replace("vmm.experiment/1", "vmm.experiment/9"))
        .collect();
    let newer = overcommit().write_lines(&folder.path("newer"), "results.jsonl", &newer);
    refused(
        &report(&[&newer]),
        "line 1 has the schema `vmm.experiment/9`",
    );

    let mut damaged = lines.clone();
    damaged[3] = "{\"schema\":".to_owned();
    let damaged = overcommit().write_lines(&folder.path("damaged"), "results.jsonl", &damaged);
    refused(&report(&[&damaged]), "line 4 is no result");

    let no_spec = overcommit().write(&folder.path("no-spec"), collapse);
    fs::remove_file(no_spec.join("spec.toml")).unwrap();
    refused(&report(&[&no_spec]), "spec.toml: cannot be read");
    fs::write(no_spec.join("spec.toml"), "name = \n").unwrap();
    refused(
        &report(&[&no_spec]),
        "spec.toml: is no specification: line 1",
    );
    assert!(!no_spec.join("report.html").exists());
}

#[test]
fn a_torn_last_line_is_left_out_and_said() {
    let folder = Folder::new("report-torn");
    let dir = overcommit().write(&folder.path("dir"), collapse);
    let path = dir.join("results.jsonl");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 40]).unwrap();
    let finished = report(&[&dir]);
    assert_eq!(finished.code, 0, "{finished}");
    assert!(
        finished.one_line().contains("the last line was cut off"),
        "{finished}"
    );
    let page = fs::read_to_string(dir.join("report.html")).unwrap();
    assert!(page.contains("59 runs of 12 combinations"));
    assert!(page.contains("1 runs have no result yet: 59."));
}

#[test]
fn nothing_in_a_folder_gets_into_the_page_as_markup() {
    const HOSTILE: &str =
        "</title></svg></pre><script>alert(1)</script><img src=x onerror='alert(2)'>\"&\u{202e}";
    let folder = Folder::new("report-hostile");
    let dir = Experiment::new(HOSTILE)
        .factor("memory", &["a", HOSTILE, "]]>"])
        .factor("vcpus", &["2", "4"])
        .baseline("memory", "a")
        .host("vmx", HOSTILE)
        .revision(HOSTILE)
        .described(HOSTILE)
        .write(&folder.path("dir"), |cell, repetition| match repetition {
            0 => Made::Failed(HOSTILE.to_owned()),
            _ => Made::Metrics(vec![
                ("acquisitions_per_second", noise(cell, repetition)),
                (HOSTILE, 1e308),
                ("-1", -1e308),
            ]),
        });
    // No specification has such a factor, but a record may.
    let results = dir.join("results.jsonl");
    let named = serde_json::to_string(HOSTILE).unwrap();
    let text = fs::read_to_string(&results).unwrap();
    fs::write(&results, text.replace("\"memory\"", &named)).unwrap();
    let page = page(&dir);
    for markup in [
        "<script",
        "<img",
        "</title></svg>",
        "]]>",
        "\u{202e}",
        "&\"",
    ] {
        assert!(!page.contains(markup), "{markup}");
    }
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    // Every element that is opened is closed, whatever the names say.
    for element in [
        "svg", "title", "desc", "table", "pre", "figure", "text", "ul", "div",
    ] {
        let opened = page.matches(&format!("<{element}>")).count()
            + page.matches(&format!("<{element} ")).count();
        assert_eq!(
            opened,
            page.matches(&format!("</{element}>")).count(),
            "{element}"
        );
    }
}
