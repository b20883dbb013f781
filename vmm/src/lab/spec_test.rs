use super::super::test_spec::{names, spec};
use super::*;

const EXAMPLE: &str = r#"
name = "example"
description = "One of each"
seconds = 0.25
repetitions = 3
seed = 7
timeout = 60
lock = ["ticket", "tas"]
vcpus = [2, "4"]
nopvspin = true
settle = 0.2
baseline = { lock = "ticket" }
[[skip]]
lock = "tas"
vcpus = [2, 4]
"#;

fn mistake(text: &str) -> String {
    let mistake = spec(text).unwrap_err().to_string();
    assert!(!mistake.contains('\n'), "{mistake}");
    mistake
}

#[test]
fn what_is_resolved_reads_back_as_the_same() {
    let read = spec(EXAMPLE).unwrap();
    let again = spec(&read.to_toml()).unwrap();
    assert_eq!(read, again);
    assert_eq!(read.to_toml(), again.to_toml());
}

#[test]
fn the_digest_is_of_what_is_meant_and_not_of_how_it_is_written() {
    let digest = |text: &str| spec(text).unwrap().digest();
    let same = EXAMPLE
        .replace("\"4\"", "4")
        .replace("seconds", "# a word\nseconds");
    assert_eq!(digest(EXAMPLE), digest(&same));
    for (old, new) in [
        ("0.25", "0.5"),
        ("seed = 7", "seed = 8"),
        ("repetitions = 3", "repetitions = 4"),
        ("60", "61"),
        ("\"tas\"]", "\"byte\", \"tas\"]"),
        ("nopvspin = true", "nopvspin = false"),
        ("vcpus = [2, 4]", "vcpus = 4"),
        ("lock = \"ticket\"", "lock = \"tas\""),
    ] {
        assert!(EXAMPLE.contains(old));
        assert_ne!(digest(EXAMPLE), digest(&EXAMPLE.replace(old, new)), "{old}");
    }
}

#[test]
fn all_values_but_some_can_be_skipped() {
    let skip = |of: &str| {
        let text = format!("lock = [\"ticket\", \"mcs\", \"tas\"]\n[[skip]]\nlock = {of}");
        spec(&text).unwrap().skip
    };
    assert_eq!(skip("{ except = \"mcs\" }"), skip("[\"ticket\", \"tas\"]"));
    assert_eq!(skip("{ except = [\"mcs\", \"tas\"] }"), skip("\"ticket\""));
}

#[test]
fn what_is_not_said_has_a_default() {
    let spec = spec("lock = \"tas\"").unwrap();
    assert_eq!(spec.name, "nameless");
    assert_eq!(spec.seconds, SECONDS_DEFAULT);
    assert_eq!(spec.repetitions, REPETITIONS_DEFAULT);
    assert_eq!((spec.seed, spec.timeout), (SEED_DEFAULT, None));
    assert_eq!((spec.baseline, spec.skip), (None, Vec::new()));
}

#[test]
fn the_command_line_comes_first() {
    let overrides = Overrides {
        seconds: Some(0.5),
        repetitions: Some(9),
        set: vec![
            ("lock".to_owned(), toml::Value::from(vec!["ticket"])),
            ("hold".to_owned(), toml::Value::from(vec!["7"])),
        ],
    };
    let text = "seconds = 3\nlock = \"tas\"";
    let spec = Spec::parse(text, "x", &overrides, &names()).unwrap();
    assert_eq!(spec.seconds, Duration::from_millis(500));
    assert_eq!(spec.repetitions, 9);
    let factors = spec.factors.iter();
    let factors: Vec<_> = factors
        .map(|f| (f.name.as_str(), f.values.join(",")))
        .collect();
    assert_eq!(
        factors,
        [("lock", "ticket".to_owned()), ("hold", "7".to_owned())]
    );
}

#[test]
fn each_mistake_is_a_line_that_names_it() {
    for (text, part) in [
        ("lock = ", "line 1: "),
        ("lock = \"tas\"\nlock = \"tas\"", "line 2: "),
        ("", "no factors"),
        ("seconds = 2", "no factors"),
        ("lock = []", "`lock` has no values"),
        ("lock = [\"tas\", \"tas\"]", "`lock`: `tas` comes twice"),
        ("lokc = \"tas\"", "did you mean `lock`?"),
        ("lock = \"tas\"\njson = \"-\"", "`json` cannot be a factor"),
        ("[factors]\nlock = \"tas\"", "`factors`"),
        ("lock = \"tas\"\nseconds = 0", "`seconds`"),
        ("lock = \"tas\"\nseconds = -1", "`seconds`"),
        ("lock = \"tas\"\nseconds = 1e9", "`seconds`"),
        ("lock = \"tas\"\nseconds = inf", "`seconds`"),
        ("lock = \"tas\"\nseconds = 0.0001", "`seconds`"),
        ("lock = \"tas\"\nseconds = [1, 2]", "`seconds`"),
        ("lock = \"tas\"\ntimeout = \"long\"", "`timeout`"),
        ("lock = \"tas\"\nrepetitions = 0", "`repetitions`"),
        ("lock = \"tas\"\nrepetitions = 1.5", "`repetitions`"),
        ("lock = \"tas\"\nrepetitions = 99999999999", "`repetitions`"),
        ("lock = \"tas\"\nseed = -1", "`seed`"),
        ("lock = \"tas\"\nname = 1", "`name`"),
        ("lock = \"tas\"\nbaseline = \"tas\"", "`baseline`"),
        ("lock = \"tas\"\nbaseline = {}", "`baseline`"),
        (
            "lock = \"tas\"\nbaseline = { lock = \"ticket\" }",
            "none of the values of `lock`",
        ),
        (
            "lock = \"tas\"\nbaseline = { vcpus = 2 }",
            "`vcpus` is no factor",
        ),
        ("lock = \"tas\"\nbaseline = { lock = [\"tas\"] }", "`lock"),
        ("lock = \"tas\"\nskip = { lock = \"tas\" }", "`skip`"),
        ("lock = \"tas\"\nskip = [1]", "`skip`"),
        (
            "lock = \"tas\"\n[[skip]]\nlock = \"ticket\"",
            "none of the values of `lock`",
        ),
        (
            "lock = \"tas\"\n[[skip]]\nvcpus = 2",
            "`vcpus` is no factor",
        ),
        (
            "lock = \"tas\"\n[[skip]]\nlock = { except = \"ticket\" }",
            "none of the values of `lock`",
        ),
        (
            "lock = \"tas\"\n[[skip]]\nlock = { but = \"tas\" }",
            "except",
        ),
        ("lock = \"tas\"\n[[skip]]\nlock = {}", "except"),
    ] {
        let mistake = mistake(text);
        assert!(mistake.contains(part), "{text:?}: {mistake}");
    }
}
