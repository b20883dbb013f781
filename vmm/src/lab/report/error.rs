//! Why no report can be made, in a line each.

use std::io;
use std::path::PathBuf;

use crate::lab::record::SCHEMA;

/// Why no report can be made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// Nothing of an experiment is there.
    #[error(
        "{}: no results.jsonl and no results-K-of-N.jsonl; name a folder that `vmm experiment -o` \
         has written", .0.display()
    )]
    NoResults(PathBuf),
    /// A file or folder cannot be read.
    #[error("{}: cannot be read", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The specification is none.
    #[error("{}: is no specification: {why}", path.display())]
    Spec {
        /// The file.
        path: PathBuf,
        /// The parser's word, in a line.
        why: String,
    },
    /// The files are there and no run has ended.
    #[error("{}: no run has finished yet; let `vmm experiment` go on", .0.display())]
    NoRuns(PathBuf),
    /// A line that is no record, and not the last one.
    #[error("{}: line {line} is no result: {why}; remove it, and its run is made again", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// A line of another program version.
    #[error("{}: line {line} has the schema `{schema}`; this vmm reads `{SCHEMA}`", path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What it says.
        schema: String,
    },
    /// A specification that the results beside it are not of.
    #[error(
        "{}: is not the specification of {}: its digest is {digest}, and the results are of \
         {other}; put back the one that `vmm experiment` wrote",
        spec.display(), path.display()
    )]
    Foreign {
        /// The specification.
        spec: PathBuf,
        /// Its digest.
        digest: String,
        /// The results.
        path: PathBuf,
        /// The digest of theirs.
        other: String,
    },
    /// Results of two specifications.
    #[error(
        "{} has results of another specification than {} ({other}, not {one}); make a report of \
         each, or compare two with --compare",
        other_path.display(), one_path.display()
    )]
    MixedSpecs {
        /// A file or folder.
        one_path: PathBuf,
        /// Its specification's digest.
        one: String,
        /// Another.
        other_path: PathBuf,
        /// Its specification's digest.
        other: String,
    },
    /// A run that has two results.
    #[error(
        "run {run} has different results in {} and {}; these are repeated experiments and no parts \
         of one: compare them with --compare",
        one.display(), other.display()
    )]
    TwoResults {
        /// The run.
        run: u64,
        /// A file.
        one: PathBuf,
        /// Another.
        other: PathBuf,
    },
    /// Two experiments that did not do the same.
    #[error("{} and {} do not compare: {why}", one.display(), other.display())]
    NotComparable {
        /// A folder.
        one: PathBuf,
        /// Another.
        other: PathBuf,
        /// What differs.
        why: String,
    },
    /// A plot that cannot be drawn.
    #[error("a plot cannot be drawn: {0}")]
    Plot(String),
}
