use super::super::made::study;
use super::*;

#[test]
fn what_would_break_a_line_is_quoted() {
    assert_eq!(field("plain"), "plain");
    assert_eq!(field("drop=1,dup=2"), "\"drop=1,dup=2\"");
    assert_eq!(field("=1+1"), "'=1+1");
    assert_eq!(field("@SUM(A1,A2)"), "\"'@SUM(A1,A2)\"");
    assert_eq!(field("-5"), "-5");
    assert_eq!(field("a \"b\"\nc"), "\"a \"\"b\"\"\nc\"");
}

#[test]
fn a_cell_has_its_medians_and_its_ratio() {
    let factors: super::super::made::Factors<'_> = &[("lock", &["ticket", "tas"])];
    let rate = |cell: &std::collections::BTreeMap<String, String>| {
        Some(if cell["lock"] == "tas" { 200.0 } else { 100.0 })
    };
    let csv = cells(&study("made", factors, rate).against("lock", "ticket"));
    let lines: Vec<_> = csv.lines().collect();
    assert_eq!(
        lines,
        [
            "cell,runs,went_wrong,lock,acquisitions_per_second_median,acquisitions_per_second_low,\
             acquisitions_per_second_high,acquisitions_per_second_level,ratio,ratio_low,ratio_high,\
             ratio_level,pairs",
            "0,5,0,ticket,102,100,104,0.9375,,,,,",
            "1,5,0,tas,204,200,208,0.9375,2,2,2,0.9375,5",
        ]
    );
}
