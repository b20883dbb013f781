use super::*;

fn from(variables: &[(&str, &str)]) -> Result<(String, SaidBy), ShardError> {
    let find = |name: &str| {
        let found = variables.iter().find(|(variable, _)| *variable == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    Shard::from_cluster(find).map(|(shard, by)| (shard.to_string(), by))
}

fn slurm(id: &str, count: &str, min: &str, max: &str, step: &str) -> Result<String, ShardError> {
    let variables = [
        ("SLURM_ARRAY_TASK_ID", id),
        ("SLURM_ARRAY_TASK_COUNT", count),
        ("SLURM_ARRAY_TASK_MIN", min),
        ("SLURM_ARRAY_TASK_MAX", max),
        ("SLURM_ARRAY_TASK_STEP", step),
    ];
    let (shard, by) = from(&variables)?;
    assert_eq!(by, SaidBy::Slurm);
    Ok(shard)
}

#[test]
fn shards_count_from_one() {
    for good in ["1/1", "1/8", "8/8", "100000/100000"] {
        let shard: Shard = good.parse().unwrap();
        assert_eq!(shard.to_string(), good);
    }
    for bad in [
        "", "1", "0/3", "4/3", "1/0", "-1/3", "a/b", "1/2/3", "1/100001",
    ] {
        assert!(bad.parse::<Shard>().is_err(), "{bad}");
    }
}

#[test]
fn a_file_name_tells_its_shard() {
    for shard in ["1/1", "2/3", "10/12"] {
        let shard: Shard = shard.parse().unwrap();
        assert_eq!(Shard::of_file_name(&shard.file_name()), Some(shard));
    }
    assert_eq!(Shard::WHOLE.file_name(), "results.jsonl");
    for other in [
        "spec.toml",
        "results-4-of-3.jsonl",
        "results-1-of-1.jsonl",
        "results-02-of-3.jsonl",
        "results.jsonl.old",
    ] {
        assert_eq!(Shard::of_file_name(other), None, "{other}");
    }
}

#[test]
fn a_job_array_is_counted_from_its_first_task_in_its_steps() {
    assert_eq!(slurm("1", "4", "1", "4", "1").unwrap(), "1/4");
    assert_eq!(slurm("0", "4", "0", "3", "1").unwrap(), "1/4");
    assert_eq!(slurm("30", "3", "10", "30", "10").unwrap(), "3/3");
    for (id, count, min, max, step) in [
        // 1,3,7
        ("3", "3", "1", "7", "1"),
        ("15", "3", "10", "30", "10"),
        ("0", "4", "1", "4", "1"),
        ("1", "4", "1", "4", "0"),
        ("1", "0", "1", "0", "1"),
    ] {
        let error = slurm(id, count, min, max, step).unwrap_err();
        assert_eq!(
            error,
            ShardError::Irregular,
            "{id} {count} {min} {max} {step}"
        );
    }
    let error = slurm("one", "4", "1", "4", "1").unwrap_err().to_string();
    assert!(error.contains("SLURM_ARRAY_TASK_ID=one"), "{error}");
}

#[test]
fn an_indexed_job_needs_to_say_of_how_many() {
    let job = |count: &str| from(&[("JOB_COMPLETION_INDEX", "2"), (COUNT, count)]);
    assert_eq!(job("3"), Ok(("3/3".to_owned(), SaidBy::Kubernetes)));
    assert!(matches!(
        job("2"),
        Err(ShardError::Bad {
            variable: COUNT,
            ..
        })
    ));
    let alone = from(&[("JOB_COMPLETION_INDEX", "2")]);
    assert_eq!(alone, Err(ShardError::NoCount));
}

#[test]
fn without_a_cluster_it_is_all() {
    assert_eq!(from(&[]), Ok(("1/1".to_owned(), SaidBy::Nobody)));
    // The count alone says nothing.
    assert_eq!(
        from(&[(COUNT, "4")]),
        Ok(("1/1".to_owned(), SaidBy::Nobody))
    );
}
