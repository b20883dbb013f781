//! The specification of an experiment: which factors, which values, how often.

use std::time::Duration;

use toml::{Table, Value};

use super::factor::{self, Factor, Names};
use super::keys::{
    BASELINE, DESCRIPTION, EXCEPT, KEYS, NAME, REPETITIONS, SECONDS, SEED, SKIP, TIMEOUT,
};
use super::spec_error::SpecError;

const SECONDS_DEFAULT: Duration = Duration::from_secs(1);
const REPETITIONS_DEFAULT: u32 = 5;
const SEED_DEFAULT: u64 = 1;
/// Longest name and description, in bytes: they stand in headings and in every record.
const NAME_MOST: usize = 100;
const DESCRIPTION_MOST: usize = 10_000;

/// A combination of some factors' values: places among [`Spec::factors`] and among the values of
/// each.
pub type Part = Vec<(usize, Vec<usize>)>;

/// What an experiment runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// Its name.
    pub name: String,
    /// What it is for; may be empty.
    pub description: String,
    /// How long each run's workload counts, in whole ms.
    pub seconds: Duration,
    /// How often each combination runs.
    pub repetitions: u32,
    /// Seed of the order and of the runs.
    pub seed: u64,
    /// A run that takes longer is ended; by default that depends on how long it should take.
    pub timeout: Option<Duration>,
    /// What varies, and what is fixed to one value, in the order of the file.
    pub factors: Vec<Factor>,
    /// Each cell is compared with the one that has these values and else its own.
    pub baseline: Option<Vec<(usize, usize)>>,
    /// Combinations that do not run.
    pub skip: Vec<Part>,
}

/// What the command line says instead of the file.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `seconds`.
    pub seconds: Option<f64>,
    /// `repetitions`.
    pub repetitions: Option<u32>,
    /// Factors with their values.
    pub set: Vec<(String, Value)>,
}

impl Spec {
    /// Reads a specification. `name` is for one that has none.
    ///
    /// # Errors
    /// [`SpecError`].
    pub fn parse(
        text: &str,
        name: &str,
        overrides: &Overrides,
        names: &Names,
    ) -> Result<Self, SpecError> {
        let mut table: Table = text.parse().map_err(|error| syntax(text, &error))?;
        if let Some(seconds) = overrides.seconds {
            table.insert(SECONDS.to_owned(), Value::Float(seconds));
        }
        if let Some(repetitions) = overrides.repetitions {
            table.insert(REPETITIONS.to_owned(), Value::Integer(repetitions.into()));
        }
        for (factor, value) in &overrides.set {
            names.knob(factor)?;
            table.insert(factor.clone(), value.clone());
        }
        Self::of(&table, name, names)
    }

    fn of(table: &Table, name: &str, names: &Names) -> Result<Self, SpecError> {
        let is_factor = |(key, _): &(&String, &Value)| !KEYS.contains(&key.as_str());
        let factors = table.iter().filter(is_factor);
        let factors: Vec<_> = factors
            .map(|(name, value)| Factor::new(name, value, names))
            .collect::<Result<_, _>>()?;
        if factors.is_empty() {
            return Err(SpecError::NoFactors);
        }
        Ok(Self {
            name: words(table, NAME, NAME_MOST)?
                .filter(|name| !name.trim().is_empty())
                .unwrap_or_else(|| name.to_owned()),
            description: words(table, DESCRIPTION, DESCRIPTION_MOST)?.unwrap_or_default(),
            seconds: table
                .get(SECONDS)
                .map_or(Some(SECONDS_DEFAULT), time)
                .ok_or(SpecError::BadKey {
                    key: SECONDS,
                    expected: "a number above 0 and at most 86400, with up to three decimals",
                })?,
            repetitions: match table.get(REPETITIONS) {
                None => REPETITIONS_DEFAULT,
                Some(value) => value
                    .as_integer()
                    .and_then(|number| u32::try_from(number).ok())
                    .filter(|number| *number > 0)
                    .ok_or(SpecError::BadKey {
                        key: REPETITIONS,
                        expected: "a whole number from 1",
                    })?,
            },
            seed: match table.get(SEED) {
                None => SEED_DEFAULT,
                Some(value) => value
                    .as_integer()
                    .and_then(|number| u64::try_from(number).ok())
                    .ok_or(SpecError::BadKey {
                        key: SEED,
                        expected: "a whole number from 0 to 2^63 - 1",
                    })?,
            },
            timeout: match table.get(TIMEOUT) {
                None => None,
                Some(value) => Some(time(value).ok_or(SpecError::BadKey {
                    key: TIMEOUT,
                    expected: "seconds, above 0 and at most 86400, with up to three decimals",
                })?),
            },
            baseline: match table.get(BASELINE) {
                None => None,
                Some(value) => Some(baseline(value, &factors)?),
            },
            skip: match table.get(SKIP) {
                None => Vec::new(),
                Some(value) => skips(value, &factors)?,
            },
            factors,
        })
    }

    /// Whether a factor has more than one value.
    pub fn varies(factor: &Factor) -> bool {
        factor.values.len() > 1
    }
}

/// A text without control characters, of at most `most` bytes.
fn words(table: &Table, key: &'static str, most: usize) -> Result<Option<String>, SpecError> {
    let Some(value) = table.get(key) else {
        return Ok(None);
    };
    let is_plain = |c: char| !c.is_control() || c == '\n';
    value
        .as_str()
        .filter(|text| text.len() <= most && text.chars().all(is_plain))
        .map(|text| Some(text.trim().to_owned()))
        .ok_or(SpecError::BadKey {
            key,
            expected: "a text of a sensible length",
        })
}

/// Seconds in whole ms, above 0 and at most a day.
fn time(value: &Value) -> Option<Duration> {
    const DAY: f64 = 86_400.0;
    let seconds = match value {
        Value::Integer(seconds) => u32::try_from(*seconds).ok()?.into(),
        Value::Float(seconds) => *seconds,
        _ => return None,
    };
    let ms = seconds * 1000.0;
    let is_whole = (ms - ms.round()).abs() < 1e-6;
    if !is_whole || !(0.0..=DAY).contains(&seconds) {
        return None;
    }
    Some(Duration::from_secs_f64(ms.round() / 1000.0)).filter(|time| !time.is_zero())
}

/// The place of a factor.
fn place(table: &'static str, name: &str, factors: &[Factor]) -> Result<usize, SpecError> {
    let place = factors.iter().position(|factor| factor.name == name);
    place.ok_or_else(|| SpecError::NotAFactor {
        table,
        name: name.to_owned(),
    })
}

fn baseline(value: &Value, factors: &[Factor]) -> Result<Vec<(usize, usize)>, SpecError> {
    let table = value.as_table().filter(|table| !table.is_empty());
    let table = table.ok_or(SpecError::BadKey {
        key: BASELINE,
        expected: "a table of factors with a value each, as in baseline = { lock = \"ticket\" }",
    })?;
    let part = table.iter().map(|(name, value)| {
        let place = place(BASELINE, name, factors)?;
        Ok((place, factors[place].position(BASELINE, value)?))
    });
    part.collect()
}

fn skips(value: &Value, factors: &[Factor]) -> Result<Vec<Part>, SpecError> {
    let bad = SpecError::BadKey {
        key: SKIP,
        expected: "tables of factors with values, each below a line [[skip]]",
    };
    let Some(list) = value.as_array() else {
        return Err(bad);
    };
    let tables: Option<Vec<_>> = list.iter().map(Value::as_table).collect();
    let tables = tables.ok_or(bad)?;
    tables
        .into_iter()
        .map(|table| skip(table, factors))
        .collect()
}

fn skip(table: &Table, factors: &[Factor]) -> Result<Part, SpecError> {
    let part = table.iter().map(|(name, value)| {
        let place = place(SKIP, name, factors)?;
        let factor = &factors[place];
        let places = |list: &[Value]| {
            let places = list.iter().map(|value| factor.position(SKIP, value));
            places.collect::<Result<Vec<_>, _>>()
        };
        let values = match value.as_table() {
            None => places(factor::list(value))?,
            Some(table) => {
                let kept = places(factor::list(except(table)?))?;
                let all = 0..factor.values.len();
                all.filter(|value| !kept.contains(value)).collect()
            }
        };
        Ok((place, values))
    });
    part.collect()
}

/// What `{ except = … }` keeps from being skipped.
fn except(table: &Table) -> Result<&Value, SpecError> {
    let only = table.iter().next().filter(|_| table.len() == 1);
    only.filter(|(key, _)| *key == EXCEPT)
        .map(|(_, value)| value)
        .ok_or(SpecError::BadKey {
            key: SKIP,
            expected: "a value, a list of values, or { except = … } for all others",
        })
}

fn syntax(text: &str, error: &toml::de::Error) -> SpecError {
    let before = error.span().map_or(0, |span| span.start.min(text.len()));
    let line = text.as_bytes()[..before]
        .iter()
        .filter(|byte| **byte == b'\n');
    SpecError::Syntax {
        line: line.count() + 1,
        message: error.message().lines().collect::<Vec<_>>().join("; "),
    }
}

#[cfg(test)]
#[path = "spec_test.rs"]
mod tests;
