//! The documents say what the program does.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod book;
mod cli;
mod doctor;
mod experiments;
mod guest_abi;
mod guest_arguments;
mod house;
mod reports;
mod tables;

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn page(path: &str) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every file below `folder` whose name ends in `suffix`, without what is built.
fn files(folder: &Path, suffix: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !matches!(name.as_str(), "target" | "book" | ".git") {
            found.extend(files(&path, suffix));
        } else if name.ends_with(suffix) {
            found.push(path);
        }
    }
    found
}

/// README, CONTRIBUTING and book.
fn documents() -> Vec<(PathBuf, String)> {
    let mut paths = files(&root().join("docs"), ".md");
    paths.extend(["README.md", "CONTRIBUTING.md"].map(|name| root().join(name)));
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        (path, text)
    };
    paths.into_iter().map(read).collect()
}

/// The part of `text` below the heading `title`, up to the next one of its level.
fn section<'a>(text: &'a str, title: &str) -> &'a str {
    let start = text
        .find(&format!("\n{title}\n"))
        .unwrap_or_else(|| panic!("no {title}"));
    let below = &text[start + title.len() + 2..];
    let level = title.split(' ').next().unwrap();
    let end = below.find(&format!("\n{level} "));
    &below[..end.unwrap_or(below.len())]
}

/// The cells of every table row of `text`, headings and rulers left out.
fn rows(text: &str) -> Vec<Vec<String>> {
    let lines: Vec<_> = text.lines().collect();
    let is_row = |line: &str| line.starts_with('|');
    let is_ruler = |line: &str| is_row(line) && !line.contains(|c| !"|-".contains(c));
    let mut rows = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let heads = lines.get(at + 1).is_some_and(|next| is_ruler(next));
        if is_row(line) && !is_ruler(line) && !heads {
            let line = line.replace("\\|", "\0");
            let cells = line.trim_matches('|').split('|');
            rows.push(cells.map(|cell| cell.trim().replace('\0', "|")).collect());
        }
    }
    rows
}

/// The first code span of `cell`.
fn code(cell: &str) -> Option<&str> {
    cell.split('`').nth(1)
}

/// The lines of fenced blocks in `language`.
fn fenced<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let mut lines = Vec::new();
    let mut fence = None;
    for line in text.lines() {
        match (fence, line.strip_prefix("```")) {
            (None, Some(name)) => fence = Some(name),
            (Some(_), Some(_)) => fence = None,
            (Some(name), None) if name == language => lines.push(line),
            _ => {}
        }
    }
    lines
}
