//! What the guide shows of `vmm doctor`.

use vmm::host::checks;

use super::{documents, files, root};

/// The first and the last column of the rows of a table, each put together from its lines.
fn rows(block: &str) -> Vec<(String, String)> {
    let lines: Vec<_> = block.lines().collect();
    let ruler = lines.iter().position(|line| line.starts_with("---"));
    let ruler = ruler.unwrap_or_else(|| panic!("no ruler in {block}"));
    let widths: Vec<_> = lines[ruler].split("  ").map(str::len).collect();
    let last = widths[0] + widths[1] + 4;
    let mut rows: Vec<(String, String)> = Vec::new();
    for line in &lines[ruler + 1..] {
        let cell = |range: &str| range.trim().to_owned();
        let question = cell(&line[..widths[0].min(line.len())]);
        let answer = cell(
            line.get(widths[0]..last.min(line.len()))
                .unwrap_or_default(),
        );
        let meaning = cell(line.get(last..).unwrap_or_default());
        if answer.is_empty() {
            let row = rows.last_mut().unwrap();
            for (cell, more) in [(&mut row.0, question), (&mut row.1, meaning)] {
                *cell = format!("{cell} {more}").trim().to_owned();
            }
        } else {
            rows.push((question, meaning));
        }
    }
    rows
}

#[test]
fn what_the_guide_shows_of_the_doctor_is_what_it_says() {
    // A host gives one of its answers only; the sentences of all are in the sources.
    let sources: String = files(&root().join("vmm/src/host/checks"), ".rs")
        .iter()
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    let mut shown = 0;
    for (path, text) in documents() {
        for block in text.split("<!-- vmm doctor").skip(1) {
            let block = block.split("```").nth(1).unwrap();
            for (question, meaning) in rows(block) {
                let place = format!("{}: {question}", path.display());
                let is_asked = checks::TABLE.iter().any(|check| check.question == question);
                assert!(is_asked, "{place}");
                assert!(
                    sources.contains(&format!("\"{meaning}\"")),
                    "{place} {meaning}"
                );
                shown += 1;
            }
        }
    }
    assert!(shown > 3, "{shown}");
}
