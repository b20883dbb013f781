//! Bad input: one clear line, exit code 2 or 3, nothing on standard output, nothing left behind.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;
use std::process::{Command, Stdio};

use guest_payload::IMAGE;
use vmm::boot::{Image, elf};
use vmm_tests::command::{Finished, Folder, Vmm, binary, skip, wait};
use vmm_tests::elf::{CODE_GPA, Elf};
use vmm_tests::multiboot;

const USAGE: i32 = 2;
const HOST: i32 = 3;

/// The line that `vmm` was refused with; `part` says what it has to name.
fn assert_refused(refused: &Finished, code: i32, part: &str) {
    assert_eq!(refused.code, code, "{refused}");
    assert_eq!(refused.stdout, "", "{refused}");
    let line = refused.one_line();
    assert!(line.starts_with("vmm: "), "{refused}");
    assert!(line.contains(part), "no `{part}` in {refused}");
}

/// The same, run in a folder that is afterwards what it was before.
fn refuse(folder: &Folder, vmm: &Vmm, code: i32, part: &str) {
    let before = folder.content();
    assert_refused(&vmm.finish(), code, part);
    assert_eq!(folder.content(), before, "{}", vmm.line());
}

#[test]
fn files_that_are_no_guest() {
    let folder = Folder::new("no-guest");
    let good = || Elf::guest(b"\xf4");
    let change = |change: fn(&mut Elf)| {
        let mut elf = good();
        change(&mut elf);
        elf.bytes()
    };
    let high = good().segment(1 << 40, b"x", 1).bytes();
    let hole = good().segment(0xfee0_0000, b"x", 1).bytes();
    let rows: [(&str, Vec<u8>, &str); 15] = [
        ("script", b"#!/bin/sh\n".to_vec(), "not an ELF file"),
        ("empty", Vec::new(), "not an ELF file"),
        ("bits", change(|elf| elf.class = 1), "a 32-bit ELF"),
        ("arm", change(|elf| elf.machine = 183), "machine 183"),
        ("notes", change(|elf| elf.notes.clear()), "no PVH entry"),
        ("magic", IMAGE[..4].to_vec(), "truncated"),
        ("header", IMAGE[..63].to_vec(), "truncated"),
        ("headers", IMAGE[..100].to_vec(), "truncated"),
        ("half", IMAGE[..IMAGE.len() / 2].to_vec(), "truncated"),
        ("last", IMAGE[..IMAGE.len() - 1].to_vec(), "truncated"),
        (
            "overlap",
            good().segment(CODE_GPA + 8, b"x", 8).bytes(),
            "overlap",
        ),
        ("outside", high, "outside guest memory"),
        ("hole", hole, "outside guest memory"),
        (
            "boot",
            good().segment(0x6000, b"x", 8).bytes(),
            "the PVH start info",
        ),
        ("stub", good().stub_page(0x7000_0000).bytes(), "stub page"),
    ];
    for (name, content, part) in rows {
        let path = folder.file(name, &content);
        refuse(&folder, &Vmm::run("--timeout 5").arg(&path), USAGE, part);
    }
    let missing = Vmm::run("").arg(folder.path("nobody"));
    refuse(&folder, &missing, USAGE, "No such file");
    refuse(
        &folder,
        &Vmm::run("").arg(folder.path("")),
        USAGE,
        "cannot read the guest",
    );
    // The second has no end.
    for device in ["/dev/null", "/dev/zero"] {
        let vmm = Vmm::run(device).within_mib(400);
        refuse(&folder, &vmm, USAGE, "not an ELF file");
    }
    // The reason once.
    let script = Vmm::run("").arg(folder.path("script")).finish();
    assert_eq!(script.stderr.matches("ELF").count(), 1, "{script}");
}

/// A bzImage of protocol 2.15 with nothing in it, which takes memory up to 24 MiB.
fn bzimage() -> Vec<u8> {
    let mut bytes = vec![0; 0x2000];
    let fields: [(usize, &[u8]); 11] = [
        (0x1f1, b"\x01"),
        (0x1f4, b"\xc0\x01"),
        (0x1fe, b"\x55\xaa\xeb\x6aHdrS\x0f\x02"),
        (0x211, b"\x01"),
        (0x214, b"\0\0\x10\0"),
        (0x22c, b"\xff\xff\xff\x7f"),
        (0x230, b"\0\0\x20\0\x01"),
        (0x236, b"\x01"),
        (0x238, b"\xff\x07"),
        (0x258, b"\0\0\0\x01"),
        (0x260, b"\0\0\x80\0"),
    ];
    for (at, field) in fields {
        bytes[at..at + field.len()].copy_from_slice(field);
    }
    bytes
}

#[test]
fn foreign_images_that_cannot_be_started() {
    let folder = Folder::new("foreign");
    let with = |at: usize, field: &[u8]| {
        let mut bytes = bzimage();
        bytes[at..at + field.len()].copy_from_slice(field);
        bytes
    };
    let zeros = |at: usize, magic: &[u8]| {
        let mut bytes = vec![0; 100];
        bytes[at..at + magic.len()].copy_from_slice(magic);
        bytes
    };
    let multiboot = |flags| multiboot::elf(b"\xf4", flags);
    let cut = multiboot(0);
    let mut other_machine = multiboot(0);
    other_machine[18] = 40;
    let rows: [(&str, Vec<u8>, &str); 11] = [
        ("gz", zeros(0, b"\x1f\x8b"), "gzip data"),
        ("arm64", zeros(0x38, b"ARM\x64"), "for arm64"),
        (
            "cut",
            bzimage()[..0x1fff].to_vec(),
            "truncated: the bzImage",
        ),
        ("old", with(0x206, &[9]), "boot protocol 2.09"),
        ("32", with(0x236, &[0]), "a 32-bit kernel"),
        ("low", with(0x211, &[0]), "a zImage"),
        ("odd", with(0x230, &[3]), "kernel_alignment"),
        ("large", with(0x260, &[0; 3]), "outside guest memory"),
        ("flags", multiboot(1 << 3), "features 0x8"),
        ("machine", other_machine, "machine 40"),
        (
            "half",
            cut[..cut.len() - 1].to_vec(),
            "truncated: the multiboot",
        ),
    ];
    for (name, mut content, part) in rows {
        if name == "large" {
            content[0x263] = 0x10;
        }
        let path = folder.file(name, &content);
        let vmm = Vmm::run("--timeout 5 --memory 32M").arg(&path);
        refuse(&folder, &vmm, USAGE, part);
    }
}

#[test]
fn initrds_and_command_lines_that_do_not_fit() {
    let folder = Folder::new("initrd");
    let kernel = folder.file("bzImage", &bzimage());
    let run = || Vmm::run("--timeout 5 --memory 32M").arg(&kernel);
    let large = folder.file("large", &vec![0; (8 << 20) + 1]);
    let larger = folder.file("larger", &vec![0; (32 << 20) + 1]);
    for (path, part) in [
        (folder.path("nobody"), "cannot read the initrd"),
        (large, "the initrd of 8392704 bytes does not fit"),
        (larger, "larger than the guest's memory"),
        ("/dev/zero".into(), "larger than the guest's memory"),
    ] {
        refuse(&folder, &run().arg("--initrd").arg(path), USAGE, part);
    }
    let long = run().arg("--cmdline").arg("a".repeat(2048));
    refuse(&folder, &long, USAGE, "2047 are the most");
}

#[test]
fn the_payload_cut_anywhere_is_refused() {
    assert!(elf::Image::check(IMAGE).is_ok());
    for length in 0..IMAGE.len() {
        let refused = elf::Image::check(&IMAGE[..length]);
        assert!(refused.is_err(), "cut at {length}");
    }
}

proptest::proptest! {
    #[test]
    fn the_payload_with_wrong_headers_is_refused_or_fits(at in 0_usize..176, byte: u8) {
        let mut bytes = IMAGE.to_vec();
        bytes[at] = byte;
        if let Ok(image) = Image::identify(&bytes)
            && image.check_fits(128 << 20).is_ok()
        {
            for segment in image.segments() {
                proptest::prop_assert!(segment.file.end <= bytes.len());
                proptest::prop_assert!(segment.end() <= 128 << 20);
            }
        }
    }
}

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
fn memory_that_does_not_hold_the_guest() {
    let folder = Folder::new("memory");
    let guest = folder.file(
        "guest",
        &Elf::guest(b"\xf4").segment(8 << 20, b"x", 4096).bytes(),
    );
    for memory in ["2M", "8M"] {
        let vmm = Vmm::run("--memory").arg(memory).arg(&guest);
        refuse(&folder, &vmm, USAGE, "with --memory");
    }
    // The host's limit: nothing of the serial port's file before it is known.
    let serial = folder.file("serial", b"of yesterday");
    let vmm = Vmm::run("--memory 65536G --serial").arg(&serial);
    refuse(&folder, &vmm, HOST, "guest memory");
}

#[test]
fn command_lines_that_are_too_long() {
    let folder = Folder::new("long");
    let guest = folder.file("guest", &Elf::guest(b"\xf4").bytes());
    let vmm = Vmm::run("--timeout 5")
        .arg(guest)
        .arg("--")
        .arg("x".repeat(66_000));
    refuse(&folder, &vmm, USAGE, "command line");
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

/// Runs a command whose last argument is a script for `sh`, in which `$0` is `vmm`.
fn shell(command: &[&str]) -> Finished {
    let (first, rest) = command.split_first().unwrap();
    let mut started = Command::new(first);
    started
        .args(rest)
        .arg(binary())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    wait(started.spawn().unwrap(), command.join(" "))
}

#[test]
fn a_host_without_kvm() {
    let may = Command::new("unshare")
        .args([
            "--mount",
            "--map-root-user",
            "--",
            "mount",
            "--bind",
            "/dev/null",
            "/dev/kvm",
        ])
        .output();
    match may {
        Ok(output) if output.status.success() => {}
        _ => return skip("a host without KVM", "this user may not unshare mounts"),
    }
    for (prepare, part) in [
        ("mount --bind /dev/null /dev/kvm", "/dev/kvm"),
        ("mount -t tmpfs none /dev", "/dev/kvm does not exist"),
    ] {
        let script = format!("{prepare} && exec \"$0\" run --timeout 5");
        let refused = shell(&["unshare", "--mount", "--map-root-user", "sh", "-c", &script]);
        assert_refused(&refused, HOST, part);
    }
}

#[test]
fn a_kvm_that_is_closed_to_the_user() {
    let nobody = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
    ];
    let may = Command::new(nobody[0])
        .args(&nobody[1..])
        .args(["test", "!", "-w", "/dev/kvm", "-a", "-x"])
        .arg(binary())
        .status();
    if !may.is_ok_and(|status| status.success()) {
        return skip(
            "a closed /dev/kvm",
            "this user cannot become one who may not open it",
        );
    }
    let script = "exec \"$0\" run --timeout 5";
    let refused = shell(&[&nobody[..], &["sh", "-c", script]].concat());
    assert_refused(&refused, HOST, "/dev/kvm");
}

#[test]
fn output_that_nobody_reads() {
    let run = "run --vcpus 1 --timeout 20";
    let payload = "-- seconds=0.05 ring=3";
    // `finish` checks that nothing panics; the guest's verdict stays the exit code.
    for (line, code) in [
        (format!("{run} {payload} >&-"), 0),
        (format!("{run} --json - {payload} >&-"), 0),
        (format!("{run} --json - {payload} 2>&-"), 0),
        ("run --vcpus 0 2>&-".to_owned(), USAGE),
    ] {
        let ended = shell(&["sh", "-c", &format!("exec \"$0\" {line}")]);
        assert_eq!(ended.code, code, "{ended}");
    }
    for line in [
        &format!("{run} {payload}"),
        &format!("{run} --json - {payload}"),
        &format!("{run} --json - {payload} 2>&1"),
        "--help",
        "run --help",
    ] {
        // The exit code goes around the pipe.
        let script = format!("{{ \"$0\" {line}; echo code $? >&3; }} 3>&2 | true");
        let ended = shell(&["sh", "-c", &script]);
        assert!(ended.stderr.ends_with("code 0\n"), "{ended}");
    }
    assert!(Path::new("/dev/full").exists());
    let full = shell(&[
        "sh",
        "-c",
        &format!("exec \"$0\" {run} {payload} >/dev/full"),
    ]);
    assert_refused(&full, HOST, "standard output");
}
