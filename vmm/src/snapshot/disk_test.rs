//! Places where no snapshot can be: one clear error, nothing changed, nothing left behind.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use super::test_machine::{
    Folder, child, child_path, fill_page, ignore, memory, open, save, sections,
};
use super::{CheckedSnapshot, Section, SectionKind, write};

const CHILD: &str = "snapshot::disk_test::child_saves_2_mib";
/// Runs what follows it with another limit or mount; `$0` is the folder.
const SHELL: [&str; 2] = ["sh", "-c"];

fn error_of_saving(path: &Path) -> String {
    let memory = memory(&[(0, 4096)]);
    save(path, &memory).unwrap_err().to_string()
}

#[test]
fn what_is_no_file_is_refused_and_stays() {
    let folder = Folder::new();
    let sub = folder.file("sub");
    fs::create_dir(&sub).unwrap();
    let socket = folder.file("socket");
    let _listener = UnixListener::bind(&socket).unwrap();
    let pipe = folder.file("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    for (path, save, open) in [
        (
            sub.as_path(),
            "is a folder; name a file in it",
            "is no regular file",
        ),
        (
            &socket,
            "is no regular file and cannot be replaced",
            "is no regular file",
        ),
        (
            &pipe,
            "is no regular file and cannot be replaced",
            "is no regular file",
        ),
        (
            Path::new("/dev/null"),
            "is no regular file and cannot",
            "is no regular file",
        ),
        (Path::new("/"), "is a folder", "is no regular file"),
        (
            &folder.file("no/file"),
            "no; make it first",
            "cannot be opened",
        ),
        (
            &folder.file("socket/file"),
            "socket; make it first",
            "cannot be opened",
        ),
    ] {
        let text = error_of_saving(path);
        assert!(text.starts_with(path.to_str().unwrap()), "{text}");
        assert!(text.contains(save), "{text}");
        let text = CheckedSnapshot::open(path).unwrap_err().to_string();
        assert!(text.starts_with(path.to_str().unwrap()), "{text}");
        assert!(text.contains(open), "{text}");
    }
    assert_eq!(folder.names(), ["pipe", "socket", "sub"]);
}

#[test]
fn a_link_stays_and_its_target_is_replaced() {
    let folder = Folder::new();
    let (link, target) = (folder.file("link"), folder.file("target"));
    fs::write(&target, "old").unwrap();
    symlink(&target, &link).unwrap();
    save(&link, &memory(&[(0, 4096)])).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    open(&target);
}

#[test]
fn only_the_owner_may_read_a_new_snapshot_and_an_old_one_keeps_its_mode() {
    let folder = Folder::new();
    let path = folder.file("snapshot.vmm");
    let mode = || path.metadata().unwrap().permissions().mode() & 0o777;
    save(&path, &memory(&[(0, 4096)])).unwrap();
    assert_eq!(mode(), 0o600);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    save(&path, &memory(&[(0, 4096)])).unwrap();
    assert_eq!(mode(), 0o640);
}

#[test]
fn the_longest_name_is_good_enough() {
    let folder = Folder::new();
    save(&folder.file(&"n".repeat(255)), &memory(&[(0, 4096)])).unwrap();
    let text = error_of_saving(&folder.file(&"n".repeat(256)));
    assert!(text.contains("cannot be written"), "{text}");
    assert_eq!(folder.names().len(), 1);
}

#[test]
fn what_a_killed_writer_left_is_in_nobodys_way() {
    let folder = Folder::new();
    let left = format!(".snapshot.vmm.{}-0.tmp", std::process::id());
    fs::write(folder.file(&left), "left").unwrap();
    save(&folder.file("snapshot.vmm"), &memory(&[(0, 4096)])).unwrap();
    assert_eq!(folder.names(), [left.as_str(), "snapshot.vmm"]);
}

#[test]
fn state_that_no_reader_would_take_is_not_written() {
    let folder = Folder::new();
    let path = folder.file("snapshot.vmm");
    let memory = memory(&[(0, 4096)]);
    let twice = vec![sections().remove(0), sections().remove(0)];
    let map = vec![Section::new(SectionKind::MemoryMap, 0, Vec::new())];
    let large = vec![Section::new(
        SectionKind::Devices,
        0,
        vec![0; (16 << 20) + 1],
    )];
    let many = (0..9000).map(|index| Section::new(SectionKind::Vcpu, index, Vec::new()));
    for (sections, cause) in [
        (twice, "there is machine twice"),
        (map, "there is memory map twice"),
        (large, "the state of devices has 16777217 bytes"),
        (many.collect(), "9001 sections are more than"),
    ] {
        let text = write(&path, sections, &memory, &mut ignore)
            .unwrap_err()
            .to_string();
        assert!(text.contains(cause), "{text}");
    }
    assert!(folder.names().is_empty());
}

/// Run by the tests below; alone it does nothing.
#[test]
fn child_saves_2_mib() {
    let Some(path) = child_path() else { return };
    let memory = memory(&[(0, 2 << 20)]);
    for gpa in (0..2 << 20).step_by(4096) {
        fill_page(&memory, gpa, 1);
    }
    match save(&path, &memory) {
        Ok(_) => println!("RESULT: saved"),
        Err(error) => {
            use std::error::Error;
            println!("RESULT: {error}: {}", error.source().unwrap());
        }
    }
    let names = fs::read_dir(path.parent().unwrap()).unwrap();
    for entry in names {
        println!("NAME: {}", entry.unwrap().file_name().display());
    }
    println!("OLD: {:?}", fs::read_to_string(&path).unwrap());
}

/// What the child says when it saves over an old file in `folder`, after `script`, or why it
/// cannot run.
fn child_after(before: &[&str], script: &str, folder: &Folder) -> Result<String, String> {
    let path = folder.file("snapshot.vmm");
    let script = format!(
        "set -e; cd '{}'; {script}; exec \"$0\" \"$@\"",
        folder.file("").display()
    );
    let before: Vec<_> = before
        .iter()
        .copied()
        .chain(SHELL)
        .chain([script.as_str()])
        .collect();
    let output = child(&before, CHILD, &path).output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if stdout.contains("RESULT: ") {
        Ok(stdout)
    } else {
        Err(format!(
            "{stdout}{}",
            String::from_utf8_lossy(&output.stderr)
        ))
    }
}

const NAMESPACE: [&str; 4] = ["unshare", "--user", "--map-root-user", "--mount"];

#[test]
fn a_file_larger_than_the_limit_is_an_error_and_not_the_end() {
    let folder = Folder::new();
    // In blocks of 512 bytes.
    let text = child_after(&[], "printf old > snapshot.vmm; ulimit -f 1000", &folder).unwrap();
    assert!(
        text.contains("is not allowed here; raise `ulimit -f`"),
        "{text}"
    );
    assert!(text.contains("File too large"), "{text}");
    assert!(text.contains("OLD: \"old\""), "{text}");
    assert_eq!(folder.names(), ["snapshot.vmm"]);
}

#[test]
fn a_full_disk_is_an_error_and_the_old_file_stays() {
    let folder = Folder::new();
    // The mount's folder is entered again, since the shell was in it before.
    let script = "mount -t tmpfs -o size=1m tmpfs .; cd \"$PWD\"; printf old > snapshot.vmm";
    match child_after(&NAMESPACE, script, &folder) {
        Err(why) => eprintln!("skipped: no mount namespace here: {why}"),
        Ok(text) => {
            assert!(text.contains("there is no room in "), "{text}");
            assert!(text.contains("No space left on device"), "{text}");
            assert!(text.contains("OLD: \"old\""), "{text}");
            assert_eq!(text.matches("NAME: ").count(), 1, "{text}");
        }
    }
}

#[test]
fn a_folder_that_takes_no_file_is_an_error_and_the_old_file_stays() {
    let folder = Folder::new();
    let script = "mount -t tmpfs tmpfs .; cd \"$PWD\"; printf old > snapshot.vmm; \
                  mount -o remount,ro .";
    match child_after(&NAMESPACE, script, &folder) {
        Err(why) => eprintln!("skipped: no mount namespace here: {why}"),
        Ok(text) => {
            assert!(
                text.contains("does not let this user put a file there"),
                "{text}"
            );
            assert!(text.contains("Read-only file system"), "{text}");
            assert!(text.contains("OLD: \"old\""), "{text}");
            assert_eq!(text.matches("NAME: ").count(), 1, "{text}");
        }
    }
}
