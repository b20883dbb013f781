//! Arbitrary text as an experiment's specification, with overrides in its comments. What is taken
//! reads back as the same, and its cells, their command lines and the order of its runs hold
//! together.
#![no_main]

use std::collections::BTreeSet;
use std::sync::OnceLock;

use clap::{CommandFactory, Parser};
use libfuzzer_sys::fuzz_target;
use toml::Value;
use vmm::cli::Cli;
use vmm::lab::cells::Cells;
use vmm::lab::factor::Names;
use vmm::lab::plan::Plan;
use vmm::lab::shard::Shard;
use vmm::lab::spec::{Overrides, Spec};

/// More combinations than this take long, and are no different.
const COMBINATIONS_MOST: usize = 2000;
/// Command lines that are parsed: it takes longer than all else.
const LINES_MOST: usize = 1;
const REPETITIONS_MOST: u32 = 50;

fn names() -> &'static Names {
    static NAMES: OnceLock<Names> = OnceLock::new();
    NAMES.get_or_init(|| Names::of(Cli::command().find_subcommand("run").expect("run")))
}

/// `#set NAME=VALUE,VALUE`, `#seconds S` and `#repetitions N` stand for the options.
fn overrides(text: &str) -> Overrides {
    let mut overrides = Overrides::default();
    for line in text.lines() {
        if let Some(value) = line.strip_prefix("#seconds ") {
            overrides.seconds = value.parse().ok();
        } else if let Some(value) = line.strip_prefix("#repetitions ") {
            overrides.repetitions = value.parse().ok();
        } else if let Some((name, values)) = line
            .strip_prefix("#set ")
            .and_then(|set| set.split_once('='))
        {
            let values: Vec<_> = values.split(',').map(Value::from).collect();
            overrides.set.push((name.to_owned(), Value::Array(values)));
        }
    }
    overrides
}

fn check(spec: Spec) {
    let sizes = spec.factors.iter().map(|factor| factor.values.len());
    let combinations = sizes.fold(1, usize::saturating_mul);
    let repetitions = spec.repetitions;
    if combinations > COMBINATIONS_MOST || repetitions > REPETITIONS_MOST {
        return;
    }
    let Ok(cells) = Cells::of(spec) else {
        return;
    };
    assert!((1..=combinations).contains(&cells.count()));
    let labels: BTreeSet<_> = (0..cells.count()).map(|cell| cells.label(cell)).collect();
    assert_eq!(labels.len(), cells.count(), "two cells have one label");
    for cell in (0..cells.count()).take(LINES_MOST) {
        let baseline = cells.baselines()[cell];
        assert_eq!(cells.baselines()[baseline], baseline);
        let line = cells.command_line(cell, 1);
        // Whether it is one that `vmm run` takes is another matter, which it says in words.
        let line = std::iter::once("vmm").chain(line.iter().map(String::as_str));
        if let Err(error) = Cli::try_parse_from(line) {
            assert!(!error.to_string().is_empty());
        }
    }
    let plan = Plan::of(&cells);
    let runs = plan.runs();
    let whole = u32::try_from(cells.count()).map(|cells| cells * repetitions);
    assert_eq!(u32::try_from(runs.len()), whole);
    let shards = ["1/3", "2/3", "3/3"].map(|shard| shard.parse::<Shard>().expect("a shard"));
    let shared = shards.map(|shard| plan.of_shard(shard));
    let numbers: BTreeSet<_> = shared.iter().flatten().map(|run| run.number).collect();
    let sum: usize = shared.iter().map(Vec::len).sum();
    assert_eq!((numbers.len(), sum), (runs.len(), runs.len()));
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let overrides = overrides(text);
    match Spec::parse(text, "nameless", &overrides, names()) {
        Err(error) => {
            let error = error.to_string();
            assert!(!error.is_empty() && !error.contains('\n'), "{error:?}");
        }
        Ok(spec) => {
            let resolved = spec.to_toml();
            let again = Spec::parse(&resolved, "", &Overrides::default(), names());
            let again = again.unwrap_or_else(|error| panic!("{error}: {resolved}"));
            assert_eq!(again, spec, "{resolved}");
            assert_eq!(again.digest(), spec.digest());
            check(spec);
        }
    }
});
