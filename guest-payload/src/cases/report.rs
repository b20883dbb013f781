//! A case's line on the serial port. Its name and what is expected come before the case runs, so
//! that a case which never ends is known.

use guest_payload::conformance::{Case, DONE, FACTS_MAX, Fact, LINE_PREFIX};

use crate::arch::serial::print;

/// What a case has seen, in order.
#[derive(Debug)]
pub(crate) struct Seen {
    facts: [Option<Fact>; FACTS_MAX],
    count: usize,
}

/// What a case comes back with.
pub(crate) enum Outcome {
    /// It ran.
    Seen(Seen),
    /// This machine does not suit it; one word says why.
    Skip(&'static str),
}

/// How a case is judged.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Pass,
    Fail,
    Skip,
}

impl Seen {
    pub(crate) fn new() -> Self {
        Self {
            facts: [None; FACTS_MAX],
            count: 0,
        }
    }

    /// Notes one more fact and tells it at once.
    pub(crate) fn see(&mut self, fact: Fact) {
        print(if self.count == 0 { " seen " } else { "," });
        print(fact.word().as_str());
        if let Some(place) = self.facts.get_mut(self.count) {
            *place = Some(fact);
        }
        self.count += 1;
    }

    fn are(&self, expected: &[Fact]) -> bool {
        let seen = self.facts.iter().flatten();
        self.count == expected.len() && seen.eq(expected)
    }
}

pub(crate) fn start(case: Case) {
    print(LINE_PREFIX);
    print(case.name());
    for (at, fact) in case.expected().iter().enumerate() {
        print(if at == 0 { " expected " } else { "," });
        print(fact.word().as_str());
    }
}

pub(crate) fn finish(case: Case, outcome: Outcome) -> Verdict {
    match outcome {
        Outcome::Seen(seen) if seen.are(case.expected()) => {
            print(" PASS\n");
            Verdict::Pass
        }
        Outcome::Seen(_) => {
            print(" FAIL\n");
            Verdict::Fail
        }
        Outcome::Skip(why) => {
            print(" SKIP ");
            print(why);
            print("\n");
            Verdict::Skip
        }
    }
}

pub(crate) fn done(passed: bool) {
    print(LINE_PREFIX);
    print(DONE);
    print(if passed { " PASS\n" } else { " FAIL\n" });
}
