//! The laboratory's options: who schedules the vCPUs, who ends their spinning, which kicks go wrong.

use std::time::Duration;

use clap::Args;

use super::Failure;
use crate::ple::config::{OnSpin, Ple};
use crate::pv::fault::KickFaults;
use crate::sched::config::{self, PreemptHolder, SLICE_DEFAULT, Sched, SchedName, TokenSched};
use crate::spec::{Choice, KickYield, Lab};

/// What is done to the vCPUs so that it can be measured.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Laboratory")]
pub(super) struct LabArgs {
    #[arg(long, value_name = "POLICY", default_value = "host", help = sched_help())]
    sched: SchedName,

    /// vCPUs that run at a time under a policy of --sched [default: one a host CPU]
    #[arg(long, value_name = "P", value_parser = clap::value_parser!(u32).range(1..))]
    pcpus: Option<u32>,

    /// How long a vCPU runs before another has its turn, as in 500us or 3ms [default: 3ms]
    #[arg(long, value_name = "TIME", value_parser = config::slice)]
    slice: Option<Duration>,

    /// Seed of what the scheduler and the faults draw
    #[arg(long, value_name = "S", default_value = "1")]
    seed: u64,

    /// Who takes a vCPU out of a spin loop: host, off or soft[:gap=N,window=N,grow=N,shrink=N]
    #[arg(long, value_name = "WHO", default_value = "host")]
    ple: Ple,

    /// What becomes of it then
    #[arg(long, value_enum, default_value = "none")]
    on_spin: OnSpin,

    /// Whether a kick also yields to the kicked vCPU
    #[arg(long, value_name = "on|off", value_enum, default_value = "off")]
    kick_yield: OnOff,

    /// Kicks that go wrong, as shares: drop=P,delay=US,dup=P,misroute=P
    #[arg(long, value_name = "LIST")]
    kick_fault: Option<KickFaults>,

    /// Keep this share of the vCPUs that have just taken a lock off their pCPUs [default TIME: 3ms]
    #[arg(long, value_name = "RATE[,TIME]")]
    preempt_holder: Option<PreemptHolder>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum OnOff {
    On,
    Off,
}

fn sched_help() -> String {
    format!("Who schedules the vCPUs: {}", config::sched_names())
}

fn usage(why: &'static str) -> Failure {
    Failure::usage(anyhow::anyhow!(why))
}

impl LabArgs {
    /// Checks them against each other and against `--halt`. `host_cpus` is how many CPUs the vCPU
    /// threads may use.
    ///
    /// # Errors
    /// [`Failure`] with exit code 2.
    pub(super) fn lab(
        &self,
        halt: Choice,
        host_cpus: impl FnOnce() -> u32,
    ) -> Result<Lab, Failure> {
        let sched = self.sched(halt, host_cpus)?;
        if sched == Sched::Host {
            if self.on_spin.yields() {
                return Err(usage(
                    "--on-spin: only a scheduler can yield to a vCPU; add --sched round-robin or \
                     another policy, or use none or sleep",
                ));
            }
            if self.kick_yield == OnOff::On {
                return Err(usage(
                    "--kick-yield on: only a scheduler can yield to a vCPU; add --sched round-robin \
                     or another policy",
                ));
            }
        }
        if self.on_spin != OnSpin::None && !matches!(self.ple, Ple::Soft(_)) {
            return Err(usage(
                "--on-spin: no vCPU leaves its spin loop for the VMM; add --ple soft",
            ));
        }
        Ok(Lab {
            sched,
            ple: self.ple,
            on_spin: self.on_spin,
            kick_yield: match self.kick_yield {
                OnOff::On => KickYield::On,
                OnOff::Off => KickYield::Off,
            },
            kick_faults: self.kick_fault,
            preempt_holder: self.preempt_holder,
            seed: self.seed,
        })
    }

    fn sched(&self, halt: Choice, host_cpus: impl FnOnce() -> u32) -> Result<Sched, Failure> {
        match self.sched {
            SchedName::Host if self.pcpus.is_some() || self.slice.is_some() => Err(usage(
                "--pcpus and --slice are for a policy of --sched; with --sched host, --cpus limits \
                 the vCPU threads",
            )),
            SchedName::Host => Ok(Sched::Host),
            SchedName::Policy(_) if halt == Choice::Kvm => Err(usage(
                "--sched: a vCPU that halts inside KVM keeps its pCPU from the VMM's scheduler; use \
                 --halt vmm",
            )),
            SchedName::Policy(policy) => Ok(Sched::Tokens(TokenSched {
                policy,
                pcpus: self.pcpus.unwrap_or_else(host_cpus),
                slice: self.slice.unwrap_or(SLICE_DEFAULT),
                seed: self.seed,
            })),
        }
    }
}
