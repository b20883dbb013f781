//! KVM's tracepoints that tell what the hardware's PLE does, counted for one run.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::path::Path;

use super::Kind;
use crate::os::perf::TracepointCounter;

const TRACEFS: &str = "/sys/kernel/tracing";

/// A tracepoint to count.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    /// As the report has it.
    name: &'static str,
    event: &'static str,
    filter: Option<&'static CStr>,
}

/// What to count where guests run under `kind`. Exit reasons: SDM vol. 3, appendix C (PAUSE is 40), and
/// AMD's manual vol. 2, appendix C (0x77).
fn wanted(kind: Kind) -> Vec<Wanted> {
    let pause = match kind {
        Kind::Vmx => Some(c"exit_reason==40"),
        Kind::Svm => Some(c"exit_reason==119"),
        Kind::Pvm | Kind::Unknown => None,
    };
    let all = |name| Wanted {
        name,
        event: name,
        filter: None,
    };
    let pause_exits = pause.map(|filter| Wanted {
        name: "kvm_exit_pause",
        event: "kvm_exit",
        filter: Some(filter),
    });
    [all("kvm_ple_window_update"), all("kvm_vcpu_wakeup")]
        .into_iter()
        .chain(pause_exits)
        .collect()
}

/// The counters of one run.
#[derive(Debug)]
pub struct Tracepoints(Vec<(&'static str, TracepointCounter)>);

impl Tracepoints {
    /// Counts from now on, in this thread and in all that it starts.
    ///
    /// # Errors
    /// Why they cannot be counted, for a person.
    pub fn open(kind: Kind) -> Result<Self, String> {
        Self::open_at(Path::new(TRACEFS), kind)
    }

    fn open_at(tracefs: &Path, kind: Kind) -> Result<Self, String> {
        let counters = wanted(kind).into_iter().map(|wanted| {
            let path = tracefs.join("events/kvm").join(wanted.event).join("id");
            let id = std::fs::read_to_string(&path)
                .map_err(|e| format!("{}: {e}; mount tracefs there, as root", path.display()))?;
            let id = id.trim().parse();
            let id = id.map_err(|_| format!("{}: no number", path.display()))?;
            let counter = TracepointCounter::open(id, wanted.filter);
            let counter = counter.map_err(|e| {
                format!(
                    "perf_event_open of {}: {e}; it takes CAP_PERFMON",
                    wanted.event
                )
            })?;
            Ok((wanted.name, counter))
        });
        counters.collect::<Result<_, String>>().map(Self)
    }

    /// The counts so far by name.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        let read = |(name, counter): &(&str, TracepointCounter)| {
            Some(((*name).to_owned(), counter.read().ok()?))
        };
        self.0.iter().filter_map(read).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_tracefs_the_reason_names_the_file_and_the_cure() {
        let why = Tracepoints::open_at(Path::new("/nowhere"), Kind::Vmx).unwrap_err();
        assert!(why.starts_with("/nowhere/events/kvm/"), "{why}");
        assert!(why.contains("mount tracefs"), "{why}");
    }

    #[test]
    fn pause_exits_are_counted_where_their_number_is_known() {
        let names = |kind| wanted(kind).iter().map(|w| w.name).collect::<Vec<_>>();
        assert!(names(Kind::Vmx).contains(&"kvm_exit_pause"));
        assert!(names(Kind::Svm).contains(&"kvm_exit_pause"));
        assert!(!names(Kind::Pvm).contains(&"kvm_exit_pause"));
    }
}
