//! Words of the command line that cannot be.

use vmm_tests::command::{Folder, Vmm, skip};
use vmm_tests::elf::Elf;

use super::{HOST, USAGE, assert_refused, refuse};

#[test]
fn values_that_cannot_be() {
    let folder = Folder::new("values");
    let most = most_vcpus();
    let too_many = format!("--vcpus {}", most + 1);
    let rows = [
        ("--vcpus 0", "'--vcpus <N>'"),
        ("--vcpus -1", "'--vcpus <N>'"),
        ("--vcpus four", "'--vcpus <N>'"),
        ("--vcpus 4294967296", "'--vcpus <N>'"),
        ("--vcpus 4294967295 -- lock=tas", "KVM allows"),
        (&too_many, "KVM allows"),
        ("--memory 0", "the least is 2M"),
        ("--memory 1M", "the least is 2M"),
        ("--memory -1", "'--memory <SIZE>'"),
        ("--memory lots", "is not a size"),
        ("--memory 12X", "is not a size"),
        ("--memory 3000001", "not a multiple of the page size"),
        ("--memory 99999999999G", "is not a size"),
        (
            "--topology sockets=2,cores=2,threads=1 --vcpus 3",
            "= 4, but",
        ),
        ("--topology sockets=0,cores=2,threads=1", "sockets=0"),
        ("--topology sockets=2,boxes=2", "unknown key `boxes`"),
        ("--topology 4", "not `key=value`"),
        ("--topology sockets=65536,cores=65536,threads=2", "32 bits"),
        ("--kick both", "[possible values: auto, kvm, vmm]"),
        ("--halt both", "[possible values: auto, kvm, vmm]"),
        ("--pv-unhalt maybe", "[possible values: on, off]"),
        ("--halt-poll-ns x", "'--halt-poll-ns <N>'"),
        ("--disable-exits all", "[possible values: "),
        ("--timeout 0", "above 0"),
        ("--timeout -1", "--timeout"),
        ("--timeout soon", "not a number of seconds"),
        ("--timeout NaN", "above 0"),
        ("--cpus x", "is not a list of host CPUs"),
        ("--cpus 1000", "1000 is no host CPU that"),
        ("--cpus 0,1001", "1001 is no host CPU that"),
        ("--cpus 99999999", "is not a list of host CPUs"),
        ("--drop-kick 0", "'--drop-kick <K>'"),
        ("--fast", "unexpected argument '--fast'"),
        ("a b", "unexpected argument 'b'"),
        ("--kick kvm --halt vmm", "wakes nobody"),
        (
            "--kick kvm --halt kvm --drop-kick 1",
            "--drop-kick needs --kick vmm",
        ),
        (
            "--topology sockets=5,cores=5,threads=5 -- apic=xapic",
            "xAPIC mode ends at 254",
        ),
        ("-- lock=fair", "expected lock="),
        ("-- ring=1", "expected ring="),
        ("-- tickets=9", "expected tickets="),
        ("-- seconds=-1", "expected seconds="),
        ("-- threshold=0", "expected threshold="),
        ("-- locks=0", "expected locks="),
        ("-- speed=1", "`speed=1`: expected one of lock,"),
        ("--vcpus 129 -- lock=pv-ticket tickets=small", "at most 128"),
        (
            "--vcpus 129 -- lock=pv-ticket-head tickets=small",
            "at most 128",
        ),
        ("--vcpus 257 -- lock=ticket tickets=small", "at most 256"),
    ];
    for (line, part) in rows {
        refuse(&folder, &Vmm::run(line), USAGE, part);
    }
}

/// KVM's limit, from the refusal of far too many.
fn most_vcpus() -> u32 {
    let refused = Vmm::run("--vcpus 60000 -- lock=tas").finish();
    let line = refused.one_line();
    let most = line.split("KVM allows ").nth(1).unwrap();
    most.split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn files_that_cannot_be_made() {
    let folder = Folder::new("files");
    for option in ["--json", "--serial"] {
        for path in [folder.path("no/report"), folder.path("")] {
            let vmm = Vmm::run("--timeout 5").arg(option).arg(path);
            refuse(&folder, &vmm, USAGE, "");
        }
    }
}

#[test]
fn a_kick_without_a_way_to_the_vmm() {
    let folder = Folder::new("stubless");
    let guest = folder.file("guest", &Elf::guest(b"\xf4").bytes());
    for switches in [
        "--kick vmm",
        "--drop-kick 1",
        "--kick auto --drop-kick 2 --halt vmm",
    ] {
        refuse(
            &folder,
            &Vmm::run(switches).arg(&guest),
            USAGE,
            "no stub page",
        );
    }
}

#[test]
fn a_kick_by_kvm_where_vmcall_does_not_complete() {
    let folder = Folder::new("vmcall");
    let vmm = Vmm::run("--kick kvm -- seconds=0");
    let tried = vmm.finish();
    if tried.code == 0 {
        skip("--kick kvm refused", "vmcall completes on this host");
        return;
    }
    refuse(&folder, &vmm, HOST, "vmcall never completes");
}

#[test]
fn no_command_and_unknown_commands() {
    let bare = Vmm::new("").finish();
    assert_eq!((bare.code, bare.stdout.as_str()), (USAGE, ""));
    assert!(bare.stderr.contains("Usage: vmm"), "{bare}");
    assert_refused(&Vmm::new("fly").finish(), USAGE, "'fly'");
}
