//! Machines that an older `vmm` saved are restored for ever.

use std::path::{Path, PathBuf};

use vmm_tests::command::skip;

use super::Error;
use super::load::{Loading, Shortfalls};
use super::pause::PausedMachine;
use super::rebuild::rebuild;
use super::saved::SavedMachine;
use super::test_machine::{
    Copy, GO_GPA, LOADING, assert_passes, by_hlt, kick, load, set_word, tiny, wait_until_said,
};
use crate::cpu::state::KvmVcpuState;
use crate::host;
use crate::pv::HaltIn;
use crate::snapshot::{CheckedSnapshot, Label, SectionKind, write};
use crate::spec::{Choice, HostSide};
use crate::vcpu::inspect::Activity;

/// Two vCPUs: the first has been kicked and is about to halt with interrupts off, the second has not
/// been started.
const GOLDEN: [(HaltIn, &str); 2] = [
    (HaltIn::Kvm, "machine-v1.snap"),
    (HaltIn::Vmm, "machine-v1-halt-vmm.snap"),
];

fn path(name: &str) -> PathBuf {
    let tests = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden");
    Path::new(tests).join(name)
}

fn open(name: &str) -> CheckedSnapshot {
    let snapshot = CheckedSnapshot::open(&path(name)).unwrap();
    snapshot.verify_memory(&mut |_| {}).unwrap();
    snapshot
}

#[test]
fn a_machine_of_version_1_is_understood() {
    for (halt_in, name) in GOLDEN {
        let saved = SavedMachine::read(&open(name)).unwrap();
        let blueprint = &saved.description.blueprint;
        assert_eq!((blueprint.halt_in, blueprint.vcpus()), (halt_in, 2));
        assert_eq!(blueprint.guest, "golden");
        assert_eq!(blueprint.memory_bytes, 2 << 20);
        let vcpus = &saved.state.vcpus;
        assert_eq!(vcpus[0].activity(), Activity::Running);
        assert_eq!(vcpus[1].activity(), Activity::WaitingForSipi);
        assert_eq!(saved.state.hidden_kicks(), 1);
        assert!(vcpus[0].has_hidden_kick());
    }
}

#[test]
fn this_vmm_writes_the_state_of_version_1_with_the_same_bytes() {
    for (_, name) in GOLDEN {
        let snapshot = open(name);
        let sections = SavedMachine::read(&snapshot).unwrap().sections().unwrap();
        // And the map of memory, which is not the machine's.
        assert_eq!(sections.len() + 1, snapshot.sections().len());
        for section in sections {
            let Label::Known(kind, instance) = section.label() else {
                panic!("{}", section.label());
            };
            assert!(
                snapshot.section(kind, instance) == Some(section.content()),
                "{name}: {} is encoded in another way",
                section.label()
            );
        }
    }
}

#[test]
fn a_machine_of_version_1_runs_to_its_end_where_the_host_fits() {
    for (_, name) in GOLDEN {
        let snapshot = open(name);
        let saved = SavedMachine::read(&snapshot).unwrap();
        let memory = snapshot.map_memory().unwrap();
        let kvm = host::open_kvm().unwrap();
        let built = rebuild(
            &kvm,
            saved.description,
            memory,
            &HostSide::quiet(),
            None,
            Shortfalls::Refuse,
        );
        let mut machine = match built {
            Err(Error::OtherHost(differences)) => {
                skip(name, &format!("{differences:?}"));
                continue;
            }
            built => built.unwrap(),
        };
        // This host may have been started since.
        let loading = Loading {
            shortfalls: Shortfalls::Accept,
            ..LOADING
        };
        let (paused, repaired) = load(&mut machine, saved.state, loading).unwrap();
        assert_eq!(repaired, 1);
        paused.go_on().unwrap();
        assert_passes(&machine);
    }
}

/// Says nothing of the host that it was made on but what its guest needs.
fn make_anonymous(saved: &mut SavedMachine) {
    fn forget_brand(cpuid: &mut [kvm_bindings::kvm_cpuid_entry2]) {
        for entry in cpuid {
            if matches!(entry.function, 0x8000_0002..=0x8000_0004) {
                (entry.eax, entry.ebx, entry.ecx, entry.edx) = (0, 0, 0, 0);
            }
        }
    }
    saved.description.blueprint.guest = "golden".to_owned();
    saved.description.needs.kernel = "6.12.0".to_owned();
    forget_brand(saved.description.needs.cpuid.as_mut_slice());
    for vcpu in &mut saved.state.vcpus {
        let KvmVcpuState { cpuid, .. } = &mut vcpu.kvm;
        forget_brand(cpuid.as_mut_slice());
    }
}

/// Writes the golden files that are not there; none is ever replaced.
#[test]
#[ignore = "writes into the source"]
fn make_the_golden_machines() {
    for (halt_in, name) in GOLDEN {
        if path(name).exists() {
            continue;
        }
        let halt = match halt_in {
            HaltIn::Kvm => Choice::Kvm,
            HaltIn::Vmm => Choice::Vmm,
        };
        let mut machine = tiny(by_hlt(), 2, halt);
        machine.start().unwrap();
        wait_until_said(&machine, 1);
        kick(&machine);
        let mut copy = Copy::of(&PausedMachine::pause(&machine));
        set_word(&copy.memory, GO_GPA, 1);
        make_anonymous(&mut copy.saved);
        let sections = copy.saved.sections().unwrap();
        assert_eq!(sections[0].label(), Label::Known(SectionKind::Machine, 0));
        write(&path(name), sections, &copy.memory, &mut |_| {}).unwrap();
    }
}
