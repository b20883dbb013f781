//! `vmm soak`.

use std::path::{Path, PathBuf};

use clap::Args as ClapArgs;
use guest_payload::args::Args as PayloadArgs;

use super::{Exit, Failure};
use crate::machine::events;
use crate::memory::MemorySize;
use crate::report::output::{self, Target};
use crate::report::progress::Progress;
use crate::soak::{self, Error, Mode, Plan, Until, guest_words};
use crate::spec::{Choice, Interface};
use crate::vcpu::state::HiddenKicks;

/// Where files and sockets go by default: memory, where nothing waits for a disk.
const SHARED_MEMORY: &str = "/dev/shm";

/// Arguments of `vmm soak`.
#[derive(Debug, ClapArgs)]
// `--memory -1` is a bad value, not an option `-1`.
#[command(allow_negative_numbers = true)]
pub struct SoakArgs {
    /// More words for the guest; those that a soak needs are refused
    #[arg(last = true)]
    guest_args: Vec<String>,

    /// What is done with the machine
    #[arg(long, value_enum)]
    mode: Mode,

    /// How often
    #[arg(long, value_name = "N", default_value_t = 100,
          value_parser = clap::value_parser!(u64).range(1..))]
    cycles: u64,

    /// End at the first lost kick
    #[arg(long)]
    until_loss: bool,

    /// Of the random choices: when a machine is stopped, and how
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,

    /// Lose the kicks that no MP_STATE shows, as other VMMs do: to see that the soak finds them
    #[arg(long)]
    no_repair: bool,

    /// Number of vCPUs
    #[arg(long, value_name = "N", default_value_t = 2,
          value_parser = clap::value_parser!(u32).range(1..))]
    vcpus: u32,

    /// Guest memory, with K, M or G
    #[arg(long, value_name = "SIZE", default_value = "16M")]
    memory: MemorySize,

    /// Who takes the kick hypercall
    #[arg(long, value_enum, default_value = "auto")]
    kick: Choice,

    /// Where a halted vCPU waits
    #[arg(long, value_enum, default_value = "auto")]
    halt: Choice,

    /// Show Xen's interface too; the locks then use it
    #[arg(long)]
    xen: bool,

    /// Folder for snapshots and sockets, which go into a folder of their own there
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,

    /// Write the report as JSON to a file, or to standard output for -
    #[arg(long, value_name = "FILE|-")]
    json: Option<PathBuf>,
}

impl SoakArgs {
    fn plan(&self) -> Result<Plan, Failure> {
        if self.mode == Mode::Stay && self.no_repair {
            return Err(Failure::usage(anyhow::anyhow!(
                "--no-repair: a machine that stays where it is carries no kicks along; use it with --mode \
                 snapshot or migrate"
            )));
        }
        let guest = guest_words(&self.guest_args, self.vcpus).map_err(Failure::usage)?;
        if let Ok(args) = PayloadArgs::parse(&guest, |_| true)
            && self.vcpus > args.max_cpus()
        {
            return Err(Failure::usage(anyhow::anyhow!(
                "--vcpus {}: lock {} numbers at most {} CPUs with these tickets",
                self.vcpus,
                args.lock.name(),
                args.max_cpus()
            )));
        }
        let folder = self.dir.clone().unwrap_or_else(|| {
            let memory = Path::new(SHARED_MEMORY);
            if memory.is_dir() {
                memory.to_path_buf()
            } else {
                std::env::temp_dir()
            }
        });
        Ok(Plan {
            mode: self.mode,
            cycles: self.cycles,
            until: if self.until_loss {
                Until::FirstLoss
            } else {
                Until::AllCycles
            },
            seed: self.seed,
            vcpus: self.vcpus,
            memory: self.memory,
            kick: self.kick,
            halt: self.halt,
            interface: if self.xen {
                Interface::Xen
            } else {
                Interface::Kvm
            },
            hidden_kicks: if self.no_repair {
                HiddenKicks::Lose
            } else {
                HiddenKicks::Repair
            },
            guest,
            folder,
        })
    }
}

/// What a soak that could not begin deserves.
fn failure(error: Error) -> Failure {
    let exit = match (&error, error.exit_code()) {
        (Error::Folder { .. } | Error::FolderTooLong(_), _) | (_, Some(2)) => Exit::Usage,
        (_, Some(4)) => Exit::GuestCrashed,
        (_, Some(1)) => Exit::CheckFailed,
        _ => Exit::Host,
    };
    Failure {
        exit,
        error: error.into(),
    }
}

/// Soaks and reports.
///
/// # Errors
/// [`Failure`] where it cannot begin.
pub fn run(args: &SoakArgs) -> Result<Exit, Failure> {
    let json = args
        .json
        .as_deref()
        .map(Target::prepare)
        .transpose()
        .map_err(Failure::usage)?;
    let plan = args.plan()?;
    let signals = events::signals().map_err(Failure::host)?;
    let mut progress = Progress::start(None);
    let report = soak::run(&plan, signals, &mut progress);
    progress.finish();
    let report = report.map_err(failure)?;
    let table = report.to_string();
    if matches!(json, Some(Target::Stdout)) {
        output::print_aside(table.as_bytes());
    } else {
        output::print(table.as_bytes()).map_err(Failure::host)?;
    }
    if let Some(json) = json {
        json.write(&report).map_err(Failure::host)?;
    }
    Ok(if report.has_passed() {
        Exit::Done
    } else {
        Exit::CheckFailed
    })
}
