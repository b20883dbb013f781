//! Which part of an experiment this process runs, where several share it.

use std::fmt;
use std::str::FromStr;

/// Most shards of one experiment.
const SHARDS_MOST: u32 = 100_000;
/// Tells the number of shards under Kubernetes, which has no variable of its own for it.
pub const COUNT: &str = "VMM_SHARDS";

/// The `number`-th of `count` parts, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    number: u32,
    count: u32,
}

/// Who says which shard this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaidBy {
    /// `--shard`.
    Option,
    /// A Slurm job array.
    Slurm,
    /// An indexed Job of Kubernetes.
    Kubernetes,
    /// Nobody: it is all of it.
    Nobody,
}

/// Variables of a cluster that do not tell which shard this is.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ShardError {
    /// Kubernetes says which, and not of how many.
    #[error(
        "JOB_COMPLETION_INDEX is set, and {COUNT} is not: set it to the Job's `completions`, or give \
         --shard K/N"
    )]
    NoCount,
    /// The numbers of a job array have gaps, or are none.
    #[error("SLURM_ARRAY_TASK_ID and its kin do not count from first to last; give --shard K/N")]
    Irregular,
    /// A variable makes no sense.
    #[error("{variable}={value}: {why}; give --shard K/N")]
    Bad {
        /// The variable.
        variable: &'static str,
        /// Its value.
        value: String,
        /// Why.
        why: &'static str,
    },
}

impl Shard {
    /// All of it.
    pub const WHOLE: Self = Self {
        number: 1,
        count: 1,
    };

    fn new(number: u32, count: u32) -> Option<Self> {
        let counts = (1..=SHARDS_MOST).contains(&count) && (1..=count).contains(&number);
        counts.then_some(Self { number, count })
    }

    /// Of how many parts it is one.
    pub(super) fn count(self) -> u32 {
        self.count
    }

    /// Whether it takes the group of this number.
    pub(super) fn takes(self, group: u64) -> bool {
        group % u64::from(self.count) == u64::from(self.number - 1)
    }

    /// The file of its results.
    pub fn file_name(self) -> String {
        match self {
            Self::WHOLE => "results.jsonl".to_owned(),
            Self { number, count } => format!("results-{number}-of-{count}.jsonl"),
        }
    }

    /// The shard whose results a file of this name holds.
    pub fn of_file_name(name: &str) -> Option<Self> {
        let middle = name.strip_prefix("results")?.strip_suffix(".jsonl")?;
        if middle.is_empty() {
            return Some(Self::WHOLE);
        }
        let (number, count) = middle.strip_prefix('-')?.split_once("-of-")?;
        let shard = Self::new(number.parse().ok()?, count.parse().ok()?)?;
        (shard.file_name() == name).then_some(shard)
    }

    /// Whether `other` is a part of the same whole.
    pub fn fits(self, other: Self) -> bool {
        self.count == other.count
    }

    /// What a cluster says in its `variables`.
    ///
    /// # Errors
    /// It says something, but not which shard.
    pub fn from_cluster(
        variables: impl Fn(&str) -> Option<String>,
    ) -> Result<(Self, SaidBy), ShardError> {
        let number = |variable: &'static str| {
            let Some(value) = variables(variable) else {
                return Ok(None);
            };
            value.parse::<u32>().map(Some).map_err(|_| ShardError::Bad {
                variable,
                value,
                why: "not a number",
            })
        };
        if let Some(id) = number("SLURM_ARRAY_TASK_ID")? {
            let shard = (|| {
                let count = number("SLURM_ARRAY_TASK_COUNT")?;
                let (first, last) = (
                    number("SLURM_ARRAY_TASK_MIN")?,
                    number("SLURM_ARRAY_TASK_MAX")?,
                );
                let step = number("SLURM_ARRAY_TASK_STEP")?;
                let first = first.unwrap_or(1);
                Ok(in_array(id, count, first, last, step.unwrap_or(1)))
            })()?;
            let shard = shard.ok_or(ShardError::Irregular)?;
            return Ok((shard, SaidBy::Slurm));
        }
        if let Some(index) = number("JOB_COMPLETION_INDEX")? {
            let count = number(COUNT)?.ok_or(ShardError::NoCount)?;
            let shard = index.checked_add(1).and_then(|k| Self::new(k, count));
            let shard = shard.ok_or_else(|| ShardError::Bad {
                variable: COUNT,
                value: count.to_string(),
                why: "not more than JOB_COMPLETION_INDEX",
            })?;
            return Ok((shard, SaidBy::Kubernetes));
        }
        Ok((Self::WHOLE, SaidBy::Nobody))
    }
}

/// The task `id` of an array that counts in steps from `first`, with no gap up to `last`.
fn in_array(
    id: u32,
    count: Option<u32>,
    first: u32,
    last: Option<u32>,
    step: u32,
) -> Option<Shard> {
    let count = count?;
    let steps = |to: u32| {
        let way = to.checked_sub(first)?;
        (way.checked_rem(step)? == 0).then_some(way / step)
    };
    if let Some(last) = last
        && steps(last)?.checked_add(1)? != count
    {
        return None;
    }
    Shard::new(steps(id)?.checked_add(1)?, count)
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/').and_then(|(number, count)| {
            let shard = Self::new(number.parse().ok()?, count.parse().ok()?);
            Some(shard)
        });
        match numbers {
            Some(Some(shard)) => Ok(shard),
            Some(None) => Err(format!(
                "the K-th of N counts from 1/N to N/N, N at most {SHARDS_MOST}"
            )),
            None => Err("write it as K/N, as in 2/8".to_owned()),
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.count)
    }
}

#[cfg(test)]
#[path = "shard_test.rs"]
mod tests;
