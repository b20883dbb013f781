//! What can be wrong with a specification: a line each.

/// More runs than this are a mistake.
pub(super) const RUNS_MOST: u128 = 100_000;

/// A specification that cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// It is no TOML.
    #[error("line {line}: {message}")]
    Syntax {
        /// Where, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// No option, argument or key is called so.
    #[error("`{name}`: no option of `vmm run` and no guest argument{}", meant(nearest.as_deref()))]
    Unknown {
        /// What the specification says.
        name: String,
        /// What it probably means.
        nearest: Option<String>,
    },
    /// An option or argument that cannot be a factor.
    #[error("`{name}` cannot be a factor: {why}")]
    Kept {
        /// Its name.
        name: String,
        /// Why.
        why: &'static str,
    },
    /// A key of the specification with a value that it cannot have.
    #[error("`{key}`: {expected}")]
    BadKey {
        /// The key.
        key: &'static str,
        /// What it can have.
        expected: &'static str,
    },
    /// A factor's value that cannot be one.
    #[error("`{name} = {value}`: {why}")]
    BadValue {
        /// The factor.
        name: String,
        /// The value, as TOML has it.
        value: String,
        /// Why.
        why: &'static str,
    },
    /// A factor with an empty list.
    #[error("`{0}` has no values, which leaves nothing to run; give it some or leave it out")]
    NoValues(String),
    /// `every` of a factor whose values cannot be counted.
    #[error("`{0} = \"every\"`: its values cannot be counted; list those that are meant")]
    Uncountable(String),
    /// A value that comes twice.
    #[error("`{name}`: `{value}` comes twice; `repetitions` repeats runs")]
    Twice {
        /// The factor.
        name: String,
        /// The value.
        value: String,
    },
    /// There is no factor.
    #[error("no factors: name at least one, as in lock = [\"ticket\", \"pv-ticket-head\"]")]
    NoFactors,
    /// More runs than anybody waits for.
    #[error("{runs} runs; at most {RUNS_MOST} are taken: leave out values or repetitions")]
    TooMany {
        /// How many, or at least how many.
        runs: u128,
    },
    /// `[[skip]]` matches every combination.
    #[error("`skip` leaves out every combination, which leaves nothing to run")]
    AllSkipped,
    /// A table of factors names one that the specification has not.
    #[error("`{table}`: `{name}` is no factor of this specification")]
    NotAFactor {
        /// The table.
        table: &'static str,
        /// The name.
        name: String,
    },
    /// A table of factors has a value that the factor has not.
    #[error("`{table}`: `{value}` is none of the values of `{name}`")]
    NotAmongValues {
        /// The table.
        table: &'static str,
        /// The factor.
        name: String,
        /// The value.
        value: String,
    },
    /// A cell has nothing to compare with.
    #[error(
        "`baseline`: {cell} has none to compare with, because `skip` leaves it out; skip both or \
         neither"
    )]
    NoBaseline {
        /// The cell.
        cell: String,
    },
    /// `vmm run` would not take it.
    #[error("{cell}: {why}")]
    Refused {
        /// The cell.
        cell: String,
        /// What it would say.
        why: String,
    },
}

fn meant(nearest: Option<&str>) -> String {
    nearest.map_or_else(
        || "; `vmm run --help` lists the options".to_owned(),
        |nearest| format!("; did you mean `{nearest}`?"),
    )
}
