//! The command line.

use std::path::PathBuf;

use crate::compare::{self, Sides};

const USAGE: &str = "usage: bench [--only NAME] [--quick] [--json FILE] [--compare OLD NEW]
NAME: start, memory, many, kick, throughput, fast-path, snapshot, restore, migrate, pause, linux, sched
VMM=PATH names the binary to measure; by default the vmm beside this one
OLD, NEW: two builds of vmm, or two files that --json has written";

/// What is asked for.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Options {
    /// Names of measurements; all, where there is none.
    pub(crate) only: Vec<String>,
    /// Fewer and shorter runs.
    pub(crate) quick: bool,
    /// The file to write.
    pub(crate) json: Option<PathBuf>,
    /// Two of a kind rather than one build.
    pub(crate) compare: Option<Compared>,
}

/// What `--compare` compares.
#[derive(Debug, PartialEq)]
pub(crate) enum Compared {
    /// Programs, which are run.
    Builds(Sides),
    /// Files of two earlier runs.
    Files(Sides),
}

impl Options {
    /// From the words behind the program's name; `measurements` are the names it knows.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(crate) fn parse(
        mut words: impl Iterator<Item = String>,
        measurements: &[&str],
    ) -> Result<Self, String> {
        let mut options = Self::default();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--only" => options.only.push(words.next().ok_or(USAGE)?),
                "--quick" => options.quick = true,
                "--json" => options.json = Some(words.next().ok_or(USAGE)?.into()),
                "--compare" => {
                    let old = words.next().ok_or(USAGE)?.into();
                    let new = words.next().ok_or(USAGE)?.into();
                    options.compare = Some(Compared::of(Sides { old, new })?);
                }
                _ => return Err(USAGE.to_owned()),
            }
        }
        if matches!(options.compare, Some(Compared::Files(_)))
            && (options.quick || !options.only.is_empty())
        {
            return Err(
                "bench: --only and --quick are for what is measured; two files are compared whole"
                    .to_owned(),
            );
        }
        let known = |name: &String| match options.compare {
            Some(_) => compare::knows(name),
            None => measurements.contains(&name.as_str()),
        };
        if options.only.iter().all(known) {
            Ok(options)
        } else {
            Err(USAGE.to_owned())
        }
    }
}

impl Compared {
    fn of(sides: Sides) -> Result<Self, String> {
        let [old, new] =
            [&sides.old, &sides.new].map(|path| path.extension().is_some_and(|end| end == "json"));
        match (old, new) {
            (false, false) => Ok(Self::Builds(sides)),
            (true, true) => Ok(Self::Files(sides)),
            _ => Err(format!(
                "bench: --compare: of {} and {} one is a program and one a file of `make bench`; give two of a kind",
                sides.old.display(),
                sides.new.display()
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        let words = line.split_whitespace().map(str::to_owned);
        Options::parse(words, &["start", "many"])
    }

    #[test]
    fn a_program_and_a_file_are_not_compared() {
        for line in ["--compare a.json vmm", "--compare vmm b.json"] {
            let refused = parse(line).unwrap_err();
            assert!(refused.contains("give two of a kind"), "{refused}");
        }
        let files = parse("--compare a.json b.json").unwrap().compare;
        assert!(matches!(files, Some(Compared::Files(_))), "{files:?}");
        let builds = parse("--compare old new").unwrap().compare;
        assert!(matches!(builds, Some(Compared::Builds(_))), "{builds:?}");
    }

    #[test]
    fn two_files_are_compared_whole_and_may_be_written_down() {
        let options = parse("--compare a.json b.json --json c.json").unwrap();
        assert_eq!(options.json, Some("c.json".into()));
        for word in ["--quick", "--only start"] {
            let refused = parse(&format!("--compare a.json b.json {word}")).unwrap_err();
            assert!(refused.contains("compared whole"), "{refused}");
        }
    }

    #[test]
    fn a_name_that_nothing_has_is_refused() {
        assert_eq!(parse("--only many").unwrap().only, ["many"]);
        // A probe of two builds is none of the measurements of one, and the other way round.
        assert!(parse("--only nothing").is_err());
        assert!(parse("--compare a b --only many").is_err());
        assert!(parse("--only").is_err());
    }
}
