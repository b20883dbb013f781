//! What an experiment can turn: the options of `vmm run` and the payload's arguments, by name.

use std::collections::BTreeMap;

use clap::{ArgAction, Command};
use guest_payload::args::{self, Args};
use guest_payload::lock::LockKind;
use toml::Value;

use super::spec_error::SpecError;

/// A value that leaves its option or argument out of the command line.
pub const LEFT_OUT: &str = "default";

/// A value that stands for all that there are, as in `lock = "every"`.
pub const EVERY: &str = "every";

/// Where and how a factor's value is written on the command line of `vmm run`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Knob {
    /// An option of `vmm run` with a value.
    Option,
    /// One without.
    Flag,
    /// An argument of the payload with a value.
    Argument,
    /// One without.
    Word,
}

impl Knob {
    /// Whether it is on or off and nothing else.
    pub fn is_switch(self) -> bool {
        matches!(self, Self::Flag | Self::Word)
    }

    /// Whether it stands among the payload's arguments.
    pub fn is_guests(self) -> bool {
        matches!(self, Self::Argument | Self::Word)
    }

    /// The word that gives `name` this value; `None` where none does.
    pub fn word(self, name: &str, value: &str) -> Option<String> {
        if value == LEFT_OUT {
            return None;
        }
        match self {
            Self::Option => Some(format!("--{name}={value}")),
            Self::Argument => Some(format!("{name}={value}")),
            Self::Flag | Self::Word if value != "true" => None,
            Self::Flag => Some(format!("--{name}")),
            Self::Word => Some(name.to_owned()),
        }
    }
}

/// Names that mean something else in a specification, or nothing, and why.
const KEPT: [(&str, &str); 15] = [
    ("api", "an experiment drives its machines itself"),
    ("cases", "an experiment runs mode=stress"),
    ("cmdline", "an experiment runs the bundled payload"),
    ("gdb", "an experiment drives its machines itself"),
    ("guest", "an experiment runs the bundled payload"),
    ("help", "it asks for help"),
    ("initrd", "an experiment runs the bundled payload"),
    ("json", "an experiment reads the reports itself"),
    ("kick-site", "an experiment runs the bundled payload"),
    ("mode", "an experiment runs mode=stress"),
    ("seconds", RESERVED),
    ("seed", RESERVED),
    ("serial", "an experiment reads the reports itself"),
    ("timeout", RESERVED),
    ("trace", "tracing would be measured too"),
];
const RESERVED: &str = "it has one value for all runs";

/// Every name that can be a factor.
#[derive(Clone, Debug)]
pub struct Names(BTreeMap<String, Name>);

/// What a name stands for.
#[derive(Clone, Debug)]
struct Name {
    knob: Knob,
    /// All values that there are, where they can be counted.
    every: Vec<String>,
}

impl Names {
    /// The options of `run`, the definition of `vmm run`, and the payload's arguments.
    pub fn of(run: &Command) -> Self {
        let options = run.get_arguments().filter_map(|option| {
            let knob = match option.get_action() {
                ArgAction::Set | ArgAction::Append => Knob::Option,
                _ => Knob::Flag,
            };
            let values = option.get_possible_values();
            let values = values.iter().map(|value| value.get_name().to_owned());
            let every = match knob {
                Knob::Option => values.collect(),
                _ => Vec::new(),
            };
            Some((option.get_long()?.to_owned(), Name { knob, every }))
        });
        let mut names: BTreeMap<_, _> = options.chain(arguments()).collect();
        names.retain(|name, _| KEPT.iter().all(|(kept, _)| kept != name));
        Self(names)
    }

    /// What `name` turns.
    ///
    /// # Errors
    /// It is no name, or none of a factor.
    pub fn knob(&self, name: &str) -> Result<Knob, SpecError> {
        self.find(name).map(|name| name.knob)
    }

    fn find(&self, name: &str) -> Result<&Name, SpecError> {
        if let Some(found) = self.0.get(name) {
            return Ok(found);
        }
        let name = name.to_owned();
        match KEPT.iter().find(|(kept, _)| *kept == name) {
            Some((_, why)) => Err(SpecError::Kept { name, why }),
            None => Err(SpecError::Unknown {
                nearest: self.nearest(&name),
                name,
            }),
        }
    }

    /// The name that `name` was most likely meant to be.
    fn nearest(&self, name: &str) -> Option<String> {
        const LIKE_ENOUGH: f64 = 0.7;
        let reserved = super::keys::KEYS.into_iter();
        let known = self.0.keys().map(String::as_str).chain(reserved);
        let by_likeness = known.map(|known| (strsim::jaro_winkler(name, known), known));
        let (likeness, nearest) = by_likeness.max_by(|one, other| one.0.total_cmp(&other.0))?;
        (likeness > LIKE_ENOUGH).then(|| nearest.to_owned())
    }
}

/// The payload's arguments: those that are whole without a value are words.
fn arguments() -> impl Iterator<Item = (String, Name)> {
    let list = args::KEYS.trim_start_matches("one of ");
    list.split(',').map(|name| {
        let name = name.trim();
        let knob = match Args::parse(name, |_| false) {
            Ok(_) => Knob::Word,
            Err(_) => Knob::Argument,
        };
        let locks = LockKind::ALL.iter().map(|kind| kind.name().to_owned());
        let every = match name {
            "lock" => locks.collect(),
            _ => Vec::new(),
        };
        (name.to_owned(), Name { knob, every })
    })
}

/// One factor with the values it takes in turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Factor {
    /// Its name.
    pub name: String,
    /// What it turns.
    pub knob: Knob,
    /// Its values as the command line has them; `true` and `false` for a switch.
    pub values: Vec<String>,
}

impl Factor {
    /// The factor `name` with a value or a list of them.
    ///
    /// # Errors
    /// No name of a factor, no value, a value twice, or one that cannot be a value.
    pub fn new(name: &str, given: &Value, names: &Names) -> Result<Self, SpecError> {
        let Name { knob, every } = names.find(name)?;
        let knob = *knob;
        if given.as_str() == Some(EVERY) {
            return Self::with_every(name, knob, every);
        }
        let list = list(given);
        if list.is_empty() {
            return Err(SpecError::NoValues(name.to_owned()));
        }
        let mut values = Vec::with_capacity(list.len());
        for value in list {
            let value = text(name, knob, value)?;
            if values.contains(&value) {
                let name = name.to_owned();
                return Err(SpecError::Twice { name, value });
            }
            values.push(value);
        }
        Ok(Self {
            name: name.to_owned(),
            knob,
            values,
        })
    }

    fn with_every(name: &str, knob: Knob, every: &[String]) -> Result<Self, SpecError> {
        let name = name.to_owned();
        let values = match every {
            _ if knob.is_switch() => ["false", "true"].map(String::from).into(),
            [] => return Err(SpecError::Uncountable(name)),
            every => every.to_vec(),
        };
        Ok(Self { name, knob, values })
    }

    /// The place of `value` among the values.
    ///
    /// # Errors
    /// It is none of them. `table` says where it stands.
    pub fn position(&self, table: &'static str, value: &Value) -> Result<usize, SpecError> {
        let value = text(&self.name, self.knob, value)?;
        let place = self.values.iter().position(|other| *other == value);
        place.ok_or_else(|| SpecError::NotAmongValues {
            table,
            name: self.name.clone(),
            value,
        })
    }
}

/// The elements of a list, or the one value that is none.
pub(super) fn list(given: &Value) -> &[Value] {
    let one = std::slice::from_ref(given);
    given.as_array().map_or(one, Vec::as_slice)
}

/// `value` in an error: one line that is not too long.
fn shown(value: &Value) -> String {
    const MOST: usize = 60;
    let text = match value {
        Value::String(text) => format!("{text:?}"),
        other => other.to_string(),
    };
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// `value` as the command line has it.
fn text(name: &str, knob: Knob, value: &Value) -> Result<String, SpecError> {
    let bad = |why| SpecError::BadValue {
        name: name.to_owned(),
        value: shown(value),
        why,
    };
    let text = match value {
        Value::Boolean(on) if knob.is_switch() => return Ok(on.to_string()),
        _ if knob.is_switch() => return Err(bad("it is a switch: true or false")),
        Value::Boolean(true) => "on".to_owned(),
        Value::Boolean(false) => "off".to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) if number.is_finite() => number.to_string(),
        Value::String(text) => text.clone(),
        _ => return Err(bad("values are numbers, strings and booleans")),
    };
    if text.is_empty() {
        return Err(bad("to leave it out, write \"default\""));
    }
    let splits = |c: char| c.is_control() || (knob.is_guests() && c.is_whitespace());
    if text.contains(splits) {
        return Err(bad("it would not be one word of the command line"));
    }
    Ok(text)
}

#[cfg(test)]
#[path = "factor_test.rs"]
mod tests;
