//! The hardware's PLE in one machine, and what the report says of all pause-loop exiting in it.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::capabilities::HardwareGets;
use crate::host::Kind;
use crate::host::ple::HardwarePle;
use crate::host::tracepoints::Tracepoints;
use crate::ple::config::{OnSpin, Ple};
use crate::ple::service::SpinService;
use crate::pv::faulty::FaultyKicks;
use crate::report::ple::{HardwareActs, KickFaultReport, Outcomes, PleBy, PleReport, Windows};
use crate::sched::config::Sched;
use crate::spec::Lab;

/// What becomes of the hardware's PLE under `lab`: only one kind of PLE acts.
pub(super) fn hardware_gets(lab: &Lab) -> HardwareGets {
    match lab.ple {
        Ple::Host => HardwareGets::AsItIs,
        Ple::Off | Ple::Soft(_) if HardwarePle::detect().acts => HardwareGets::Off,
        Ple::Off | Ple::Soft(_) => HardwareGets::OffIfItCan,
    }
}

/// Pause-loop exiting as it was set up.
#[derive(Clone, Debug)]
pub struct PleSetup {
    ple: Ple,
    on_spin: OnSpin,
    hardware: HardwarePle,
    /// Counters, or why there are none.
    tracepoints: Result<Arc<Tracepoints>, String>,
}

impl PleSetup {
    /// Of a machine under `lab`; `None` where there is nothing to say. Called by the thread that
    /// starts those of the vCPUs, before it does, and before a filter forbids it.
    pub fn new(lab: &Lab) -> Option<Self> {
        let hardware = HardwarePle::detect();
        let is_used = lab.ple != Ple::Host
            || lab.on_spin != OnSpin::None
            || lab.sched != Sched::Host
            || lab.preempt_holder.is_some();
        (is_used || hardware.acts).then(|| Self {
            ple: lab.ple,
            on_spin: lab.on_spin,
            tracepoints: match hardware.acts {
                true => Tracepoints::open(Kind::detect()).map(Arc::new),
                false => Err("this host has no PLE to count".to_owned()),
            },
            hardware,
        })
    }

    /// The report's part.
    pub(super) fn report(&self, spin: Option<&SpinService>) -> PleReport {
        let (tracepoints, no_tracepoints) = match &self.tracepoints {
            Ok(tracepoints) => (Some(tracepoints.counts()), None),
            Err(why) => (None, Some(why.clone())),
        };
        PleReport {
            by: match self.ple {
                Ple::Host => PleBy::Host,
                Ple::Off => PleBy::Off,
                Ple::Soft(_) => PleBy::Soft,
            },
            on_spin: self.on_spin.name().to_owned(),
            window: self.windows(spin),
            spin_exits: spin.map_or(0, |spin| spin.stats().spinning.load(Relaxed)),
            outcomes: spin.map(outcomes),
            hardware: match (self.hardware.acts, self.ple) {
                (false, _) => HardwareActs::None,
                (true, Ple::Host) => HardwareActs::On,
                (true, Ple::Off | Ple::Soft(_)) => HardwareActs::Off,
            },
            parameters: self.hardware.parameters.clone(),
            tracepoints,
            no_tracepoints,
        }
    }

    fn windows(&self, spin: Option<&SpinService>) -> Option<Windows> {
        let Ple::Soft(settings) = self.ple else {
            return None;
        };
        let (least, most) = spin?.windows()?;
        Some(Windows {
            gap: settings.gap,
            window: settings.window,
            grow: settings.grow,
            shrink: settings.shrink,
            least,
            most,
        })
    }
}

fn outcomes(spin: &SpinService) -> Outcomes {
    let stats = spin.stats();
    Outcomes {
        yielded: stats.yielded.load(Relaxed),
        lent: stats.lent.load(Relaxed),
        given_back: stats.given_back.load(Relaxed),
        too_late: stats.too_late.load(Relaxed),
        nobody: stats.nobody.load(Relaxed),
        slept: stats.slept.load(Relaxed),
        told_to_halt: stats.told_to_halt.load(Relaxed),
        acquired: stats.acquired.load(Relaxed),
        releasing: stats.releasing.load(Relaxed),
        preempted: stats.preempted.load(Relaxed),
        unknown: stats.unknown.load(Relaxed),
    }
}

/// The report's part on kicks that went wrong.
pub(super) fn kick_faults(faulty: &FaultyKicks) -> KickFaultReport {
    let (faults, stats) = (faulty.faults(), faulty.stats());
    KickFaultReport {
        seed: faulty.seed(),
        drop: faults.drop,
        dup: faults.dup,
        misroute: faults.misroute,
        delay_ns: u64::try_from(faults.delay.as_nanos()).unwrap_or(u64::MAX),
        dropped: stats.dropped.load(Relaxed),
        duplicated: stats.duplicated.load(Relaxed),
        misrouted: stats.misrouted.load(Relaxed),
        delayed: stats.delayed.load(Relaxed),
        flushed: stats.flushed.load(Relaxed),
        crowded: stats.crowded.load(Relaxed),
        waiting: faulty.waiting(),
    }
}
