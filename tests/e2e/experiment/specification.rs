//! What may be asked for, and what is refused before anything is made.

use guest_payload::lock::LockKind;
use vmm::lab::builtin;
use vmm_tests::command::Vmm;

use super::{Case, assert_done};

#[test]
fn what_cannot_run_is_one_line_before_anything_is_made() {
    for (spec, part) in [
        ("lock = ", "line 1"),
        ("lokc = \"tas\"", "did you mean `lock`?"),
        ("lock = []", "no values"),
        (
            "lock = [\"tas\", \"tsa\"]",
            "cell 1 (lock=tsa): guest argument `lock=tsa`",
        ),
        ("vcpus = [2, 0]", "cell 1 (vcpus=0): "),
        (
            "vcpus = [2, 300]\nlock = \"ticket\"\ntickets = \"small\"",
            "cell 1 (vcpus=300): ",
        ),
        ("pcpus = [2]", "--sched"),
        (
            "kick = \"kvm\"\nhalt = [\"kvm\", \"vmm\"]",
            "cell 1 (halt=vmm): --kick kvm --halt vmm",
        ),
        (
            "ple = [\"soft\", \"off\"]\non-spin = \"sleep\"",
            "cell 1 (ple=off): --on-spin",
        ),
        ("lock = \"tas\"\nrepetitions = 1000000", "1000000 runs"),
    ] {
        let case = Case::new("bad", spec);
        let finished = case.vmm("").finish();
        assert_eq!(finished.code, 2, "{spec}: {finished}");
        assert!(finished.one_line().contains(part), "{spec}: {finished}");
        assert!(!case.folder.path("out").exists(), "{spec}");
    }
    for (line, part) in [
        ("experiment nothing -o /tmp", "overcommit"),
        ("experiment /nowhere/x.toml -o /tmp", "cannot be read"),
        ("experiment overcommit", "--output"),
        ("experiment overcommit -o x --shard 3/2", "--shard"),
        ("experiment overcommit -o x --set lock", "FACTOR=VALUE"),
        (
            "experiment overcommit --print --set lokc=tas",
            "did you mean `lock`?",
        ),
        (
            "experiment overcommit --print --set lock=tas",
            "none of the values of `lock`",
        ),
    ] {
        let finished = Vmm::new(line).finish();
        assert_eq!(finished.code, 2, "{finished}");
        assert!(finished.one_line().contains(part), "{finished}");
    }
}

#[test]
fn the_built_in_experiments_are_listed_and_each_can_be_run() {
    let list = Vmm::new("experiment --list").finish();
    assert_done(&list);
    for builtin in builtin::ALL {
        let line = list
            .stdout
            .lines()
            .find(|line| line.starts_with(builtin.name));
        assert!(line.is_some_and(|line| line.len() > 20), "{list}");
        let printed = Vmm::new(&format!("experiment {} --print", builtin.name)).finish();
        assert_done(&printed);
        let name = format!("name = \"{}\"\n", builtin.name);
        assert!(printed.stdout.starts_with(&name), "{printed}");
    }
}

#[test]
fn a_value_with_commas_is_set_as_a_list() {
    let vmm = Vmm::new("experiment overcommit --print --set vcpus=2 --set");
    let printed = vmm.arg("topology=[\"sockets=2,cores=1\"]").finish();
    assert_done(&printed);
    assert!(
        printed
            .stdout
            .contains("topology = \"sockets=2,cores=1\"\n"),
        "{printed}"
    );
}

#[test]
fn a_word_for_a_list_is_set_as_in_the_file() {
    let printed = Vmm::new("experiment overcommit --print --set lock=every").finish();
    assert_done(&printed);
    let line = printed.stdout.lines().find(|line| line.starts_with("lock"));
    let locks = line.unwrap().matches('"').count() / 2;
    assert_eq!(locks, LockKind::ALL.len(), "{printed}");
}
