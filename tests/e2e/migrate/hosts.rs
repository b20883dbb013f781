//! A host that lacks what the guest was shown.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;
use std::thread;

use vmm::host::Kind;
use vmm::machine::saved::Description;
use vmm_tests::command::{Vmm, skip};
use vmm_tests::process::{Process, assert_only_one_runs};
use vmm_tests::proxy::{Frame, HEADER_BYTES};

use super::{Pair, assert_empty, refused, whole};

/// Hands the frames up to the target's judgement to and fro, with the description changed.
fn change_description(front: &UnixListener, back: &Path, change: impl Fn(&mut Description)) {
    let (mut source, _) = front.accept().unwrap();
    let mut target = UnixStream::connect(back).unwrap();
    let hello = frame(&mut source);
    target.write_all(&hello).unwrap();
    let welcome = frame(&mut target);
    source.write_all(&welcome).unwrap();
    let mut machine = frame(&mut source);
    assert_eq!(word(&machine, 0), Frame::Machine as u32);
    // Rounds, verify, number of regions, first page and number of pages of each.
    let regions = word(&machine, HEADER_BYTES + 8);
    let at = HEADER_BYTES + 12 + 16 * usize::try_from(regions).unwrap();
    let mut description = postcard::from_bytes(&machine[at..]).unwrap();
    change(&mut description);
    machine.truncate(at);
    machine.extend(postcard::to_stdvec(&description).unwrap());
    let body = u32::try_from(machine.len() - HEADER_BYTES).unwrap();
    machine[4..8].copy_from_slice(&body.to_le_bytes());
    let mut crc = crc32fast::Hasher::new();
    crc.update(&machine[..8]);
    crc.update(&machine[HEADER_BYTES..]);
    machine[8..12].copy_from_slice(&crc.finalize().to_le_bytes());
    target.write_all(&machine).unwrap();
    let judgement = frame(&mut target);
    source.write_all(&judgement).unwrap();
    // Whatever else is said, until both have hung up.
    let _ = std::io::copy(&mut source, &mut target);
}

fn word(frame: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(frame[at..at + 4].try_into().unwrap())
}

fn frame(stream: &mut UnixStream) -> Vec<u8> {
    let mut frame = vec![0; HEADER_BYTES];
    stream.read_exact(&mut frame).unwrap();
    let body = usize::try_from(word(&frame, 4)).unwrap();
    frame.resize(HEADER_BYTES + body, 0);
    stream.read_exact(&mut frame[HEADER_BYTES..]).unwrap();
    frame
}

#[test]
fn a_host_that_differs_refuses_early_and_says_in_what() {
    let pair = Pair::new("differs");
    let source = pair.small();
    let target = pair.target("");
    let front = UnixListener::bind(pair.folder.path("front")).unwrap();
    let answer = thread::scope(|scope| {
        scope.spawn(|| {
            change_description(&front, &pair.folder.path("to"), |description| {
                description.needs.xsave_bytes = 1 << 20;
                description.needs.kind = match description.needs.kind {
                    Kind::Vmx => Kind::Svm,
                    _ => Kind::Vmx,
                };
            });
        });
        let mut client = source.client();
        let answer = client.migrate(&whole(&pair.unix("front")));
        assert!(answer.is_err(), "{answer:?}");
        answer
    });
    let (code, message, details) = refused(answer);
    assert_eq!(code, 500, "{message}");
    assert!(message.contains("runs on here"), "{message}");
    assert!(details.len() >= 2, "{message} {details:?}");
    assert!(
        details.iter().any(|line| line.contains("1048576")),
        "{details:?}"
    );
    source.progress();
    let finished = target.finish();
    assert_empty(&finished, "1048576");
    source.stop();
}

/// In a namespace of its own: KVM's module says how the hardware's PLE is set, as on Intel.
const WITH_PLE: &str = "exec unshare --mount sh -c '
    mount -t tmpfs none /sys/module &&
    mkdir -p /sys/module/kvm_pvm /sys/module/kvm_intel/parameters &&
    echo 1 > /sys/module/kvm_pvm/refcnt &&
    echo 128 > /sys/module/kvm_intel/parameters/ple_gap &&
    exec \"$0\" \"$@\"' \"$0\" \"$@\"";

#[test]
fn a_machine_arrives_where_the_hardware_has_ple() {
    let may_unshare = Command::new("unshare").args(["--mount", "true"]).status();
    if Kind::detect() != Kind::Pvm || !may_unshare.is_ok_and(|status| status.success()) {
        skip(
            "a host with PLE",
            "not root, or not one to pretend that it is another",
        );
        return;
    }
    let pair = Pair::new("ple");
    let source = pair.small();
    let (to, api) = (pair.unix("to"), pair.folder.path("target"));
    let target = Process::receive_by(Vmm::new("receive").after(WITH_PLE), &to, "", &api);
    source.migrate(&whole(&to)).unwrap();
    assert_only_one_runs(&target, &source);
    assert_eq!(source.finish().code, 0);
    target.stop();
}
