//! The words of a specification.

/// Keys of a specification that are no factors.
pub const KEYS: [&str; 8] = [
    NAME,
    DESCRIPTION,
    SECONDS,
    REPETITIONS,
    SEED,
    TIMEOUT,
    BASELINE,
    SKIP,
];
pub(super) const NAME: &str = "name";
pub(super) const DESCRIPTION: &str = "description";
pub(super) const SECONDS: &str = "seconds";
pub(super) const REPETITIONS: &str = "repetitions";
pub(super) const SEED: &str = "seed";
pub(super) const TIMEOUT: &str = "timeout";
pub(super) const BASELINE: &str = "baseline";
pub(super) const SKIP: &str = "skip";
/// In a table below `[[skip]]`, of a factor: all its values but these.
pub(super) const EXCEPT: &str = "except";
