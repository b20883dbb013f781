//! Two files that `make bench` has written.

use std::io;
use std::path::Path;

use serde_json::Value;

use super::change::Change;

/// What two files have.
#[derive(Debug)]
pub(super) struct Compared {
    /// What both have measured.
    pub(super) changes: Vec<Change>,
    /// What only the old one has.
    pub(super) gone: Vec<String>,
    /// What only the new one has.
    pub(super) added: Vec<String>,
}

/// A row, and what is measured beside what.
type Row = ((String, String), Value);

/// Compares them.
pub(super) fn compare(old: &Path, new: &Path) -> io::Result<Compared> {
    Ok(of_rows(&rows(old)?, &rows(new)?))
}

fn of_rows(old: &[Row], new: &[Row]) -> Compared {
    let changes = new.iter().filter_map(|(key, after)| {
        let (_, before) = old.iter().find(|(other, _)| other == key)?;
        Some(change(before, after))
    });
    Compared {
        changes: changes.collect(),
        gone: missing(old, new),
        added: missing(new, old),
    }
}

/// The names of `rows` that `others` have no row of.
fn missing(rows: &[Row], others: &[Row]) -> Vec<String> {
    let is_missing = |(key, _): &&Row| !others.iter().any(|(other, _)| other == key);
    let name = |((name, beside), _): &Row| match beside.as_str() {
        "" => name.clone(),
        beside => format!("{name} / {beside}"),
    };
    rows.iter().filter(is_missing).map(name).collect()
}

fn rows(path: &Path) -> io::Result<Vec<Row>> {
    let named = |error: String| io::Error::other(format!("{}: {error}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| named(error.to_string()))?;
    let file: Value = serde_json::from_str(&text).map_err(|error| named(error.to_string()))?;
    if file["schema"] != crate::SCHEMA {
        return Err(named("not what `make bench` writes".to_owned()));
    }
    let rows = file["rows"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let keyed = |row: Value| ((text(&row["name"]), text(&row["reference"]["name"])), row);
    Ok(rows.into_iter().map(keyed).collect())
}

/// Beside a floor or a peer: how far from it. Alone: the numbers themselves.
fn change(old: &Value, new: &Value) -> Change {
    let name = new["name"].as_str().unwrap_or_default();
    let unit = new["unit"].as_str().unwrap_or_default();
    let (Some(before), Some(after)) = (quotients(old), quotients(new)) else {
        let (old, new) = (runs(&old["ours"]), runs(&new["ours"]));
        return Change::apart(name.to_owned(), unit.to_owned(), old, new);
    };
    let beside = new["reference"]["name"].as_str().unwrap_or_default();
    let unit = if unit.ends_with("/s") { "x /s" } else { "x" };
    let name = format!("{name} / {beside}");
    Change::apart(name, unit.to_owned(), before, after)
}

fn runs(sample: &Value) -> Vec<f64> {
    let runs = sample["runs"].as_array().map_or(&[][..], Vec::as_slice);
    runs.iter().filter_map(Value::as_f64).collect()
}

fn quotients(row: &Value) -> Option<Vec<f64>> {
    row["reference"].as_object()?;
    let (ours, others) = (runs(&row["ours"]), runs(&row["reference"]));
    Some(ours.iter().zip(others).map(|(a, b)| a / b).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_only_one_file_has_is_named() {
        let row = |name: &str, beside: &str| ((name.to_owned(), beside.to_owned()), json!({}));
        let (start, kick) = (row("start", "floor"), row("kick", ""));
        let both = of_rows(&[start.clone(), kick.clone()], std::slice::from_ref(&start));
        assert_eq!((both.gone, both.added), (vec!["kick".to_owned()], vec![]));
        let both = of_rows(std::slice::from_ref(&kick), &[kick.clone(), start]);
        assert_eq!(both.added, ["start / floor"]);
        assert_eq!(both.changes.len(), 1);
    }

    #[test]
    fn a_slower_host_is_no_change_where_a_floor_stands_beside() {
        let row = |speed: f64| {
            let runs = |base: f64| (1..=9).map(move |n| base * speed + f64::from(n) * 0.001);
            json!({
                "name": "start", "unit": "ms",
                "ours": { "runs": runs(2.0).collect::<Vec<_>>() },
                "reference": { "name": "floor", "runs": runs(1.0).collect::<Vec<_>>() },
            })
        };
        let compared = change(&row(1.0), &row(3.0)).json();
        let ratio = compared["ratio"].as_f64().unwrap_or_default();
        assert!((ratio - 1.0).abs() < 0.02, "{compared}");
    }
}
