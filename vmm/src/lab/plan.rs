//! In which order the runs of an experiment come, and which of them a shard takes.

use std::collections::HashMap;

use super::cells::Cells;
use super::shard::Shard;
use crate::random::Random;

/// One run to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Its place in the order of all shards, from 0.
    pub number: u64,
    /// Which repetition, from 0.
    pub repetition: u32,
    /// Which combination of factors.
    pub cell: usize,
    /// Its seed: the same for all cells of a repetition, which makes them pairs.
    pub seed: u64,
    /// Runs of a repetition with the same number are compared with each other: a cell and its
    /// baseline. Counted through all repetitions.
    group: u64,
}

/// The order of an experiment's runs: one repetition of all cells after the other, so that whatever
/// drifts meanwhile touches all cells alike. In each the groups of cells with one baseline are
/// shuffled, and then the cells of a group, so that those that are compared stand near each other.
#[derive(Clone, Debug)]
pub struct Plan {
    runs: Vec<Run>,
    repetitions: u32,
}

impl Plan {
    /// The runs of `cells`.
    pub fn of(cells: &Cells) -> Self {
        let spec = cells.spec();
        Self::new(cells.baselines(), spec.repetitions, spec.seed)
    }

    /// `baselines` has for each cell the one it is compared with.
    fn new(baselines: &[usize], repetitions: u32, seed: u64) -> Self {
        let mut seeds = Random::new(seed);
        let mut runs: Vec<Run> = Vec::new();
        let groups = groups(baselines);
        let mut group = 0;
        for repetition in 0..repetitions {
            // 53 bits: every reader of JSON keeps them.
            let seed = seeds.next() >> 11;
            let mut random = Random::new(seeds.next());
            // Groups are dealt out in the order in which they come up, which is drawn as well: no
            // shard, and so no host, always has the same cells.
            for cells in shuffled(&groups, &mut random) {
                for cell in shuffled(&cells, &mut random) {
                    runs.push(Run {
                        number: u64::try_from(runs.len()).unwrap_or(u64::MAX),
                        repetition,
                        cell,
                        seed,
                        group,
                    });
                }
                group += 1;
            }
        }
        Self { runs, repetitions }
    }

    /// All runs in their order.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Those of `shard`, in their order. A repetition is on one shard, so that no two of its runs
    /// compare two hosts. Where there are fewer repetitions than shards, at least a cell and its
    /// baseline are on one shard in each repetition.
    pub fn of_shard(&self, shard: Shard) -> Vec<Run> {
        let is_whole = self.has_whole_repetitions(shard);
        let takes = |run: &&Run| {
            shard.takes(match is_whole {
                true => run.repetition.into(),
                false => run.group,
            })
        };
        self.runs.iter().filter(takes).copied().collect()
    }

    /// Whether each of `shard` and its kin has all cells of its repetitions. Where they have not,
    /// only a cell and its baseline are sure to have run on one host.
    pub fn has_whole_repetitions(&self, shard: Shard) -> bool {
        shard.count() <= self.repetitions
    }
}

/// The cells of each baseline, in the order of the first of them.
fn groups(baselines: &[usize]) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut places = HashMap::new();
    for (cell, baseline) in baselines.iter().enumerate() {
        let place = *places.entry(baseline).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(group) => group.push(cell),
            None => groups.push(vec![cell]),
        }
    }
    groups
}

/// `all`, shuffled as Fisher and Yates do.
fn shuffled<T: Clone>(all: &[T], random: &mut Random) -> Vec<T> {
    let mut order = all.to_vec();
    for last in (1..order.len()).rev() {
        let limit = u64::try_from(last).unwrap_or(u64::MAX).saturating_add(1);
        let other = usize::try_from(random.below(limit)).unwrap_or(0);
        order.swap(last, other);
    }
    order
}

#[cfg(test)]
#[path = "plan_test.rs"]
mod tests;
