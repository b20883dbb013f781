//! `make bench`: how fast, how small, and beside what.
//!
//! Every measurement runs in turns with its floor or peer, so that whatever else the host does
//! disturbs both, and the ratio of runs made side by side is what the targets are about.

mod certificates;
mod compare;
mod fast_path;
mod folder;
mod guest;
mod kick;
mod linux;
mod many;
mod memory;
mod migrate;
mod pause;
mod process;
mod random;
mod restore;
mod row;
mod running;
mod sample;
mod sched;
mod snapshot;
mod start;
mod table;
mod throughput;

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::json;
use vmm::host::Identity;

use compare::Sides;
use folder::Folder;
use guest::Guests;
use row::Row;

const SCHEMA: &str = "vmm.bench/1";
const USAGE: &str = "usage: bench [--only NAME] [--quick] [--json FILE] [--compare OLD NEW]
NAME: start, memory, many, kick, throughput, fast-path, snapshot, restore, migrate, pause, linux, sched
VMM=PATH names the binary to measure; by default the vmm beside this one
OLD, NEW: two builds of vmm, or two files that --json has written";

/// What every measurement needs.
#[derive(Debug)]
pub(crate) struct Bench {
    /// The binary that is measured.
    pub(crate) vmm: PathBuf,
    /// The folder of the floors.
    pub(crate) folder: PathBuf,
    /// Guests of a few instructions.
    pub(crate) guests: Guests,
    /// For files of the size of a guest's memory.
    pub(crate) disk: Folder,
    /// Fewer and shorter runs.
    pub(crate) quick: bool,
}

impl Bench {
    /// `normal` rounds, or a few in a hurry.
    pub(crate) fn rounds(&self, normal: usize) -> usize {
        if self.quick {
            normal.div_ceil(5)
        } else {
            normal
        }
    }

    /// A floor's binary.
    pub(crate) fn floor(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }
}

type Measure = fn(&Bench, &mut dyn FnMut(Row)) -> io::Result<()>;

const MEASUREMENTS: [(&str, Measure); 12] = [
    ("start", start::measure),
    ("memory", memory::measure),
    ("many", many::measure),
    ("kick", kick::measure),
    ("throughput", throughput::measure),
    ("fast-path", fast_path::measure),
    ("snapshot", snapshot::measure),
    ("restore", restore::measure),
    ("migrate", migrate::measure),
    ("pause", pause::measure),
    ("linux", linux::measure),
    ("sched", sched::measure),
];

#[derive(Debug, Default)]
struct Options {
    only: Vec<String>,
    quick: bool,
    json: Option<PathBuf>,
    compare: Option<Sides>,
}

fn options() -> Option<Options> {
    let mut options = Options::default();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--only" => options.only.push(words.next()?),
            "--quick" => options.quick = true,
            "--json" => options.json = Some(words.next()?.into()),
            "--compare" => {
                options.compare = Some(Sides {
                    old: words.next()?.into(),
                    new: words.next()?.into(),
                });
            }
            _ => return None,
        }
    }
    let known = |name: &String| match options.compare {
        Some(_) => compare::knows(name),
        None => MEASUREMENTS.iter().any(|(known, _)| known == name),
    };
    options.only.iter().all(known).then_some(options)
}

fn main() -> ExitCode {
    let Some(options) = options() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> io::Result<()> {
    if let Some(sides) = options.compare.as_ref().filter(|sides| sides.are_files()) {
        return compare::files(sides);
    }
    let own = std::env::current_exe()?;
    let folder = own.parent().unwrap_or(Path::new(".")).to_owned();
    let vmm = match &options.compare {
        Some(sides) => sides.old.clone(),
        None => std::env::var_os("VMM").map_or_else(|| folder.join("vmm"), PathBuf::from),
    };
    let newer = options.compare.as_ref().map(|sides| sides.new.clone());
    if let Some(missing) = [Some(&vmm), newer.as_ref()]
        .into_iter()
        .flatten()
        .find(|vmm| !vmm.is_file())
    {
        return Err(io::Error::other(format!(
            "{} is not there: run `cargo build --release` first",
            missing.display()
        )));
    }
    let bench = Bench {
        vmm,
        guests: Guests::write()?,
        disk: Folder::for_memory(folder.parent().unwrap_or(&folder))?,
        folder,
        quick: options.quick,
    };
    let host = Identity::detect();
    let cpus = std::thread::available_parallelism()?;
    println!(
        "host: {}, Linux {}, {}, {cpus} CPUs\n",
        host.kind, host.kernel, host.cpu_model
    );
    if let Some(sides) = &options.compare {
        return compare::builds(bench, sides, &options.only, options.json.as_deref());
    }
    table::head();
    let mut rows = Vec::new();
    for (name, measure) in MEASUREMENTS {
        if options.only.is_empty() || options.only.iter().any(|only| only == name) {
            measure(&bench, &mut |row| {
                table::row(&row);
                rows.push(row);
            })?;
        }
    }
    let missed = rows.iter().filter(|row| row.met() == Some(false)).count();
    println!(
        "\n{missed} of {} targets missed",
        rows.iter().filter(|row| row.met().is_some()).count()
    );
    if let Some(path) = &options.json {
        let rows: Vec<_> = rows.iter().map(Row::json).collect();
        let text = json!({
            "schema": SCHEMA,
            "host": host,
            "host_cpus": cpus.get(),
            "quick": options.quick,
            "rows": rows,
        });
        std::fs::write(path, format!("{text:#}\n"))?;
    }
    Ok(())
}
