use super::super::test_spec::cells;

fn mistake(text: &str) -> String {
    let mistake = cells(text).unwrap_err().to_string();
    assert!(!mistake.contains('\n'), "{mistake}");
    mistake
}

fn labels(text: &str) -> Vec<String> {
    let cells = cells(text).unwrap();
    (0..cells.count()).map(|cell| cells.label(cell)).collect()
}

#[test]
fn the_last_factor_varies_fastest() {
    assert_eq!(
        labels("lock = [\"tas\", \"byte\"]\nhold = 7\nvcpus = [2, 4]"),
        [
            "lock=tas vcpus=2",
            "lock=tas vcpus=4",
            "lock=byte vcpus=2",
            "lock=byte vcpus=4"
        ]
    );
}

#[test]
fn what_is_skipped_is_no_cell() {
    let text = "lock = [\"tas\", \"byte\"]\nvcpus = [2, 4, 8]\n\
                [[skip]]\nlock = \"tas\"\nvcpus = [4, 8]\n[[skip]]\nvcpus = 2\nlock = \"byte\"";
    assert_eq!(
        labels(text),
        ["lock=tas vcpus=2", "lock=byte vcpus=4", "lock=byte vcpus=8"]
    );
}

#[test]
fn a_cell_is_compared_with_the_one_that_differs_in_the_baseline_alone() {
    let text = "lock = [\"tas\", \"byte\"]\nvcpus = [2, 4]\nbaseline = { lock = \"byte\" }";
    assert_eq!(cells(text).unwrap().baselines(), [2, 3, 2, 3]);
    let text = "lock = [\"tas\", \"byte\"]\nvcpus = [2, 4]";
    assert_eq!(cells(text).unwrap().baselines(), [0, 1, 2, 3]);
}

#[test]
fn a_baseline_that_is_skipped_is_a_mistake() {
    let text = "lock = [\"tas\", \"byte\"]\nvcpus = [2, 4]\nbaseline = { lock = \"byte\" }\n\
                [[skip]]\nlock = \"byte\"\nvcpus = 4";
    let mistake = mistake(text);
    assert!(mistake.contains("lock=tas vcpus=4"), "{mistake}");
}

#[test]
fn nothing_and_too_much_are_mistakes() {
    let text = "lock = \"tas\"\n[[skip]]\nlock = \"tas\"";
    assert!(mistake(text).contains("leaves out every combination"));
    assert!(mistake("lock = \"tas\"\nrepetitions = 100001").starts_with("100001 runs"));
    assert_eq!(
        cells("lock = \"tas\"\nrepetitions = 100000")
            .unwrap()
            .count(),
        1
    );
    let list = |name: &str| {
        let values: Vec<_> = (0..10_000).map(|value| value.to_string()).collect();
        format!("{name} = [{}]\n", values.join(", "))
    };
    let text = ["hold", "think", "mortal", "io", "window"]
        .map(list)
        .concat();
    assert!(mistake(&text).starts_with("500000000000000000000 runs"));
}

#[test]
fn the_command_line_has_options_first_and_the_guests_words_behind() {
    let text = "lock = \"tas\"\nvcpus = 4\nnopvspin = true\nenforce-pv = true\nxen = false\n\
                pcpus = \"default\"\nsettle = 0.25\nseconds = 0.5";
    let line = cells(text).unwrap().command_line(0, 9).join(" ");
    assert_eq!(
        line,
        "run --json=- --serial=null --timeout=37.5 --seed=9 --vcpus=4 --enforce-pv -- lock=tas \
         nopvspin settle=0.25 seconds=0.5 seed=9"
    );
}

#[test]
fn a_run_has_ten_times_its_workload_and_half_a_minute_unless_it_is_said() {
    let timeout = |text: &str| cells(text).unwrap().timeout(0).as_secs_f64();
    assert_eq!(timeout("lock = \"tas\"\nseconds = 2"), 50.0);
    assert_eq!(timeout("lock = \"tas\"\nsettle = 1\nseconds = 2"), 60.0);
    assert_eq!(timeout("lock = \"tas\"\nseconds = 2\ntimeout = 3"), 3.0);
    // What is nonsense is for the parser of `vmm run` to refuse.
    assert_eq!(timeout("settle = \"nan\"\nseconds = 2"), 50.0);
}

#[test]
fn a_refusal_names_its_cell() {
    let cells = cells("lock = [\"tas\", \"byte\"]\nhold = 7").unwrap();
    let refuse = |line: &[String]| match line.contains(&"lock=byte".to_owned()) {
        true => Err("no".to_owned()),
        false => Ok(()),
    };
    let refusal = cells.check(refuse).unwrap_err().to_string();
    assert_eq!(refusal, "cell 1 (lock=byte): no");
}
