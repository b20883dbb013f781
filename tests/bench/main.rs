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
mod options;
mod pause;
mod process;
mod random;
mod record;
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

use vmm::host::Identity;

use folder::Folder;
use guest::Guests;
use options::{Compared, Options};
use record::Record;
use row::Row;

const SCHEMA: &str = "vmm.bench/1";

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
    /// As many vCPUs as this host's KVM gives to a machine.
    pub(crate) most_vcpus: usize,
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

fn main() -> ExitCode {
    let names = MEASUREMENTS.map(|(name, _)| name);
    let options = match Options::parse(std::env::args().skip(1), &names) {
        Ok(options) => options,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(2);
        }
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
    let json = options.json.as_deref();
    let builds = match &options.compare {
        Some(Compared::Files(files)) => return compare::files(files, json),
        Some(Compared::Builds(builds)) => Some(builds),
        None => None,
    };
    let own = std::env::current_exe()?;
    let folder = own.parent().unwrap_or(Path::new(".")).to_owned();
    let vmm = match builds {
        Some(sides) => sides.old.clone(),
        None => std::env::var_os("VMM").map_or_else(|| folder.join("vmm"), PathBuf::from),
    };
    let newer = builds.map(|sides| sides.new.clone());
    if let Some(missing) = [Some(&vmm), newer.as_ref()]
        .into_iter()
        .flatten()
        .find(|vmm| !vmm.is_file())
    {
        return Err(io::Error::other(format!(
            "{} is not there: run `make build` first",
            missing.display()
        )));
    }
    let bench = Bench {
        vmm,
        guests: Guests::write()?,
        disk: Folder::for_memory(folder.parent().unwrap_or(&folder))?,
        folder,
        quick: options.quick,
        most_vcpus: vmm::host::open_kvm()
            .map_err(io::Error::other)?
            .get_max_vcpus(),
    };
    let host = Identity::detect();
    let cpus = std::thread::available_parallelism()?;
    println!(
        "host: {}, Linux {}, {}, {cpus} CPUs\n",
        host.kind, host.kernel, host.cpu_model
    );
    if let Some(sides) = builds {
        return compare::builds(bench, sides, &options.only, json);
    }
    let mut record = Record::new(host, cpus.get(), options.quick);
    // A file that cannot be written is better known before the hours than after them.
    record.write(json)?;
    table::head();
    for (name, measure) in MEASUREMENTS {
        if !options.only.is_empty() && !options.only.iter().any(|only| only == name) {
            continue;
        }
        let ended = measure(&bench, &mut |row| {
            table::row(&row);
            record.row(row);
            // The last one, below, says why.
            let _ = record.write(json);
        });
        record.ended(name, ended);
        record.write(json)?;
    }
    let (targets, missed) = record.targets();
    println!("\n{missed} of {targets} targets missed");
    record.complete()
}
