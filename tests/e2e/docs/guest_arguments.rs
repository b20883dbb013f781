//! The reference of the payload's arguments.

use std::collections::BTreeSet;

use guest_payload::args::{Args, KEYS};

use super::{code, page, rows};

#[test]
fn the_reference_has_every_guest_argument_with_its_default() {
    let reference = page("docs/reference/guest-arguments.md");
    let mut described = BTreeSet::new();
    let mut line = String::new();
    for row in rows(&reference) {
        let Some(word) =
            code(&row[0]).filter(|word| word.contains('=') || word.ends_with("nopvspin"))
        else {
            continue;
        };
        let key = word.split('=').next().unwrap();
        described.insert(key.to_owned());
        if let Some(default) = code(&row[1]) {
            line.push_str(&format!("{key}={default} "));
        }
    }
    let keys = KEYS.strip_prefix("one of ").unwrap();
    assert_eq!(described, keys.split(", ").map(str::to_owned).collect());
    assert_eq!(Args::parse(&line, |_| false), Ok(Args::DEFAULT), "{line}");
}
