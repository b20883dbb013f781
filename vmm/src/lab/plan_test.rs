use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// For each of up to 40 cells one before it, or itself, whose baseline it is.
fn baselines() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(any::<prop::sample::Index>(), 1..40).prop_map(|drawn| {
        let mut baselines: Vec<usize> = Vec::new();
        for (cell, index) in drawn.iter().enumerate() {
            let other = index.index(cell + 1);
            let baseline = baselines.get(other).copied().unwrap_or(cell);
            baselines.push(baseline);
        }
        baselines
    })
}

fn shards(count: u32) -> impl Iterator<Item = Shard> {
    (1..=count).map(move |number| format!("{number}/{count}").parse().unwrap())
}

proptest! {
    #[test]
    fn every_cell_runs_once_in_each_repetition_and_repetitions_come_in_turn(
        baselines in baselines(), repetitions in 1..6u32, seed: u64,
    ) {
        let plan = Plan::new(&baselines, repetitions, seed);
        let cells = baselines.len();
        prop_assert_eq!(plan.runs().len(), cells * repetitions as usize);
        for (number, run) in plan.runs().iter().enumerate() {
            prop_assert_eq!(run.number, number as u64);
            prop_assert_eq!(run.repetition as usize, number / cells);
        }
        for turn in plan.runs().chunks(cells) {
            let met: BTreeSet<_> = turn.iter().map(|run| run.cell).collect();
            prop_assert_eq!(met.len(), cells);
            prop_assert!(turn.iter().all(|run| run.seed == turn[0].seed));
        }
    }

    #[test]
    fn shards_share_all_runs_and_none_twice(
        baselines in baselines(), repetitions in 1..6u32, seed: u64, count in 1..9u32,
    ) {
        let plan = Plan::new(&baselines, repetitions, seed);
        let mut all: Vec<_> = shards(count).flat_map(|shard| plan.of_shard(shard)).collect();
        all.sort_by_key(|run| run.number);
        prop_assert_eq!(all, plan.runs());
    }

    #[test]
    fn a_cell_and_its_baseline_are_on_one_shard_in_each_repetition(
        baselines in baselines(), repetitions in 1..6u32, seed: u64, count in 1..9u32,
    ) {
        let plan = Plan::new(&baselines, repetitions, seed);
        for shard in shards(count) {
            let runs = plan.of_shard(shard);
            let here: BTreeSet<_> = runs.iter().map(|run| (run.repetition, run.cell)).collect();
            for run in &runs {
                prop_assert!(here.contains(&(run.repetition, baselines[run.cell])));
            }
        }
    }

    #[test]
    fn a_repetition_is_on_one_shard_where_there_are_enough(
        baselines in baselines(), repetitions in 1..9u32, seed: u64, count in 1..9u32,
    ) {
        let plan = Plan::new(&baselines, repetitions, seed);
        for shard in shards(count).filter(|shard| plan.has_whole_repetitions(*shard)) {
            let mut cells = BTreeMap::new();
            for run in plan.of_shard(shard) {
                *cells.entry(run.repetition).or_insert(0) += 1;
            }
            prop_assert!(!cells.is_empty());
            prop_assert!(cells.values().all(|cells| *cells == baselines.len()));
        }
        prop_assert_eq!(plan.has_whole_repetitions(shards(count).next().unwrap()), count <= repetitions);
    }

    #[test]
    fn cells_that_are_compared_stand_together(
        baselines in baselines(), repetitions in 1..6u32, seed: u64,
    ) {
        let plan = Plan::new(&baselines, repetitions, seed);
        for turn in plan.runs().chunks(baselines.len()) {
            let mut order: Vec<_> = turn.iter().map(|run| baselines[run.cell]).collect();
            order.dedup();
            let groups: BTreeSet<_> = order.iter().copied().collect();
            prop_assert_eq!(order.len(), groups.len());
        }
    }

    #[test]
    fn no_shard_has_more_than_a_unit_beyond_its_share(
        cells in 1..40usize, repetitions in 1..6u32, seed: u64, count in 1..9u32,
    ) {
        let alone: Vec<_> = (0..cells).collect();
        let plan = Plan::new(&alone, repetitions, seed);
        let sizes: Vec<_> = shards(count).map(|shard| plan.of_shard(shard).len()).collect();
        let (least, most) = (sizes.iter().min().unwrap(), sizes.iter().max().unwrap());
        let unit = if count <= repetitions { cells } else { 1 };
        prop_assert!(most - least <= unit);
    }
}

#[test]
fn a_seed_gives_an_order_and_another_seed_another() {
    let alone: Vec<_> = (0..20).collect();
    let order = |seed| {
        let plan = Plan::new(&alone, 3, seed);
        plan.runs().iter().map(|run| run.cell).collect::<Vec<_>>()
    };
    assert_eq!(order(1), order(1));
    assert_ne!(order(1), order(2));
    // Nor is one repetition like the other.
    assert_ne!(order(1)[..20], order(1)[20..40]);
}

#[test]
fn repetitions_have_seeds_of_their_own_that_every_reader_of_json_keeps() {
    let plan = Plan::new(&[0, 1], 50, 1);
    let mut seeds = BTreeMap::new();
    for run in plan.runs() {
        assert!(run.seed < 1 << 53);
        seeds.insert(run.seed, run.repetition);
    }
    assert_eq!(seeds.len(), 50);
}

#[test]
fn no_shard_always_has_the_same_cells_even_where_it_has_no_whole_repetition() {
    let alone: Vec<_> = (0..80).collect();
    let plan = Plan::new(&alone, 7, 1);
    for shard in shards(8) {
        let runs = plan.of_shard(shard);
        let cells: BTreeSet<_> = runs.iter().map(|run| run.cell).collect();
        assert_eq!(runs.len(), 70);
        assert!(cells.len() > 30, "{}", cells.len());
    }
}

#[test]
fn the_cells_of_a_group_are_shuffled_too() {
    // Two groups of ten.
    let baselines: Vec<_> = (0..20).map(|cell| cell / 10 * 10).collect();
    let plan = Plan::new(&baselines, 2, 1);
    let orders: BTreeSet<Vec<_>> = plan
        .runs()
        .chunks(10)
        .map(|group| group.iter().map(|run| run.cell % 10).collect())
        .collect();
    assert_eq!(orders.len(), 4);
}
