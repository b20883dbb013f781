//! The reference of the command line, and every `vmm` line anywhere.

use std::collections::BTreeSet;

use clap::Parser;
use guest_payload::args::Args;
use vmm::cli::Cli;

use super::{code, documents, fenced, page, rows, section};

/// How the reference writes an option: its name and what it takes.
fn written(option: &clap::Arg) -> Option<String> {
    let name = format!("--{}", option.get_long()?);
    if !option.get_action().takes_values() {
        return Some(name);
    }
    let choices: Vec<_> = option
        .get_possible_values()
        .iter()
        .map(|value| value.get_name().to_owned())
        .collect();
    let value = if choices.is_empty() || choices.len() > 6 {
        option.get_value_names()?.first()?.to_string()
    } else {
        choices.join("|")
    };
    Some(format!("{name} {value}"))
}

#[test]
fn the_reference_has_every_command_and_option_and_no_other() {
    let reference = page("docs/reference/cli.md");
    let mut commands = 0;
    for command in vmm::cli::described() {
        commands += 1;
        let below = section(&reference, &format!("## `vmm {}`", command.get_name()));
        let rows = rows(below);
        let described: BTreeSet<_> = rows.iter().map(|row| code(&row[0]).unwrap()).collect();
        let options: Vec<_> = command
            .get_arguments()
            .filter(|option| !matches!(option.get_id().as_str(), "help" | "version"))
            .collect();
        let expected: BTreeSet<_> = options.iter().filter_map(|o| written(o)).collect();
        assert_eq!(
            described,
            expected.iter().map(String::as_str).collect(),
            "{}",
            command.get_name()
        );
        for option in options {
            let (Some(name), [default]) = (written(option), option.get_default_values()) else {
                continue;
            };
            let row = rows
                .iter()
                .find(|row| code(&row[0]) == Some(&name))
                .unwrap();
            assert_eq!(code(&row[1]), default.to_str(), "{name}");
        }
    }
    assert_eq!(reference.matches("\n## ").count(), commands);
}

/// A shell's words, as far as double quotes go.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (quoted, part) in line.split('"').enumerate() {
        if quoted % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

#[test]
fn every_vmm_line_in_the_documents_is_a_command_line() {
    let mut lines = 0;
    for (path, text) in documents() {
        for line in fenced(&text, "sh") {
            let line = line.split('#').next().unwrap().trim();
            let words: Vec<_> = words(line)
                .into_iter()
                .take_while(|word| !matches!(word.as_str(), ">" | "|"))
                .collect();
            if words.first().is_none_or(|word| word != "vmm") {
                continue;
            }
            lines += 1;
            if let Err(error) = Cli::try_parse_from(&words) {
                panic!("{}: {line}: {error}", path.display());
            }
            if let Some(at) = words.iter().position(|word| *word == "--") {
                let guest = words[at + 1..].join(" ");
                let parsed = Args::parse(&guest, |_| false);
                assert!(parsed.is_ok(), "{}: {line}", path.display());
            }
        }
    }
    assert!(lines > 10);
}
