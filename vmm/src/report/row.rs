//! A row of a table: a label, and cells of a name and a value each.

use std::fmt;

use super::wrap::WIDTH;

/// Width of the label at the start of a row.
pub(crate) const LABEL: usize = 12;
/// Space between two cells.
const GAP: usize = 3;

/// `label` and then the cells, as many to a line as `columns` says; nothing without cells.
pub(crate) fn row<'a>(
    f: &mut fmt::Formatter<'_>,
    label: &str,
    columns: usize,
    cells: impl IntoIterator<Item = (&'a str, String)>,
) -> fmt::Result {
    let cells: Vec<_> = cells.into_iter().collect();
    let width = (WIDTH - LABEL) / columns - GAP;
    for (index, line) in cells.chunks(columns).enumerate() {
        let label = if index == 0 { label } else { "" };
        let line: Vec<_> = line
            .iter()
            .map(|(name, value)| {
                let room = width.saturating_sub(value.chars().count() + 1);
                let name: String = name.chars().take(room).collect();
                let fill = width.saturating_sub(name.chars().count());
                format!("{name}{value:>fill$}")
            })
            .collect();
        writeln!(f, "{label:LABEL$}{}", line.join(&" ".repeat(GAP)))?;
    }
    Ok(())
}
