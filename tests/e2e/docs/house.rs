//! The plan of the house: which folder of the library uses which.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::{code, files, page, root, rows, section};

/// What the code in `file` names of the library's root, without its tests.
fn named(file: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(file).unwrap();
    let lines: Vec<_> = text.lines().collect();
    let is_test = |line: &&str| line.starts_with("#[cfg(") && line.contains("test");
    let mut names = BTreeSet::new();
    for (at, line) in lines.iter().enumerate() {
        // Tests in the file itself stand at its end.
        if is_test(line)
            && lines
                .get(at + 1)
                .is_some_and(|next| next.starts_with("mod "))
        {
            break;
        }
        if line.trim_start().starts_with("//") {
            continue;
        }
        for rest in line.split("crate::").skip(1) {
            let end = rest.find(|c: char| !c.is_ascii_lowercase() && c != '_');
            let name = &rest[..end.unwrap_or(rest.len())];
            assert!(!name.is_empty(), "{}: {line}", file.display());
            names.insert(name.to_owned());
        }
    }
    names
}

/// Whether a file is compiled into tests only.
fn is_for_tests(file: &Path) -> bool {
    let stem = file.file_stem().unwrap().to_string_lossy();
    let parent = file.with_file_name("mod.rs");
    let declared = fs::read_to_string(parent).unwrap_or_default();
    let lines: Vec<_> = declared.lines().collect();
    let declares = |pair: &[&str]| {
        pair[0].starts_with("#[cfg(test)") && pair[1].ends_with(&format!("mod {stem};"))
    };
    let is_below_tests = file
        .ancestors()
        .any(|folder| folder.to_string_lossy().ends_with("_test"));
    stem.ends_with("_test") || is_below_tests || lines.windows(2).any(declares)
}

/// For each folder or file in the library's root, what its code uses of the others.
fn arrows() -> BTreeMap<String, BTreeSet<String>> {
    let sources = root().join("vmm/src");
    let mut arrows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in files(&sources, ".rs") {
        let below = file.strip_prefix(&sources).unwrap();
        let first = below.components().next().unwrap().as_os_str();
        let top = first.to_str().unwrap().trim_end_matches(".rs").to_owned();
        if matches!(top.as_str(), "lib" | "main") || is_for_tests(&file) {
            continue;
        }
        let mut names = named(&file);
        names.remove(&top);
        arrows.entry(top).or_default().extend(names);
    }
    arrows
}

#[test]
fn the_folders_use_each_other_as_the_plan_says_and_only_downwards() {
    let arrows = arrows();
    let mut below = BTreeSet::new();
    for row in rows(section(&page("docs/design/architecture.md"), "## Floors")) {
        let name = code(&row[0]).unwrap().to_owned();
        let uses: BTreeSet<_> = row[1].split('`').skip(1).step_by(2).collect();
        let used = arrows.get(&name).unwrap_or_else(|| panic!("no {name}"));
        assert_eq!(uses, used.iter().map(String::as_str).collect(), "{name}");
        for other in uses {
            assert!(below.contains(other), "{name} uses {other} above it");
        }
        below.insert(name);
    }
    assert_eq!(below, arrows.into_keys().collect());
}

#[test]
fn the_house_has_a_line_for_every_folder() {
    let architecture = page("docs/design/architecture.md");
    let house = section(&architecture, "## The house");
    let part = |title: &str| house.split(title).nth(1).unwrap();
    for (title, folder) in [
        ("guest-payload/ ", "guest-payload/src"),
        ("vmm/\n", "vmm/src"),
    ] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            // Of a file's own folder the file's line speaks.
            if path.is_dir() && !path.with_extension("rs").exists() {
                let line = format!("  src/{name}/ ");
                assert!(part(title).contains(&line), "{folder}/{name}");
            }
        }
    }
}
