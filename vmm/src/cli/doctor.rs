//! `vmm doctor`: what this host's KVM can do.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde::Serialize;

use super::{Exit, Failure};
use crate::host::check::Check;
use crate::host::{Identity, checks, open_kvm};
use crate::report::output::{self, Target};

const SCHEMA: &str = "vmm.doctor/1";

/// Widths of the columns question, answer and meaning; with the gaps, 100 in all.
const COLUMNS: [usize; 3] = [39, 17, 40];
const HEADINGS: [&str; 3] = ["question", "answer", "what it means here"];
const GAP: &str = "  ";

/// Tell what this host's KVM can do
///
/// Every line is found by trying it, most in a tiny VM. Nothing on the host is changed.
#[derive(Debug, clap::Args)]
pub struct DoctorArgs {
    /// Write the answers as JSON too; `-` writes JSON, and only JSON, to standard output
    #[arg(long, value_name = "FILE|-")]
    pub json: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Report {
    schema: &'static str,
    host: Identity,
    checks: Vec<Check>,
}

/// Makes every experiment, then prints.
///
/// # Errors
/// [`Failure`] with exit code 3 where KVM cannot be used, 2 where the JSON cannot be written.
pub fn run(args: &DoctorArgs) -> Result<Exit, Failure> {
    let json = args
        .json
        .as_deref()
        .map(Target::prepare)
        .transpose()
        .map_err(Failure::usage)?;
    let kvm = open_kvm().map_err(Failure::host)?;
    let report = Report {
        schema: SCHEMA,
        host: Identity::detect(),
        checks: checks::run_all(&kvm).map_err(Failure::host)?,
    };
    if !matches!(json, Some(Target::Stdout)) {
        output::print(table(&report).as_bytes()).map_err(Failure::usage)?;
    }
    if let Some(json) = json {
        json.write(&report).map_err(Failure::usage)?;
    }
    Ok(Exit::Done)
}

fn table(report: &Report) -> String {
    let Identity {
        kind,
        kernel,
        cpu_model,
    } = &report.host;
    let mut text = format!("{kind} on Linux {kernel}, {cpu_model}\n\n");
    push_row(&mut text, HEADINGS);
    push_row(
        &mut text,
        COLUMNS
            .map(|width| "-".repeat(width))
            .each_ref()
            .map(String::as_str),
    );
    for check in &report.checks {
        let answer = check.answer.to_string();
        push_row(&mut text, [check.question, &answer, &check.meaning]);
    }
    text
}

/// One row: each cell wrapped within its column.
fn push_row(text: &mut String, cells: [&str; 3]) {
    let [questions, answers, meanings] =
        [0, 1, 2].map(|column| wrap(cells[column], COLUMNS[column]));
    let lines = questions.len().max(answers.len()).max(meanings.len());
    let line_of = |lines: &[String], n: usize| lines.get(n).cloned().unwrap_or_default();
    for n in 0..lines {
        let line = format!(
            "{:question$}{GAP}{:answer$}{GAP}{}",
            line_of(&questions, n),
            line_of(&answers, n),
            line_of(&meanings, n),
            question = COLUMNS[0],
            answer = COLUMNS[1],
        );
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", line.trim_end());
    }
}

/// Breaks `text` at spaces into lines of at most `width` characters; a longer word is cut.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split_whitespace() {
        let len = word.chars().count();
        if used > 0 && used + 1 + len > width {
            lines.push(String::new());
            used = 0;
        }
        for (n, letter) in word.chars().enumerate() {
            if n == 0 && used > 0 {
                push(&mut lines, ' ');
                used += 1;
            }
            if used == width {
                lines.push(String::new());
                used = 0;
            }
            push(&mut lines, letter);
            used += 1;
        }
    }
    lines
}

fn push(lines: &mut [String], letter: char) {
    if let Some(line) = lines.last_mut() {
        line.push(letter);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Kind;
    use crate::host::check::Answer;

    fn report() -> Report {
        Report {
            schema: SCHEMA,
            host: Identity {
                kind: Kind::Svm,
                kernel: "6.1.0".to_owned(),
                cpu_model: "CPU".to_owned(),
            },
            checks: vec![Check {
                id: "ple",
                question: "How is pause-loop exiting set, and does a question wrap?",
                answer: Answer::Value("pause_filter_count=3000".to_owned()),
                meaning: "short".to_owned(),
            }],
        }
    }

    #[test]
    fn no_line_is_wider_than_100_columns_or_ends_in_a_space() {
        for line in table(&report()).lines() {
            assert!(line.chars().count() <= 100, "{line}");
            assert_eq!(line, line.trim_end());
        }
    }

    #[test]
    fn cells_wrap_and_stay_in_their_columns() {
        let text = table(&report());
        let rows: Vec<&str> = text.lines().skip(4).collect();
        assert_eq!(
            rows[0],
            "How is pause-loop exiting set, and does  pause_filter_coun  short"
        );
        assert_eq!(rows[1], "a question wrap?                         t=3000");
        assert_eq!(rows.len(), 2);
    }

    #[test]
    fn wrapping_loses_nothing() {
        let text = "a bb ccc dddd eeeeeeeeee f";
        assert_eq!(
            wrap(text, 5),
            ["a bb", "ccc", "dddd", "eeeee", "eeeee", "f"]
        );
        assert_eq!(wrap("", 5), [""]);
    }

    #[test]
    fn json_says_what_the_reference_says() {
        let json = serde_json::to_value(report()).unwrap();
        assert_eq!(json["schema"], "vmm.doctor/1");
        assert_eq!(json["host"]["kind"], "svm");
        assert_eq!(json["checks"][0]["id"], "ple");
        assert_eq!(json["checks"][0]["answer"], "pause_filter_count=3000");
        assert!(json["checks"][0]["question"].is_string());
        assert!(json["checks"][0]["meaning"].is_string());
    }
}
