//! The table on standard output.

use crate::row::Row;

/// Prints the headings.
pub(crate) fn head() {
    println!(
        "{:<44} {:>12} {:<5} {:>12} {:<13} {:>8} {:>8}  met",
        "measurement", "ours", "", "beside", "", "ratio", "target"
    );
}

/// Prints one row.
pub(crate) fn row(row: &Row) {
    let (beside, name) = match &row.reference {
        Some((name, sample)) => (number(sample.median()), *name),
        None => (String::new(), ""),
    };
    let ratio = row
        .ratio()
        .map_or_else(String::new, |ratio| format!("{ratio:.2}x"));
    let target = row.target.map_or_else(String::new, |t| t.to_string());
    let met = match row.met() {
        Some(true) => "yes",
        Some(false) => "NO",
        None => "",
    };
    println!(
        "{:<44} {:>12} {:<5} {:>12} {:<13} {:>8} {:>8}  {}",
        row.name,
        number(row.ours.median()),
        row.unit,
        beside,
        name,
        ratio,
        target,
        met
    );
}

/// Four digits that matter.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        v if v >= 1000.0 => format!("{value:.0}"),
        v if v >= 100.0 => format!("{value:.1}"),
        v if v >= 10.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}
