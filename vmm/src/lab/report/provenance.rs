//! Where the numbers come from, and whether they come from one place.

use std::collections::BTreeMap;

use crate::lab::record::{Provenance, Record};

/// A field of the provenance with every value that the runs have, and how many have it.
pub(super) type Field = (&'static str, BTreeMap<String, usize>);

/// What tells one host or build from another, field by field.
fn fields(provenance: &Provenance) -> [(&'static str, String); 9] {
    let parameters = provenance.kvm_parameters.iter();
    let parameters: Vec<_> = parameters
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    [
        ("host kind", provenance.host_kind.to_string()),
        ("host", provenance.host.clone()),
        ("kernel", provenance.kernel.clone()),
        ("processor", provenance.cpu_model.clone()),
        ("host CPUs", provenance.host_cpus.to_string()),
        ("KVM parameters", parameters.join(" ")),
        ("version", provenance.version.clone()),
        ("revision", provenance.revision.clone()),
        ("profile", provenance.profile.clone()),
    ]
}

/// The fields over `runs`.
pub(super) fn over<'a>(runs: impl Iterator<Item = &'a Record>) -> Vec<Field> {
    let mut all: Vec<Field> = Vec::new();
    for run in runs {
        for (at, (name, value)) in fields(&run.provenance).into_iter().enumerate() {
            if all.len() <= at {
                all.push((name, BTreeMap::new()));
            }
            if let Some((_, values)) = all.get_mut(at) {
                *values.entry(value).or_default() += 1;
            }
        }
    }
    all
}

/// The names of the fields in which runs differ that should not.
pub(super) fn differing(fields: &[Field]) -> Vec<&'static str> {
    fields
        .iter()
        .filter(|(_, values)| values.len() > 1)
        .map(|(name, _)| *name)
        .collect()
}

/// The names of the fields of which something is known.
pub(super) fn known(fields: &[Field]) -> impl Iterator<Item = &'static str> {
    let known = fields
        .iter()
        .filter(|(_, values)| values.keys().any(|value| !value.is_empty()));
    known.map(|(name, _)| *name)
}

/// The values of a field in words.
pub(super) fn values(field: &Field) -> String {
    match field.1.len() {
        1 => field.1.keys().cloned().collect(),
        _ => {
            let counted = field
                .1
                .iter()
                .map(|(value, runs)| format!("{value} ({runs} runs)"));
            counted.collect::<Vec<_>>().join("; ")
        }
    }
}

/// Smallest and largest of what each run measured of its host.
pub(super) fn range<'a>(
    runs: impl Iterator<Item = &'a Record>,
    of: fn(&Provenance) -> f64,
) -> Option<(f64, f64)> {
    runs.map(|run| of(&run.provenance))
        .fold(None, |range, value| match range {
            None => Some((value, value)),
            Some((low, high)) => Some((value.min(low), value.max(high))),
        })
}
