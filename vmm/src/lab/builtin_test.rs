use std::time::Duration;

use super::super::test_spec::{cells, spec};
use super::*;

#[test]
fn each_has_its_name_a_sentence_and_a_baseline() {
    for builtin in ALL {
        let spec = spec(builtin.text).unwrap();
        assert_eq!(spec.name, builtin.name);
        assert!(!spec.description.is_empty() && !spec.description.contains('\n'));
        assert!(spec.baseline.is_some(), "{}", builtin.name);
    }
}

#[test]
fn none_takes_longer_than_six_minutes_of_workload() {
    for builtin in ALL {
        let cells = cells(builtin.text).unwrap();
        let once: Duration = (0..cells.count()).map(|cell| cells.workload(cell)).sum();
        let all = once * cells.spec().repetitions;
        assert!(all <= Duration::from_secs(360), "{}: {all:?}", builtin.name);
    }
}
