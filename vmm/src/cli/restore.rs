//! `vmm restore`.

use std::path::PathBuf;

use clap::Args as ClapArgs;

use super::here::Here;
use super::run::failure;
use super::session::Holds;
use super::{Exit, Failure};
use crate::cpu::clock::ClockPolicy;
use crate::host;
use crate::machine::load::{Loading, Shortfalls};
use crate::machine::ple::PleSetup;
use crate::machine::rebuild::rebuild;
use crate::machine::saved::SavedMachine;
use crate::os::{allocator, limits};
use crate::snapshot::CheckedSnapshot;
use crate::vcpu::state::HiddenKicks;

/// Arguments of `vmm restore`.
#[derive(Debug, ClapArgs)]
pub struct RestoreArgs {
    /// The snapshot
    file: PathBuf,

    #[command(flatten)]
    loading: LoadingArgs,

    /// Do not run the guest until `vmm resume`; needs --api
    #[arg(long, requires = "api")]
    paused: bool,

    #[command(flatten)]
    here: Here,
}

/// How a machine from elsewhere is loaded.
#[derive(Clone, Copy, Debug, ClapArgs)]
pub struct LoadingArgs {
    /// The guest's clocks go on where they stood, or jump ahead by the time away
    #[arg(long, value_enum, default_value = "continue")]
    clock: ClockPolicy,

    /// Load it although this host lacks what the guest was shown
    #[arg(long)]
    force: bool,

    /// Lose the kicks that no MP_STATE shows, as other VMMs do: to see what happens
    #[arg(long)]
    no_repair: bool,
}

impl LoadingArgs {
    pub(super) fn loading(self) -> Loading {
        Loading {
            clock: self.clock,
            hidden_kicks: if self.no_repair {
                HiddenKicks::Lose
            } else {
                HiddenKicks::Repair
            },
            shortfalls: if self.force {
                Shortfalls::Accept
            } else {
                Shortfalls::Refuse
            },
        }
    }
}

/// Restores the machine, runs it to its end and reports.
///
/// # Errors
/// [`Failure`] with exit code 2 or 3.
pub fn run(args: &RestoreArgs) -> Result<Exit, Failure> {
    let json = args.here.report_target()?;
    let host_side = args.here.host_side()?;
    let snapshot = CheckedSnapshot::open(&args.file).map_err(Failure::usage)?;
    let saved = SavedMachine::read(&snapshot).map_err(Failure::usage)?;
    let mut session = args.here.session(json, None)?;
    let kvm = host::open_kvm().map_err(Failure::host)?;
    limits::raise_open_files();
    allocator::use_one_arena();
    let memory = snapshot.map_memory().map_err(Failure::host)?;
    let loading = args.loading.loading();
    let mut machine = rebuild(
        &kvm,
        saved.description,
        memory,
        &host_side,
        PleSetup::new(&host_side.lab),
        loading.shortfalls,
    )
    .map_err(failure)?;
    let finished = {
        let paused = machine.start_paused().map_err(failure)?;
        session.kicks_repaired = paused.load(saved.state, loading).map_err(Failure::host)?;
        let machine = paused.machine();
        let debugger = session.hold_for_debugger(machine);
        let api = if args.paused {
            Some(paused)
        } else {
            paused.go_on().map_err(Failure::host)?;
            None
        };
        session.run(machine, Holds { api, debugger })?
    };
    machine.stop();
    session.report(machine, finished)
}
