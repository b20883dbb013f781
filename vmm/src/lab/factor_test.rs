use std::collections::BTreeSet;

use super::super::test_spec::names;
use super::*;
use crate::cli;

fn factor(name: &str, toml: &str) -> Result<Factor, SpecError> {
    let table: toml::Table = format!("x = {toml}").parse().unwrap();
    Factor::new(name, &table["x"], &names())
}

fn values(name: &str, toml: &str) -> Vec<String> {
    factor(name, toml).unwrap().values
}

fn mistake(name: &str, toml: &str) -> String {
    let mistake = factor(name, toml).unwrap_err().to_string();
    assert!(!mistake.contains('\n'), "{mistake}");
    mistake
}

#[test]
fn every_option_of_run_and_every_guest_argument_is_a_factor_or_kept_with_a_reason() {
    let names = names();
    let run = cli::described_run();
    let options = run.get_arguments().filter_map(|option| option.get_long());
    let options: BTreeSet<_> = options.collect();
    let words: BTreeSet<_> = args::KEYS
        .trim_start_matches("one of ")
        .split(", ")
        .collect();
    for name in options.union(&words) {
        let is_kept = KEPT.iter().any(|(kept, _)| kept == name);
        assert_eq!(names.knob(name).is_err(), is_kept, "{name}");
    }
    // A name that is both would turn only one of them.
    let both: Vec<_> = options.intersection(&words).collect();
    assert_eq!(both, [&"seed"]);
}

#[test]
fn no_factor_is_called_as_a_key_of_the_specification() {
    for key in super::super::keys::KEYS {
        assert!(names().knob(key).is_err(), "{key}");
    }
}

#[test]
fn a_name_says_where_its_value_goes() {
    let word = |name: &str, value| {
        let knob = names().knob(name).unwrap();
        knob.word(name, value)
    };
    assert_eq!(word("vcpus", "4").as_deref(), Some("--vcpus=4"));
    assert_eq!(word("lock", "tas").as_deref(), Some("lock=tas"));
    assert_eq!(word("enforce-pv", "true").as_deref(), Some("--enforce-pv"));
    assert_eq!(word("nopvspin", "true").as_deref(), Some("nopvspin"));
    for (name, value) in [
        ("enforce-pv", "false"),
        ("nopvspin", "false"),
        ("pcpus", LEFT_OUT),
        ("ring", LEFT_OUT),
    ] {
        assert_eq!(word(name, value), None, "{name}");
    }
}

#[test]
fn numbers_strings_and_booleans_are_values() {
    assert_eq!(values("vcpus", "[2, 16]"), ["2", "16"]);
    assert_eq!(values("settle", "0.2"), ["0.2"]);
    assert_eq!(values("threshold", "[128, \"200ns\"]"), ["128", "200ns"]);
    assert_eq!(values("nopvspin", "[true, false]"), ["true", "false"]);
    assert_eq!(values("kick-yield", "[true, false]"), ["on", "off"]);
    assert_eq!(
        values("topology", "\"sockets=2,cores=2\""),
        ["sockets=2,cores=2"]
    );
}

#[test]
fn every_stands_for_all_values_that_can_be_counted() {
    let locks = LockKind::ALL.map(LockKind::name);
    assert_eq!(values("lock", "\"every\""), locks);
    assert_eq!(values("halt", "\"every\""), ["auto", "kvm", "vmm"]);
    assert_eq!(values("nopvspin", "\"every\""), ["false", "true"]);
    assert!(mistake("vcpus", "\"every\"").contains("cannot be counted"));
}

#[test]
fn a_name_that_is_none_is_answered_with_the_nearest() {
    for (name, nearest) in [
        ("vcpu", "vcpus"),
        ("on_spin", "on-spin"),
        ("treshold", "threshold"),
        ("repetition", "repetitions"),
    ] {
        let mistake = mistake(name, "1");
        assert!(
            mistake.ends_with(&format!("did you mean `{nearest}`?")),
            "{mistake}"
        );
    }
    assert!(!mistake("zzzz", "1").contains("did you mean"));
    assert!(mistake("gdb", "1").contains("cannot be a factor"));
}

#[test]
fn what_is_no_value_is_refused() {
    for (name, toml) in [
        ("vcpus", "[]"),
        ("vcpus", "[2, 2]"),
        ("vcpus", "[[2]]"),
        ("vcpus", "{ a = 1 }"),
        ("vcpus", "1979-05-27"),
        ("settle", "nan"),
        ("lock", "\"\""),
        ("lock", "\"tas nopvspin\""),
        ("topology", "\"a\\nb\""),
        ("nopvspin", "\"true\""),
        ("enforce-pv", "1"),
    ] {
        let mistake = mistake(name, toml);
        assert!(mistake.contains(&format!("`{name}")), "{mistake}");
    }
}
