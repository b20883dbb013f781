//! `vmm experiment`.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args as ClapArgs, Parser};

use super::command::Command;
use super::{Cli, Exit, Failure, described_run, usage};
use crate::error_chain::in_one_line;
use crate::host;
use crate::lab::SpecError;
use crate::lab::builtin;
use crate::lab::cells::Cells;
use crate::lab::experiment::{End, Error, Experiment, Progress};
use crate::lab::factor::Names;
use crate::lab::provenance;
use crate::lab::shard::{SaidBy, Shard};
use crate::lab::spec::{Overrides, Spec};
use crate::os::signal;
use crate::report::{output, progress, units};

/// Most bytes of a specification.
const SPEC_MOST: u64 = 1 << 20;
/// How often a line says how far it is, where there is no terminal.
const TELL: Duration = Duration::from_secs(10);

/// Arguments of `vmm experiment`.
#[derive(Debug, ClapArgs)]
pub struct ExperimentArgs {
    /// An experiment that comes with the program (see --list), or a file with a specification
    #[arg(value_name = "NAME|SPEC.toml", required_unless_present = "list")]
    what: Option<String>,

    /// Folder of the results; an experiment that was left there goes on
    #[arg(short, long, value_name = "DIR", required_unless_present_any = ["list", "print"])]
    output: Option<PathBuf>,

    /// List the experiments that come with the program
    #[arg(long, exclusive = true)]
    list: bool,

    /// Print the specification in full and run nothing
    #[arg(long, conflicts_with_all = ["output", "shard"])]
    print: bool,

    /// Run the K-th of N parts [default: what a Slurm job array or an indexed Job says, else all]
    #[arg(long, value_name = "K/N")]
    shard: Option<Shard>,

    /// Seconds that each run counts, instead of the specification's
    #[arg(long, value_name = "S")]
    seconds: Option<f64>,

    /// How often each combination runs, instead of the specification's
    #[arg(long, value_name = "N")]
    repetitions: Option<u32>,

    /// Values of a factor, instead of the specification's; with commas inside, as a TOML list
    #[arg(long, value_name = "FACTOR=VALUES", value_parser = setting)]
    set: Vec<(String, toml::Value)>,
}

/// `FACTOR=VALUE,VALUE` or `FACTOR=["VALUE", "VALUE"]`.
fn setting(text: &str) -> Result<(String, toml::Value), String> {
    let (name, values) = text
        .split_once('=')
        .ok_or("write it as FACTOR=VALUE or FACTOR=VALUE,VALUE")?;
    let value = if values.starts_with('[') {
        let table: toml::Table = format!("list = {values}")
            .parse()
            .map_err(|_| "not a TOML list, as in kick-fault=[\"drop=0.1,dup=0.1\", \"drop=0\"]")?;
        table.get("list").cloned().unwrap_or_else(|| "".into())
    } else if values.contains(',') {
        values.split(',').map(plain).collect::<Vec<_>>().into()
    } else {
        plain(values)
    };
    Ok((name.to_owned(), value))
}

/// A value without quotes.
fn plain(text: &str) -> toml::Value {
    match text {
        "true" => true.into(),
        "false" => false.into(),
        _ => text.into(),
    }
}

/// A specification's mistake, with where it stands.
fn mistake(source: &str, error: &SpecError) -> Failure {
    Failure::usage(anyhow::anyhow!("{source}: {error}"))
}

impl ExperimentArgs {
    /// The name and the text of what is asked for.
    fn source(&self) -> Result<(String, String), Failure> {
        let what = self.what.as_deref().unwrap_or_default();
        if let Some(builtin) = builtin::find(what) {
            return Ok((what.to_owned(), builtin.text.to_owned()));
        }
        let path = Path::new(what);
        if !path.exists() && path.extension().is_none() {
            let names: Vec<_> = builtin::ALL.iter().map(|builtin| builtin.name).collect();
            return Err(Failure::usage(anyhow::anyhow!(
                "no experiment and no file is called `{what}`; there are {}",
                names.join(", ")
            )));
        }
        read(path)
            .map_err(|why| Failure::usage(anyhow::anyhow!("{what}: {why}")))
            .map(|text| (what.to_owned(), text))
    }

    fn cells(&self) -> Result<Cells, Failure> {
        let (source, text) = self.source()?;
        let overrides = Overrides {
            seconds: self.seconds,
            repetitions: self.repetitions,
            set: self.set.clone(),
        };
        let stem = Path::new(&source).file_stem().unwrap_or_default();
        let cells = Spec::parse(&text, &stem.to_string_lossy(), &overrides, &names())
            .and_then(Cells::of)
            .map_err(|error| mistake(&source, &error))?;
        cells
            .check(check_run)
            .map_err(|error| mistake(&source, &error))?;
        Ok(cells)
    }

    fn shard(&self) -> Result<(Shard, SaidBy), Failure> {
        match self.shard {
            Some(shard) => Ok((shard, SaidBy::Option)),
            None => Shard::from_cluster(|name| std::env::var(name).ok()).map_err(Failure::usage),
        }
    }
}

/// What can be a factor.
pub(super) fn names() -> Names {
    Names::of(&described_run())
}

/// A file of a sensible size.
fn read(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    let file = File::open(path).map_err(|error| format!("cannot be read: {error}"))?;
    let mut start = file.take(SPEC_MOST + 1);
    let length = start
        .read_to_string(&mut text)
        .map_err(|error| format!("cannot be read: {error}"))?;
    if length as u64 > SPEC_MOST {
        return Err("is too long for a specification".to_owned());
    }
    Ok(text)
}

/// Whether `vmm run` takes these words.
fn check_run(words: &[String]) -> Result<(), String> {
    let line = std::iter::once("vmm").chain(words.iter().map(String::as_str));
    let failure = match Cli::try_parse_from(line) {
        Ok(cli) => match cli.command {
            Command::Run(args) => args.check().err(),
            _ => None,
        },
        Err(error) => usage::answer(&error).err(),
    };
    failure.map_or(Ok(()), |failure| Err(format!("{:#}", failure.error)))
}

/// Runs it, or what is left of it.
///
/// # Errors
/// [`Failure`] with exit code 2 or 3.
pub fn run(args: &ExperimentArgs) -> Result<Exit, Failure> {
    if args.list {
        return list();
    }
    let cells = args.cells()?;
    let Some(folder) = args.output.as_deref().filter(|_| !args.print) else {
        let text = cells.spec().to_toml();
        output::print(text.as_bytes()).map_err(Failure::host)?;
        return Ok(Exit::Done);
    };
    let (shard, said_by) = args.shard()?;
    host::open_kvm().map_err(Failure::host)?;
    signal::ignore_file_size_signal();
    let interrupt = signal::end_signals().map_err(Failure::host)?;
    let mut experiment = Experiment::prepare(cells, folder, shard).map_err(failure)?;
    let header = header(&experiment, folder, shard, said_by);
    output::print_aside(header.as_bytes());
    let end = {
        let mut teller = Teller::new();
        experiment.run(&interrupt, |so_far| teller.tell(so_far))
    };
    // Nothing is left that a signal could leave half done; the one that has come has been heard.
    while matches!((&interrupt).read(&mut [0; 1024]), Ok(length) if length > 0) {}
    signal::end_by_signals();
    let end = end.map_err(failure)?;
    let table = experiment.summary().to_string();
    output::print(table.as_bytes()).map_err(Failure::host)?;
    tell_resources(&experiment);
    Ok(match end {
        End::Complete => Exit::Done,
        End::Interrupted => {
            output::print_aside(b"vmm: interrupted; the same command goes on from here\n");
            Exit::CheckFailed
        }
    })
}

/// What this process took of the host, where that can be told. The runs are done and recorded: a file
/// beside them that cannot be written is no reason to fail.
fn tell_resources(experiment: &Experiment) {
    let line = match experiment.keep_resources() {
        Ok(Some(resources)) if resources.growth.is_some() => format!("{resources}"),
        Ok(_) => return,
        Err(error) => in_one_line(&error),
    };
    output::print_aside(format!("vmm: {line}\n").as_bytes());
}

/// Nothing has run yet if its folder or what is in it does not suit.
fn failure(error: Error) -> Failure {
    match error {
        Error::Folder(_) => Failure::usage(error),
        Error::Results(ref results) if !results.is_of_the_disk() => Failure::usage(error),
        Error::Results(_) | Error::Start(_) => Failure::host(error),
    }
}

fn list() -> Result<Exit, Failure> {
    let names = names();
    let mut text = String::new();
    for builtin in builtin::ALL {
        let spec = Spec::parse(builtin.text, builtin.name, &Overrides::default(), &names);
        let spec = spec.map_err(|error| mistake(builtin.name, &error))?;
        text.push_str(&format!("{:12} {}\n", builtin.name, spec.description));
    }
    output::print(text.as_bytes()).map_err(Failure::host)?;
    Ok(Exit::Done)
}

/// What is about to be done, and why this part of it.
fn header(experiment: &Experiment, folder: &Path, shard: Shard, said_by: SaidBy) -> String {
    let cells = experiment.cells();
    let spec = cells.spec();
    let mut text = format!(
        "{}: {} cells x {} repetitions",
        spec.name,
        cells.count(),
        spec.repetitions
    );
    let runs = experiment.runs();
    let by = match said_by {
        SaidBy::Nobody => None,
        SaidBy::Option => Some("--shard"),
        SaidBy::Slurm => Some("SLURM_ARRAY_TASK_ID"),
        SaidBy::Kubernetes => Some("JOB_COMPLETION_INDEX"),
    };
    match by {
        Some(by) => text.push_str(&format!(", shard {shard} ({by}): {runs} runs")),
        None => text.push_str(&format!(" = {runs} runs")),
    }
    let found = experiment.found();
    if !found.done.is_empty() {
        text.push_str(&format!(", {} of them done before", found.done.len()));
    }
    text.push_str(&format!(
        "; about {} to go, into {}\n",
        time(experiment.expected()),
        folder.display()
    ));
    if found.torn > 0 {
        text.push_str(
            "vmm: the last line of the results was torn off in the middle; its run is repeated\n",
        );
    }
    let mine = provenance::revision();
    let others = found.revisions.iter().filter(|other| **other != mine);
    let others: Vec<_> = others.map(String::as_str).collect();
    if !others.is_empty() {
        text.push_str(&format!(
            "vmm: runs that were done before are of revision {}, those to come of {mine}: compare \
             them with care\n",
            others.join(", ")
        ));
    }
    text
}

/// A time as one says it.
fn time(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// Says how far it is: on a terminal at once, elsewhere a line now and then.
struct Teller {
    line: progress::Progress,
    told: Instant,
}

impl Teller {
    fn new() -> Self {
        Self {
            line: progress::Progress::start(None),
            told: Instant::now(),
        }
    }

    fn tell(&mut self, so_far: Progress<'_>) {
        if self.line.is_shown() {
            self.line.show(text(so_far));
        } else if self.told.elapsed() >= TELL {
            self.told = Instant::now();
            output::print_aside(format!("{}\n", text(so_far)).as_bytes());
        }
    }
}

fn text(so_far: Progress<'_>) -> String {
    const WIDTH: usize = 20;
    let Progress {
        done,
        runs,
        wrong,
        left,
        now,
    } = so_far;
    let full = done * WIDTH / runs.max(1);
    let wrong = match wrong {
        0 => String::new(),
        wrong => format!("   wrong {}", units::count(wrong)),
    };
    format!(
        "[{}{}] {done} / {runs} runs   {} left{wrong}   {now}",
        "#".repeat(full),
        ".".repeat(WIDTH - full),
        time(left),
    )
}
