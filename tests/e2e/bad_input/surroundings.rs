//! Hosts without KVM, and nobody who reads.

use std::path::Path;
use std::process::{Command, Stdio};

use vmm_tests::command::{Finished, binary, skip, wait};

use super::{HOST, USAGE, assert_refused};

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
