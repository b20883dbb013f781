//! One guest from its start to its end, for programs that want its report.

pub use crate::machine::Error as BuildError;
pub use crate::machine::events::Error as EventLoopError;

use crate::host::{HostError, Identity, open_kvm};
use crate::machine::{self, events, summary};
use crate::report::progress::Progress;
use crate::report::run::RunReport;
use crate::spec::RunSpec;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// There is no KVM, or none for this user.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The machine cannot be made as it is asked for.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The machine cannot be run.
    #[error(transparent)]
    Run(#[from] EventLoopError),
}

/// Builds the machine, runs its guest until something ends it, and reports, as `vmm run` does, but
/// without terminal, API and debugger.
///
/// There is no sandbox unless `spec.host.sandbox` asks for one: its filters stay on the threads that
/// take them, and what else a program's threads do, only the program knows.
///
/// SIGINT and SIGTERM end the run, and stay blocked in the thread that called this. A guest that
/// hangs, crashes or fails its checks is no error: the report says so.
///
/// # Errors
/// [`RunError`].
///
/// ```no_run
/// use vmm::spec::{Guest, RunSpec, Topology};
///
/// let spec = RunSpec::new(Guest::Bundled, Topology::flat(2)?)
///     .with_cmdline("lock=pv-ticket seconds=0.5");
/// let report = vmm::run(&spec)?;
/// assert_eq!(report.vcpus.len(), 2);
/// println!("{:?}: {} kicks", report.outcome, report.kicks.map_or(0, |kicks| kicks.handled));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn run(spec: &RunSpec) -> Result<RunReport, RunError> {
    let kvm = open_kvm()?;
    let signals = events::signals()?;
    let mut machine = machine::build(&kvm, spec)?;
    machine.start()?;
    let mut progress = Progress::hidden();
    let finished = events::run(&machine, signals, spec.host.timeout, &mut progress, None);
    machine.stop();
    Ok(summary::report(&machine, &Identity::detect(), finished?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::run::{EndedBy, Outcome};
    use crate::spec::{Guest, Topology};

    fn spec(cmdline: &str) -> RunSpec {
        RunSpec::new(Guest::Bundled, Topology::flat(2).unwrap()).with_cmdline(cmdline)
    }

    #[test]
    fn a_program_runs_a_guest_and_reads_what_it_did() {
        let report = run(&spec("lock=pv-ticket ring=3 seconds=0.1")).unwrap();
        assert_eq!(report.outcome, Outcome::Completed, "{report:?}");
        assert!(
            report
                .payload
                .is_some_and(|payload| payload.acquisitions > 0)
        );
    }

    #[test]
    fn a_time_limit_ends_it_without_an_error() {
        let mut spec = spec("ring=3 seconds=3600");
        spec.host.timeout = Some(std::time::Duration::from_millis(100));
        assert_eq!(run(&spec).unwrap().ended_by, EndedBy::Timeout);
    }
}
