//! The table of experiments, in the order of the report. Adding one is adding a row.

mod confinement;
mod cost;
mod exits;
mod halt;
mod hypercall;
mod limits;
mod memory;
mod msr;
mod tsc;

use super::check::{Check, Experiment, Finding, Host};
use super::{HostError, Kind};

/// All experiments.
pub const TABLE: &[Experiment] = &[
    Experiment {
        id: "kind",
        question: "What runs a guest's CPL 0?",
        attempt: kind,
    },
    Experiment {
        id: "pv_unhalt",
        question: "Is PV_UNHALT among the supported CPUID bits?",
        attempt: hypercall::pv_unhalt,
    },
    Experiment {
        id: "vmcall",
        question: "Does `vmcall` complete at CPL 0?",
        attempt: hypercall::at_cpl0,
    },
    Experiment {
        id: "vmcall_cpl3",
        question: "What does `vmcall` answer at CPL 3?",
        attempt: hypercall::at_cpl3,
    },
    Experiment {
        id: "vmcall_breakpoint",
        question: "Does a hardware breakpoint on `vmcall` exit before it runs?",
        attempt: hypercall::breakpoint,
    },
    Experiment {
        id: "xen_intercept",
        question: "Are Xen hypercalls handed to the VMM?",
        attempt: hypercall::xen_intercept,
    },
    Experiment {
        id: "kick_msi",
        question: "Does a remote-read MSI (data 0x300) wake a halted vCPU?",
        attempt: halt::kick_wakes,
    },
    Experiment {
        id: "kick_x2apic_id",
        question: "Does a remote-read MSI reach an APIC ID above 254 (300)?",
        attempt: halt::kick_reaches_id_300,
    },
    Experiment {
        id: "halt_by_mp_state",
        question: "Does KVM_RUN block after KVM_SET_MP_STATE(HALTED) until a kick?",
        attempt: halt::halt_by_mp_state,
    },
    Experiment {
        id: "pv_unhalted_peek",
        question: "Does HALTED + KVM_GET_MP_STATE show a kick that came while RUNNABLE?",
        attempt: halt::peek,
    },
    Experiment {
        id: "runnable_clears",
        question: "Does KVM_SET_MP_STATE(RUNNABLE) clear a pending kick?",
        attempt: halt::runnable_clears,
    },
    Experiment {
        id: "hlt_exit",
        question: "Does HLT exit to the VMM without an in-kernel LAPIC?",
        attempt: halt::hlt_exits,
    },
    Experiment {
        id: "hlt_cpl3",
        question: "What does HLT do at CPL 3?",
        attempt: halt::hlt_at_cpl3,
    },
    Experiment {
        id: "msr_exit",
        question: "Does an MSR that KVM does not know exit to the VMM?",
        attempt: msr::unknown,
    },
    Experiment {
        id: "msr_exit_x2apic",
        question: "Do the x2APIC MSRs exit without an in-kernel LAPIC?",
        attempt: msr::x2apic,
    },
    Experiment {
        id: "apic_base",
        question: "What does enabling x2APIC in IA32_APIC_BASE do without an in-kernel LAPIC?",
        attempt: msr::apic_base,
    },
    Experiment {
        id: "apic_base_filtered",
        question: "Does an MSR filter make a write of IA32_APIC_BASE exit?",
        attempt: msr::apic_base_filtered,
    },
    Experiment {
        id: "cpl0_speed",
        question: "How long does an instruction take at CPL 0?",
        attempt: cost::cpl0,
    },
    Experiment {
        id: "cpl3_speed",
        question: "How long does an instruction take at CPL 3?",
        attempt: cost::cpl3,
    },
    Experiment {
        id: "out_cpl0",
        question: "What does an `out` exit cost at CPL 0?",
        attempt: cost::out_at_cpl0,
    },
    Experiment {
        id: "out_cpl3",
        question: "What does an `out` exit cost at CPL 3 (IOPL 3)?",
        attempt: cost::out_at_cpl3,
    },
    Experiment {
        id: "immediate_exit",
        question: "Does immediate_exit leave KVM_RUN before any instruction?",
        attempt: exits::immediate_exit,
    },
    Experiment {
        id: "hlt_exits_off",
        question: "Can HLT exits be turned off?",
        attempt: exits::hlt_off,
    },
    Experiment {
        id: "pause_exits_off",
        question: "Can PAUSE exits be turned off?",
        attempt: exits::pause_off,
    },
    Experiment {
        id: "ple",
        question: "How is pause-loop exiting set?",
        attempt: exits::ple,
    },
    Experiment {
        id: "tracepoints",
        question: "Can KVM's tracepoints be counted?",
        attempt: exits::tracepoints,
    },
    Experiment {
        id: "halt_poll",
        question: "Can halt polling be set for one VM?",
        attempt: exits::halt_poll,
    },
    Experiment {
        id: "enforce_pv",
        question: "Can KVM be made to refuse PV features that CPUID does not show?",
        attempt: exits::enforce_pv,
    },
    Experiment {
        id: "dirty_log",
        question: "Does the dirty log show a page that the guest wrote?",
        attempt: memory::dirty_log,
    },
    Experiment {
        id: "dirty_ring",
        question: "Does the dirty ring show a page that the guest wrote?",
        attempt: memory::dirty_ring,
    },
    Experiment {
        id: "tsc_khz",
        question: "Can a guest's TSC run at nine tenths of the host's rate?",
        attempt: tsc::khz,
    },
    Experiment {
        id: "tsc_offset",
        question: "Can the TSC offset be read and set?",
        attempt: tsc::offset,
    },
    Experiment {
        id: "max_vcpus",
        question: "How many vCPUs can a VM have?",
        attempt: limits::max_vcpus,
    },
    Experiment {
        id: "max_vcpu_id",
        question: "Up to which ID can a vCPU be created?",
        attempt: limits::max_vcpu_id,
    },
    Experiment {
        id: "binary_stats",
        question: "Does KVM give its statistics as a file (KVM_GET_STATS_FD)?",
        attempt: limits::binary_stats,
    },
    Experiment {
        id: "landlock",
        question: "Can a thread give its rights to files away (Landlock)?",
        attempt: confinement::landlock,
    },
    Experiment {
        id: "seccomp_trap",
        question: "Does the kernel take a filter that signals a system call (SECCOMP_RET_TRAP)?",
        attempt: confinement::seccomp_trap,
    },
    Experiment {
        id: "seccomp_notify",
        question: "Can a thread hear of another's system call (SECCOMP_RET_USER_NOTIF)?",
        attempt: confinement::seccomp_notify,
    },
];

/// Makes every experiment of the [`TABLE`].
///
/// # Errors
/// Where not even their common ground can be laid.
pub fn run_all(kvm: &kvm_ioctls::Kvm) -> Result<Vec<Check>, HostError> {
    let host = Host::new(kvm)?;
    Ok(TABLE
        .iter()
        .map(|experiment| experiment.run(&host))
        .collect())
}

fn kind(host: &Host) -> Result<Finding, HostError> {
    let meaning = match host.kind {
        Kind::Vmx | Kind::Svm => "the CPU does; pause-loop exiting can be studied",
        Kind::Pvm => {
            "PVM: no hardware help, no PLE; run the payload with ring=3 (`ring=auto` does)"
        }
        Kind::Unknown => "no kvm_intel, kvm_amd or kvm_pvm in /sys/module; go by the lines below",
    };
    Ok(Finding::value(host.kind.to_string(), meaning))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::host::check::Answer;
    use crate::host::open_kvm;

    /// How long things took: the only answers that may change from one time to the next.
    const COSTS: [&str; 4] = ["cpl0_speed", "cpl3_speed", "out_cpl0", "out_cpl3"];

    fn answers() -> Vec<(&'static str, Answer)> {
        let checks = run_all(&open_kvm().unwrap()).unwrap();
        checks.into_iter().map(|c| (c.id, c.answer)).collect()
    }

    fn answer(answers: &[(&str, Answer)], id: &str) -> Answer {
        let found = answers.iter().find(|(name, _)| *name == id);
        found.unwrap_or_else(|| panic!("{id}")).1.clone()
    }

    #[test]
    fn ids_are_unique_and_questions_are_questions() {
        let ids: HashSet<_> = TABLE.iter().map(|e| e.id).collect();
        assert_eq!(ids.len(), TABLE.len());
        for experiment in TABLE {
            assert!(experiment.question.ends_with('?'), "{}", experiment.id);
        }
    }

    #[test]
    fn asked_twice_the_host_says_the_same() {
        let stable = |answers: Vec<(&'static str, Answer)>| {
            let mut answers = answers;
            answers.retain(|(id, _)| !COSTS.contains(id));
            answers
        };
        assert_eq!(stable(answers()), stable(answers()));
    }

    #[test]
    fn what_every_kvm_does_is_found_here_too() {
        let answers = answers();
        for id in [
            "kick_msi",
            "halt_by_mp_state",
            "hlt_exit",
            "immediate_exit",
            "dirty_log",
        ] {
            assert_eq!(answer(&answers, id), Answer::Yes, "{id}");
        }
        let eperm = Answer::Value("-EPERM".to_owned());
        assert_eq!(answer(&answers, "vmcall_cpl3"), eperm);
    }

    #[test]
    fn hardware_runs_cpl0_itself_and_completes_its_vmcall() {
        let answers = answers();
        if matches!(Kind::detect(), Kind::Vmx | Kind::Svm) {
            assert_eq!(answer(&answers, "vmcall"), Answer::Yes);
        }
    }

    #[test]
    fn no_experiment_fails_to_give_an_answer() {
        for (id, answer) in answers() {
            // On a host where a kick cannot be seen, what clears it cannot be told.
            if id != "runnable_clears" {
                assert!(!matches!(answer, Answer::CannotTell(_)), "{id}: {answer}");
            }
        }
    }
}
