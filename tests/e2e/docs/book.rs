//! The book as a whole: links, files that are named, words.

use std::fs;

use super::{documents, files, page, root, rows};

/// A heading's anchor, as mdBook and GitHub make it.
fn anchor(heading: &str) -> String {
    let letters = heading.trim_start_matches('#').trim().to_lowercase();
    letters
        .chars()
        .filter_map(|letter| match letter {
            ' ' => Some('-'),
            '-' | '_' => Some(letter),
            _ => letter.is_alphanumeric().then_some(letter),
        })
        .collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut links = 0;
    for (path, text) in documents() {
        let targets = text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.contains("://")) {
            links += 1;
            let (file, fragment) = target.split_once('#').unwrap_or((target, ""));
            let there = if file.is_empty() {
                path.clone()
            } else {
                path.parent().unwrap().join(file)
            };
            let link = format!("{}: {target}", path.display());
            assert!(there.exists(), "{link}");
            if fragment.is_empty() {
                continue;
            }
            let there = fs::read_to_string(there).unwrap();
            let mut headings = there.lines().filter(|line| line.starts_with('#'));
            assert!(
                headings.any(|heading| anchor(heading) == fragment),
                "{link}"
            );
        }
    }
    assert!(links > 30);
}

#[test]
fn every_page_is_in_the_summary() {
    let summary = page("docs/SUMMARY.md");
    let docs = root().join("docs");
    for path in files(&docs, ".md") {
        let name = path.strip_prefix(&docs).unwrap().display().to_string();
        assert!(
            name == "SUMMARY.md" || summary.contains(&format!("({name})")),
            "{name}"
        );
    }
}

#[test]
fn every_source_file_that_is_named_exists() {
    let sources: Vec<_> = files(&root(), ".rs")
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    for (path, text) in documents() {
        let spans = text.split(|c: char| c == '`' || c.is_whitespace());
        let names = spans.map(|span| span.trim_end_matches([':', ',', ';', '.', ')']));
        for name in names.filter(|name| name.ends_with(".rs") && !name.contains("NAME")) {
            let is_there = sources
                .iter()
                .any(|source| source.ends_with(&format!("/{name}")));
            assert!(is_there, "{}: {name}", path.display());
        }
    }
}

#[test]
fn every_loom_test_that_is_named_exists() {
    let orderings = page("docs/design/orderings.md");
    let sources: String = files(&root(), ".rs")
        .iter()
        .filter(|path| path.display().to_string().contains("loom"))
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let mut names = 0;
    for row in rows(&orderings).iter().filter(|row| row.len() == 5) {
        for name in row[4].split('`').skip(1).step_by(2) {
            let name = name.rsplit("::").next().unwrap();
            if name != "…" {
                names += 1;
                assert!(sources.contains(&format!("fn {name}(")), "{name}");
            }
        }
    }
    assert!(names > 10);
}

#[test]
fn the_documents_speak_of_the_project_alone() {
    let this_checkout = env!("CARGO_MANIFEST_DIR").trim_end_matches("/vmm");
    for (path, text) in documents() {
        for word in [
            this_checkout,
            "/root",
            "/home/",
            "/tmp/",
            "localhost",
            "TODO",
            "FIXME",
        ] {
            assert!(!text.contains(word), "{}: {word}", path.display());
        }
    }
}
