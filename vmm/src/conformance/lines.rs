//! The guest's lines on the serial port, which a guest may fill with anything.

use guest_payload::conformance::{Case, LINE_PREFIX};

/// What the guest says of one case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// The case.
    pub case: Case,
    /// What it has seen, so far where it never ended.
    pub seen: &'a str,
    /// How it ended.
    pub ended: Ended<'a>,
}

/// How a case ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended<'a> {
    /// As expected.
    Passed,
    /// Otherwise.
    Failed,
    /// It did not suit the machine.
    Skipped(&'a str),
    /// Not at all.
    Never,
}

/// The cases of `serial`, in order. Other lines are left out.
pub fn read(serial: &str) -> Vec<Line<'_>> {
    serial.lines().filter_map(line).collect()
}

fn line(text: &str) -> Option<Line<'_>> {
    let mut words = text.strip_prefix(LINE_PREFIX)?.split(' ');
    let case = Case::from_name(words.next()?)?;
    let (mut seen, mut ended) = ("", Ended::Never);
    while let Some(word) = words.next() {
        match word {
            "seen" => seen = words.next().unwrap_or(""),
            "PASS" => ended = Ended::Passed,
            "FAIL" => ended = Ended::Failed,
            "SKIP" => ended = Ended::Skipped(words.next().unwrap_or("")),
            _ => {}
        }
    }
    Some(Line { case, seen, ended })
}

/// Facts as the guest writes them.
pub fn facts(case: Case) -> String {
    let words = case.expected().iter().map(|fact| fact.word());
    let words: Vec<_> = words.map(|word| word.as_str().to_owned()).collect();
    words.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_case_facts_and_end() {
        let serial = "guest-payload: hello\n\
                      conformance: known-id expected sleeps,0,wakes seen sleeps,0,wakes PASS\n\
                      conformance: cpl3 expected -1,sleeps seen 0,wakes FAIL\n\
                      conformance: sparse-ids expected 0 SKIP no-gap\n\
                      conformance: done FAIL\n";
        let line = |case, seen, ended| Line { case, seen, ended };
        assert_eq!(
            read(serial),
            [
                line(Case::KnownId, "sleeps,0,wakes", Ended::Passed),
                line(Case::Cpl3, "0,wakes", Ended::Failed),
                line(Case::SparseIds, "", Ended::Skipped("no-gap")),
            ]
        );
    }

    #[test]
    fn a_case_that_never_ended_has_said_how_far_it_came() {
        let serial = "conformance: known-id expected sleeps,0,wakes seen sleeps,0";
        let [line] = read(serial)[..] else { panic!() };
        assert_eq!((line.seen, line.ended), ("sleeps,0", Ended::Never));
    }

    #[test]
    fn expected_facts_read_as_the_guest_writes_them() {
        assert_eq!(facts(Case::Caller32), "0,wakes,0xfffffc18");
        assert_eq!(facts(Case::Cpl3), "-1,sleeps");
    }

    proptest::proptest! {
        #[test]
        fn anything_can_be_read(serial in "(conformance: |known-id|seen|SKIP|[ -~\n])*") {
            read(&serial);
        }
    }
}
