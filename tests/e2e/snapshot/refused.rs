//! Files that are damaged, and hosts that lack something.

use std::fs;
use std::path::Path;

use vmm::machine::saved::SavedMachine;
use vmm::snapshot::{CheckedSnapshot, write};
use vmm_tests::command::{Folder, Vmm};

use super::{GOLDEN, golden_fits, restore};

/// What is no snapshot, or a bad one: name, content, exit code of `inspect`, what it says.
fn bad_files(good: &[u8]) -> Vec<(&'static str, Vec<u8>, i32, &'static str)> {
    let changed = |at: usize| {
        let mut bytes = good.to_vec();
        bytes[at] ^= 1;
        bytes
    };
    let with_header = |at: usize, value: u32| {
        let mut bytes = good.to_vec();
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..60]);
        bytes[60..64].copy_from_slice(&crc.to_le_bytes());
        bytes
    };
    let table = |at: usize, value: u32| {
        let mut bytes = good.to_vec();
        bytes[64 + at..64 + at + 4].copy_from_slice(&value.to_le_bytes());
        let sections = u32::from_le_bytes(bytes[16..20].try_into().unwrap()) as usize;
        let crc = crc32fast::hash(&bytes[64..64 + 40 * sections]);
        bytes[20..24].copy_from_slice(&crc.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..60]);
        bytes[60..64].copy_from_slice(&crc.to_le_bytes());
        bytes
    };
    let first_section = 64 + 40 * u32::from_le_bytes(good[16..20].try_into().unwrap()) as usize;
    vec![
        ("empty", Vec::new(), 2, "is 0 bytes long"),
        ("text", vec![b'a'; 5000], 2, "is no snapshot of vmm"),
        (
            "truncated",
            good[..good.len() - 4096].to_vec(),
            1,
            "was cut off",
        ),
        ("header", changed(17), 1, "header: CRC"),
        ("table", changed(70), 1, "table of sections: CRC"),
        (
            "section",
            changed(first_section + 3),
            1,
            "section 0 (machine): CRC",
        ),
        ("newer", with_header(8, 2), 2, "format version 2"),
        ("newer-section", table(8, 7), 2, "has version 7"),
        (
            "unknown-section",
            table(0, 77),
            2,
            "section 77 is not known",
        ),
    ]
}

#[test]
fn what_is_no_good_snapshot_is_refused_in_one_line() {
    let folder = Folder::new("bad-snapshots");
    let good = fs::read(GOLDEN).unwrap();
    for (name, content, code, says) in bad_files(&good) {
        let file = folder.file(name, &content);
        for (done, code) in [
            (restore(&file).finish(), 2),
            (Vmm::new("inspect").arg(&file).finish(), code),
            (
                Vmm::new("inspect --json --verify").arg(&file).finish(),
                code,
            ),
        ] {
            assert_eq!(done.code, code, "{name}: {done}");
            let line = done.one_line();
            assert!(line.contains(name) && line.contains(says), "{name}: {line}");
            assert_eq!(done.stdout, "", "{done}");
        }
    }
    for (path, says) in [
        (folder.path("nobody"), "No such file"),
        (folder.path(""), "is no regular file"),
        ("/dev/zero".into(), "is no regular file"),
    ] {
        for command in ["restore", "inspect"] {
            let done = Vmm::new(command).arg(&path).finish();
            assert_eq!(done.code, 2, "{done}");
            assert!(done.one_line().contains(says), "{done}");
        }
    }
}

#[test]
fn damaged_memory_is_found_by_verify_alone() {
    let folder = Folder::new("damaged-memory");
    let mut bytes = fs::read(GOLDEN).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let file = folder.file("damaged.snap", &bytes);
    let done = Vmm::new("inspect").arg(&file).finish();
    assert_eq!(done.code, 0, "{done}");
    assert!(done.stdout.contains("memory was not read"), "{done}");
    let done = Vmm::new("inspect --verify").arg(&file).finish();
    assert_eq!(done.code, 1, "{done}");
    assert!(done.stdout.starts_with("DAMAGED"), "{done}");
    assert!(done.one_line().contains("memory at 0x1"), "{done}");
    let done = Vmm::new("inspect --verify").arg(GOLDEN).finish();
    assert_eq!(done.code, 0, "{done}");
    assert!(done.stdout.starts_with("GOOD: every byte"), "{done}");
}

/// The golden machine, changed, under another name.
fn rewritten(file: &Path, change: impl Fn(&mut SavedMachine)) {
    let snapshot = CheckedSnapshot::open(Path::new(GOLDEN)).unwrap();
    let mut saved = SavedMachine::read(&snapshot).unwrap();
    change(&mut saved);
    let memory = snapshot.map_memory().unwrap();
    write(file, saved.sections().unwrap(), &memory, &mut |_| {}).unwrap();
}

#[test]
fn a_host_that_lacks_something_is_told_what_and_force_goes_on() {
    if !golden_fits() {
        return;
    }
    let folder = Folder::new("other-host");
    let file = folder.path("other.snap");
    rewritten(&file, |saved| {
        let needs = saved.description.needs.cpuid.as_mut_slice();
        // No CPU has every feature that this register has room for.
        let leaf = needs
            .iter_mut()
            .find(|entry| (entry.function, entry.index) == (7, 0));
        leaf.unwrap().edx = u32::MAX;
    });
    let done = restore(&file).finish();
    assert_eq!(done.code, 3, "{done}");
    let lines: Vec<_> = done.stderr.lines().collect();
    assert!(lines[0].contains("this host lacks what the guest was shown; --force"));
    assert!(
        lines[1].starts_with("  CPUID 0x7.0 EDX bit ") && lines.len() > 2,
        "{done}"
    );
    let done = restore(&file).words("--force").finish();
    assert_eq!(done.code, 0, "{done}");
}

#[test]
fn a_machine_that_cannot_be_is_the_files_fault() {
    let folder = Folder::new("absurd");
    type Change = fn(&mut SavedMachine);
    let cases: [(&str, Change); 4] = [
        ("vcpu 2", |it| it.description.blueprint.cores = 1 << 30),
        ("topology", |it| it.description.blueprint.cores = 0),
        ("memory", |it| it.description.blueprint.memory_bytes = 0),
        ("memory", |it| {
            it.description.blueprint.memory_bytes = 1 << 40
        }),
    ];
    for (at, (says, change)) in cases.into_iter().enumerate() {
        let file = folder.path(&format!("{at}.snap"));
        rewritten(&file, |saved| {
            change(saved);
            if at == 1 {
                saved.state.vcpus.clear();
            }
        });
        let done = restore(&file).within_mib(1024).finish();
        assert_eq!(done.code, 2, "{done}");
        assert!(done.one_line().contains(says), "{says}: {done}");
        let done = Vmm::new("inspect").arg(&file).finish();
        assert_eq!(done.code, 1, "{done}");
    }
}
