//! A specification as it was carried out, in full: what `spec.toml` holds and the digest stands for.

use std::fmt::Write;
use std::time::Duration;

use toml::{Table, Value};

use super::factor::{Factor, Knob};
use super::spec::Spec;

impl Spec {
    /// The whole of it as TOML. Two specifications that run the same have the same text.
    pub fn to_toml(&self) -> String {
        let mut table = Table::new();
        let mut put = |key: &str, value| table.insert(key.to_owned(), value);
        put("name", self.name.clone().into());
        if !self.description.is_empty() {
            put("description", self.description.clone().into());
        }
        put("seconds", seconds(self.seconds));
        put("repetitions", i64::from(self.repetitions).into());
        // It was read from an i64.
        put("seed", i64::try_from(self.seed).unwrap_or(i64::MAX).into());
        if let Some(timeout) = self.timeout {
            put("timeout", seconds(timeout));
        }
        for factor in &self.factors {
            let every: Vec<_> = (0..factor.values.len()).collect();
            put(&factor.name, values(factor, &every));
        }
        if let Some(baseline) = &self.baseline {
            let pairs = baseline.iter().map(|(place, value)| {
                let factor = &self.factors[*place];
                (factor.name.clone(), values(factor, &[*value]))
            });
            put("baseline", Value::Table(pairs.collect()));
        }
        if !self.skip.is_empty() {
            let tables = self.skip.iter().map(|part| {
                let pairs = part.iter().map(|(place, chosen)| {
                    let factor = &self.factors[*place];
                    (factor.name.clone(), values(factor, chosen))
                });
                Value::Table(pairs.collect())
            });
            put("skip", Value::Array(tables.collect()));
        }
        table.to_string()
    }

    /// The digest of [`Self::to_toml`].
    pub fn digest(&self) -> String {
        Self::digest_of(&self.to_toml())
    }

    /// SHA-256 of `text`, the first half in hexadecimal: long enough that two specifications do not
    /// meet by chance.
    pub fn digest_of(text: &str) -> String {
        let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
        let half = &digest.as_ref()[..16];
        half.iter().fold(String::new(), |mut text, byte| {
            // Writing to a String does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

fn seconds(time: Duration) -> Value {
    let ms = time.as_millis();
    match i64::try_from(ms / 1000) {
        Ok(whole) if ms.is_multiple_of(1000) => Value::Integer(whole),
        _ => Value::Float(time.as_secs_f64()),
    }
}

/// One value as it is, several as a list.
fn values(factor: &Factor, chosen: &[usize]) -> Value {
    let value = |place: &usize| value(factor.knob, &factor.values[*place]);
    match chosen {
        [one] => value(one),
        several => Value::Array(several.iter().map(value).collect()),
    }
}

/// A value as TOML would say it shortest, whether it was given as `2` or as `"2"`.
fn value(knob: Knob, text: &str) -> Value {
    if knob.is_switch() {
        return Value::Boolean(text == "true");
    }
    let whole = text.parse::<i64>().ok().map(Value::Integer);
    let fraction = || {
        let number = text.parse::<f64>().ok()?;
        number.is_finite().then_some(Value::Float(number))
    };
    let is_faithful = |value: &Value| match value {
        Value::Integer(number) => number.to_string() == text,
        Value::Float(number) => number.to_string() == text,
        _ => false,
    };
    whole
        .filter(is_faithful)
        .or_else(|| fraction().filter(is_faithful))
        .unwrap_or_else(|| text.into())
}
