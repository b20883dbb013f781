//! What a run of the benchmark leaves behind.

use std::io;
use std::path::Path;

use serde_json::{Value, json};
use vmm::host::Identity;

use crate::SCHEMA;
use crate::row::Row;

/// Rows, and what could not be measured.
#[derive(Debug)]
pub(crate) struct Record {
    host: Identity,
    host_cpus: usize,
    quick: bool,
    rows: Vec<Row>,
    measured: Vec<&'static str>,
    failed: Vec<(&'static str, io::Error)>,
}

impl Record {
    /// Of a run that has measured nothing yet.
    pub(crate) fn new(host: Identity, host_cpus: usize, quick: bool) -> Self {
        Self {
            host,
            host_cpus,
            quick,
            rows: Vec::new(),
            measured: Vec::new(),
            failed: Vec::new(),
        }
    }

    /// One more row.
    pub(crate) fn row(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// How `measurement` ended.
    pub(crate) fn ended(&mut self, measurement: &'static str, how: io::Result<()>) {
        match how {
            Ok(()) => self.measured.push(measurement),
            Err(error) => {
                eprintln!("bench: {measurement}: {error}");
                self.failed.push((measurement, error));
            }
        }
    }

    /// How many targets there are, and how many of them are missed.
    pub(crate) fn targets(&self) -> (usize, usize) {
        let targets = self.rows.iter().filter_map(Row::met);
        (targets.clone().count(), targets.filter(|met| !met).count())
    }

    /// The last line of a run in which something failed.
    ///
    /// # Errors
    /// That line.
    pub(crate) fn complete(&self) -> io::Result<()> {
        if self.failed.is_empty() {
            return Ok(());
        }
        let names: Vec<_> = self.failed.iter().map(|(name, _)| *name).collect();
        Err(io::Error::other(format!(
            "not measured, or not all of it: {}",
            names.join(", ")
        )))
    }

    /// Writes all there is so far: whatever ends the run early, the file has what came before.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn write(&self, file: Option<&Path>) -> io::Result<()> {
        write_json(file, || self.json())
    }

    fn json(&self) -> Value {
        let rows: Vec<_> = self.rows.iter().map(Row::json).collect();
        let failure = |(name, error): &(&str, io::Error)| json!({ "measurement": name, "error": error.to_string() });
        json!({
            "schema": SCHEMA,
            "host": self.host,
            "host_cpus": self.host_cpus,
            "quick": self.quick,
            "measured": self.measured,
            "failed": self.failed.iter().map(failure).collect::<Vec<_>>(),
            "rows": rows,
        })
    }
}

/// Writes what `--json` is asked for, if it is.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn write_json(file: Option<&Path>, json: impl FnOnce() -> Value) -> io::Result<()> {
    let Some(file) = file else { return Ok(()) };
    std::fs::write(file, format!("{:#}\n", json()))
        .map_err(|error| io::Error::other(format!("--json {}: {error}", file.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Sample;

    #[test]
    fn what_fails_is_noted_beside_the_rows_of_the_others() {
        let mut record = Record::new(Identity::detect(), 2, true);
        record.ended("many", Err(io::Error::other("too many")));
        let row = Row::alone("kick".to_owned(), "us", Sample::of(1.0));
        record.row(row);
        record.ended("kick", Ok(()));
        let json = record.json();
        assert_eq!(json["measured"], json!(["kick"]));
        let failed = json!([{ "measurement": "many", "error": "too many" }]);
        assert_eq!(json["failed"], failed);
        assert_eq!(json["rows"][0]["name"], "kick");
        let last_line = record.complete().unwrap_err().to_string();
        assert!(last_line.ends_with(": many"), "{last_line}");
    }
}
