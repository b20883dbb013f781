//! Machines that are saved and go on.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use vmm_tests::command::{Folder, binary, wait};

use super::{GOLDEN, Running, assert_passes, golden_fits, inspect, restore};

#[test]
fn a_machine_is_saved_and_both_it_and_its_copies_pass() {
    let folder = Folder::new("saved");
    for halt in ["kvm", "vmm"] {
        for ring in [0, 3] {
            let file = folder.path(&format!("{halt}{ring}.snap"));
            let source = Running::paused(&folder, halt, ring);
            let saved = source.snapshot(&file);
            assert_eq!(saved.code, 0, "{saved}");
            assert!(saved.stdout.starts_with("SAVED "), "{saved}");
            assert_eq!(source.status()["state"], "paused");
            // Once more, while it runs.
            source.ok("resume");
            let again = source.snapshot(&file);
            assert_eq!(again.code, 0, "{again}");
            source.passes();
            let seen = inspect(&file);
            assert_eq!(seen["machine"]["halt"], halt);
            assert_eq!(seen["vcpus"].as_array().unwrap().len(), 3);
            assert_eq!(seen["memory"]["checked"], "good");
            assert_passes(&restore(&file).finish());
        }
    }
}

#[test]
fn a_machine_restored_paused_is_as_it_was_until_it_is_told_to_go_on() {
    let folder = Folder::new("restored-paused");
    let (first, second) = (folder.path("first.snap"), folder.path("second.snap"));
    let source = Running::paused(&folder, "kvm", 3);
    assert_eq!(source.snapshot(&first).code, 0);
    source.ok("stop");
    let socket = folder.path("there.sock");
    let vmm = restore(&first).words("--paused --api").arg(&socket);
    let restored = Running::start(&vmm, socket);
    let status = restored.status();
    assert_eq!(status["state"], "paused");
    let hidden = inspect(&first)["hidden_kicks"].clone();
    assert_eq!(status["kicks_repaired"], hidden);

    assert_eq!(restored.snapshot(&second).code, 0);
    let [mut one, mut other] = [&first, &second].map(|file| inspect(file));
    for seen in [&mut one, &mut other] {
        seen["file"] = Value::Null;
        // KVM writes into the guest's kvmclock pages while it takes its MSRs.
        let sections = seen["sections"].as_array_mut().unwrap();
        sections.retain(|section| section["name"] != "memory map");
        assert_eq!(sections.len(), 4 + 3);
    }
    assert_eq!(one, other);
    assert_eq!(restored.status()["payload"], status["payload"]);
    restored.ok("resume");
    restored.passes();
}

#[test]
fn a_hidden_kick_is_shown_and_repaired_and_without_repair_the_guest_hangs() {
    let seen = inspect(Path::new(GOLDEN));
    assert_eq!(seen["hidden_kicks"], 1);
    assert_eq!(seen["vcpus"][0]["mp_state"], "runnable");
    assert_eq!(seen["vcpus"][0]["hidden_kick"], true);
    assert_eq!(seen["vcpus"][1]["state"], "waiting-for-sipi");
    if !golden_fits() {
        return;
    }
    for golden in [GOLDEN.to_owned(), GOLDEN.replace("v1", "v1-halt-vmm")] {
        let done = restore(Path::new(&golden)).words("--force").finish();
        assert_eq!(done.code, 0, "{done}");
        let run = restore(Path::new(&golden))
            .words("--force --no-repair")
            .report();
        run.ended("hung", 1);
        let lost = run.at("/hang/vcpus/0");
        assert_eq!(lost["activity"], "halted", "{}", run.finished);
        assert_eq!(lost["pv_unhalted"], false);
    }
}

#[test]
fn a_snapshot_that_cannot_be_written_leaves_the_machine_running() {
    let folder = Folder::new("no-room");
    let socket = folder.path("full.sock");
    // The file's limit is the disk's end.
    let child = Command::new("sh")
        .args(["-c", "ulimit -f 64 && exec \"$0\" \"$@\""])
        .arg(binary())
        .args(["run", "--vcpus", "2", "--memory", "16M", "--api"])
        .arg(&socket)
        .args([
            "--",
            "ring=3",
            "seconds=4",
            "threshold=1",
            "io=4",
            "clocks=on",
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let source = Running::answering(child, socket, "vmm run, little room".to_owned());
    for (file, says) in [
        (folder.path("full.snap"), "File too large"),
        (folder.path(""), "vmm-no-room"),
        (folder.path("no/folder.snap"), "folder"),
        ("/proc/snapshot".into(), "/proc"),
        ("/dev/null".into(), "/dev/null"),
    ] {
        let refused = source.snapshot(&file);
        assert_eq!(refused.code, 1, "{refused}");
        assert!(refused.one_line().contains(says), "{refused}");
        assert_eq!(source.status()["state"], "running");
    }
    let left: Vec<_> = folder.content().into_iter().map(|(name, _)| name).collect();
    assert_eq!(left, ["full.sock"]);
    source.passes();
}

#[test]
fn a_relative_path_is_where_the_command_was_given() {
    let folder = Folder::new("relative");
    let source = Running::paused(&folder, "vmm", 3);
    let status = Command::new(binary())
        .current_dir(folder.path(""))
        .args(["snapshot", "here.snap", "--stop", "--api"])
        .arg(&source.socket)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    let stopped = wait(source.child, source.line);
    assert!(stopped.stdout.contains("STOPPED over the API"), "{stopped}");
    assert_passes(&restore(&folder.path("here.snap")).finish());
}
