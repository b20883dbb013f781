//! `vmm report` makes a page of an experiment's folders, and says in a line what it cannot use.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use vmm_tests::command::{Finished, Folder, Vmm, skip};
use vmm_tests::experiment::{Experiment, Factors, Made, collapse, noise, overcommit};

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

#[test]
fn the_collapse_and_the_cure_are_told_with_their_intervals_and_targets() {
    let folder = Folder::new("report-collapse");
    let dir = overcommit().write(&folder.path("dir"), collapse);
    let page = page(&dir);
    let told = report(&[&dir]).stdout;
    assert!(told.starts_with("overcommit on vmx\n"), "{told}");
    for words in [
        "At 16 vCPUs on 2 pCPUs: pv-ticket-head takes 1",
        "as many locks a second as ticket; 5 pairs.",
        "ticket: with 16 vCPUs on 2 pCPUs it takes 0.",
        "% sure) of the locks a second that it takes with 2 vCPUs on 2 pCPUs; 5 pairs.",
    ] {
        assert!(told.contains(words), "{words} in {told}");
        assert!(page.contains(words), "{words}");
    }
    assert_eq!(told.matches("(met)").count(), 3, "{told}");
    assert_eq!(
        page.matches("<strong class=\"yes\">met</strong>").count(),
        3
    );
    // Throughput, ratio and two small ones, each with names for those who hear the page.
    assert_eq!(page.matches("<svg ").count(), 4);
    assert_eq!(page.matches("role=\"img\" aria-labelledby=").count(), 4);
    assert_eq!(page.matches("<title").count(), 5);
}

#[test]
fn the_page_needs_nothing_but_itself() {
    let folder = Folder::new("report-alone");
    let page = page(&overcommit().write(&folder.path("dir"), collapse));
    for outside in [
        "http:", "https:", "src=", "href=", "url(", "@import", "<script", "<link", "<img",
    ] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn runs_that_went_wrong_are_counted_and_a_cell_of_them_has_no_median() {
    let folder = Folder::new("report-wrong");
    let dir = overcommit().write(&folder.path("dir"), |cell, repetition| {
        match (cell.get("lock"), cell.get("vcpus"), repetition) {
            ("tas", "16", _) => Made::Outcome("hung"),
            ("tas", "8", 0) => Made::Outcome("violated"),
            ("tas", "8", 1) => Made::Failed("vmm: no memory".to_owned()),
            _ => collapse(cell, repetition),
        }
    });
    let page = page(&dir);
    for words in [
        "60 runs of 12 combinations; 7 went wrong.",
        "At 16 vCPUs on 2 pCPUs, tas: 5 of 5 runs went wrong (5 hung); there is no median.",
        "At 8 vCPUs on 2 pCPUs, tas: 2 of 5 runs went wrong (1 failed, 1 violated).",
        "no median:<br><small>all runs went wrong</small>",
        "vmm: no memory",
    ] {
        assert!(page.contains(words), "{words}");
    }
    let csv = fs::read_to_string(dir.join("report-cells.csv")).unwrap();
    let row = csv
        .lines()
        .find(|line| line.contains(",tas,2,16,"))
        .unwrap();
    assert!(row.starts_with("11,5,5,"), "{row}");
}

#[test]
fn a_run_is_a_line_of_the_csv() {
    let folder = Folder::new("report-csv");
    let dir = overcommit().write(&folder.path("dir"), collapse);
    let csv = folder.path("runs.csv");
    let finished = Vmm::new("report").arg(&dir).arg("--csv").arg(&csv).finish();
    assert_eq!(finished.code, 0, "{finished}");
    assert_eq!(fs::read_to_string(&csv).unwrap().lines().count(), 61);
    let cells = fs::read_to_string(folder.path("runs-cells.csv")).unwrap();
    assert_eq!(cells.lines().count(), 13);
}

#[test]
fn shards_make_one_page_and_what_is_missing_is_named() {
    let folder = Folder::new("report-shards");
    let experiment = overcommit();
    let lines = experiment.lines(collapse);
    let (first, second) = lines.split_at(20);
    let one = experiment.write_lines(&folder.path("one"), "results-1-of-2.jsonl", first);
    let other = experiment.write_lines(&folder.path("other"), "results-2-of-2.jsonl", &second[2..]);
    let finished = report(&[&one, &other, &one]);
    assert_eq!(finished.code, 0, "{finished}");
    let page = fs::read_to_string(one.join("report.html")).unwrap();
    assert!(page.contains("58 runs of 12 combinations"));
    assert!(page.contains("2 runs have no result yet: 20 to 21."));
}

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
fn two_builds_are_compared_combination_by_combination() {
    let folder = Folder::new("report-compare");
    let one = overcommit().write(&folder.path("one"), collapse);
    let other = overcommit().revision("4567def").described("another");
    let other = other.write(&folder.path("other"), |cell, repetition| {
        match collapse(cell, repetition) {
            Made::Metrics(mut metrics) if cell.get("lock") == "tas" => {
                metrics[0].1 *= 2.0;
                Made::Metrics(metrics)
            }
            made => made,
        }
    });
    let compare = |a: &Path, b: &Path| Vmm::new("report --compare").arg(a).arg(b).finish();
    let finished = compare(&one, &other);
    assert_eq!(finished.code, 0, "{finished}");
    for words in [
        "Of 12 combinations that both have, B takes more locks a second in 4, fewer in 0, and in 8 no",
        "At 16 vCPUs on 2 pCPUs, tas: B takes 2.00x",
    ] {
        assert!(finished.stdout.contains(words), "{words} in {finished}");
    }
    let page = fs::read_to_string(one.join("compare.html")).unwrap();
    assert!(page.contains("A and B differ in revision."));
    // The same twice: the medians agree.
    let same = compare(&one, &one);
    assert!(
        same.stdout.contains("agree within their intervals (met)"),
        "{same}"
    );

    let fewer = Experiment::new("overcommit")
        .factor("lock", &["ticket"])
        .factor("pcpus", &["2"])
        .factor("vcpus", &["2"])
        .described("fewer")
        .write(&folder.path("fewer"), collapse);
    refused(
        &compare(&one, &fewer),
        "`lock = pv-ticket-head` is in the first only",
    );
    refused(
        &Vmm::new("report --compare").arg(&one).finish(),
        "--compare takes two folders, not 1",
    );
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

/// Numbers that no plot can show stop no plot.
#[test]
fn extreme_numbers_make_a_page_too() {
    let folder = Folder::new("report-extreme");
    let values = [0.0, 1e-300, -1e300, 1e308, 5e-324];
    let dir = overcommit().write(&folder.path("dir"), |cell: &Factors, repetition| {
        let at = usize::try_from(repetition).unwrap();
        Made::Metrics(vec![
            ("acquisitions_per_second", values[at]),
            ("wait_p99_ns", values[(at + cell.get("vcpus").len()) % 5]),
        ])
    });
    page(&dir);
    for (name, value) in [("zero", 0.0), ("huge", 1e308), ("below", -5.0)] {
        let made = move |_: &Factors, _| Made::Metrics(vec![("acquisitions_per_second", value)]);
        page(&overcommit().write(&folder.path(name), made));
    }
}

fn chromium() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut folders = std::env::split_paths(&path);
    folders.find_map(|folder| {
        let names = ["chromium", "chromium-browser", "google-chrome"];
        names
            .map(|name| folder.join(name))
            .into_iter()
            .find(|path| path.is_file())
    })
}

/// Runs the browser on `page` with a profile of its own, and returns both its outputs.
fn browse(browser: &Path, folder: &Folder, page: &Path, options: &[String]) -> (String, String) {
    let profile = format!("--user-data-dir={}", folder.path("profile").display());
    let output = Command::new("timeout")
        .args(["--kill-after=5", "90"])
        .arg(browser)
        .args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
        ])
        .args([
            "--no-first-run",
            "--disable-background-networking",
            "--enable-logging=stderr",
        ])
        .args([
            "--host-resolver-rules=MAP * ~NOTFOUND",
            "--virtual-time-budget=2000",
        ])
        .arg(profile)
        .args(options)
        .arg(format!("file://{}", page.display()))
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}", text(&output.stderr));
    (text(&output.stdout), text(&output.stderr))
}

/// The measured page 400 pixels wide: no window of the browser itself can be so narrow.
const PHONE: &str = "<!DOCTYPE html><html><head><script>\
    onmessage = (said) => Object.assign(document.documentElement.dataset, said.data);\
    </script></head><body><iframe src=\"measured.html\" width=\"400\" height=\"900\"></iframe></body></html>";

/// A copy of the page that says how wide it is and which labels of its plots run into each other.
/// The page itself allows no script.
fn measured(page: &str) -> String {
    let script = include_str!("report-measure.js");
    let page = page.replace("default-src 'none'; style-src 'unsafe-inline'", "");
    page.replace("</body>", &format!("<script>{script}</script></body>"))
}

#[test]
fn a_browser_shows_the_page_on_a_desk_and_on_a_phone() {
    let Some(browser) = chromium() else {
        skip("the page in a browser", "no chromium");
        return;
    };
    let folder = Folder::new("report-browser");
    let dir = overcommit().write(&folder.path("dir"), collapse);
    let page = page(&dir);
    let (dom, log) = browse(
        &browser,
        &folder,
        &dir.join("report.html"),
        &["--dump-dom".to_owned()],
    );
    assert!(dom.contains("<h1>overcommit on vmx</h1>"), "{dom}");
    assert!(!log.contains("CONSOLE"), "{log}");

    let copy = folder.file("measured.html", measured(&page).as_bytes());
    let desk = ["--window-size=1200,900".to_owned(), "--dump-dom".to_owned()];
    let phone = folder.file("phone.html", PHONE.as_bytes());
    for shown in [copy, phone] {
        let (dom, log) = browse(&browser, &folder, &shown, &desk);
        assert!(!log.contains("CONSOLE"), "{log}");
        let head: String = dom.chars().take(600).collect();
        assert!(
            head.contains("data-overflow=\"0\""),
            "{}: {head}",
            shown.display()
        );
        assert!(
            head.contains("data-overlaps=\"\""),
            "{}: {head}",
            shown.display()
        );
    }
}
