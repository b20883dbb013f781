//! Values of options: lists of pairs, durations, shares. Errors are for who wrote the option.

use std::time::Duration;

/// `text`, which comes from outside, as one line that moves no cursor: control characters are
/// escaped as Rust has them, and so are those that turn the direction of writing.
pub(crate) fn plain(text: &str) -> String {
    text.chars().fold(String::new(), |mut plain, c| {
        let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || turns {
            plain.extend(c.escape_default());
        } else {
            plain.push(c);
        }
        plain
    })
}

/// The pairs of `a=1,b=2`.
///
/// # Errors
/// A part without `=`, and a key that comes twice.
pub(crate) fn pairs(text: &str) -> Result<Vec<(&str, &str)>, String> {
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    for part in text.split(',') {
        let (key, value) = part
            .split_once('=')
            .ok_or_else(|| format!("`{part}` is no KEY=VALUE"))?;
        if pairs.iter().any(|(other, _)| *other == key) {
            return Err(format!("`{key}` comes twice"));
        }
        pairs.push((key, value));
    }
    Ok(pairs)
}

/// A whole number with `ns`, `us`, `ms` or `s`, as in `100us`; above 0 and at most a day.
///
/// # Errors
/// Anything else.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    const DAY: Duration = Duration::from_secs(86_400);
    let bad = || format!("`{text}` is no time like 100us, 3ms or 1s");
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let number: u64 = digits.parse().map_err(|_| bad())?;
    let unit_ns = match &text[digits.len()..] {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        _ => return Err(bad()),
    };
    number
        .checked_mul(unit_ns)
        .map(Duration::from_nanos)
        .filter(|time| !time.is_zero() && *time <= DAY)
        .ok_or_else(|| format!("`{text}` must be above 0 and at most a day"))
}

/// A share from 0 to 1.
///
/// # Errors
/// Anything else.
pub(crate) fn share(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or_else(|| format!("`{text}` is no share from 0 to 1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_outside_is_one_line_that_moves_nothing() {
        let shown = plain("a\u{1b}[2J\nb\u{202e}é`\"").to_string();
        assert_eq!(shown, "a\\u{1b}[2J\\nb\\u{202e}é`\"");
    }

    #[test]
    fn pairs_keep_their_order_and_come_once() {
        assert_eq!(pairs("a=1,b=x=y"), Ok(vec![("a", "1"), ("b", "x=y")]));
        assert!(pairs("a=1,a=2").is_err());
        assert!(pairs("a").is_err());
        assert!(pairs("").is_err());
    }

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration("3ms"), Ok(Duration::from_millis(3)));
        assert_eq!(duration("100us"), Ok(Duration::from_micros(100)));
        for bad in [
            "",
            "3",
            "ms",
            "0ms",
            "1.5s",
            "-1s",
            "3 ms",
            "99999999999999999999s",
            "2000000000s",
        ] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn shares_are_from_0_to_1() {
        assert_eq!(share("0.25"), Ok(0.25));
        for bad in ["", "-0.1", "1.1", "NaN", "inf"] {
            assert!(share(bad).is_err(), "{bad}");
        }
    }
}
