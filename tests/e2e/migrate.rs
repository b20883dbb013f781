//! Live migration, as a user does it: between processes, with every kick and halt, over every kind
//! of connection, and to targets that are not what they should be.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use vmm::control::client::Error;
use vmm::control::{MigrateDone, MigrateRequest, OperationKind, State, Verify};
use vmm::host::Kind;
use vmm::machine::saved::Description;
use vmm_tests::command::{Finished, Folder, Vmm, skip};
use vmm_tests::process::{Process, assert_only_one_runs};
use vmm_tests::proxy::{Frame, HEADER_BYTES};

const SMALL: &str = "--vcpus 2 --memory 16M --kick vmm --halt kvm";
/// Locks that somebody waits for nearly always, and everything that the guest can watch.
const GUEST: &str = "ring=3 seconds=86400 io=8 clocks=on threshold=1 think=0 hold=100 window=100";

/// Two processes of one test.
struct Pair {
    folder: Folder,
}

impl Pair {
    fn new(name: &str) -> Self {
        let folder = Folder::new(name);
        Self { folder }
    }

    fn source(&self, switches: &str, guest: &str) -> Process {
        Process::run(&self.folder.path("source"), switches, guest)
    }

    fn small(&self) -> Process {
        self.source(SMALL, GUEST)
    }

    fn unix(&self, name: &str) -> String {
        format!("unix:{}", self.folder.path(name).display())
    }

    fn target(&self, switches: &str) -> Process {
        Process::receive(&self.unix("to"), switches, &self.folder.path("target"))
    }
}

fn whole(target: &str) -> MigrateRequest {
    MigrateRequest {
        verify: Verify::Whole,
        ..MigrateRequest::new(target)
    }
}

/// The machine has moved: it makes progress at the target, and the source has ended well.
fn assert_moved(source: Process, target: &Process) {
    assert_only_one_runs(target, &source);
    let finished = source.finish();
    assert_eq!(finished.code, 0, "{finished}");
    assert!(finished.stdout.contains("MIGRATED"), "{finished}");
}

/// What a migration was refused with.
#[track_caller]
fn refused(answer: Result<MigrateDone, Error>) -> (u16, String, Vec<String>) {
    match answer {
        Err(Error::Refused {
            code,
            message,
            details,
        }) => (code, message, details),
        other => panic!("not refused: {other:?}"),
    }
}

/// It failed, and the machine runs on.
#[track_caller]
fn assert_stays(answer: Result<MigrateDone, Error>, source: &Process, words: &str) {
    let (code, message, _) = refused(answer);
    assert_eq!(code, 500, "{message}");
    assert!(message.contains("runs on here"), "{message}");
    assert!(message.contains(words), "{message}");
    source.progress();
}

/// A receiver that got nothing.
#[track_caller]
fn assert_empty(finished: &Finished, words: &str) {
    assert_eq!(finished.code, 1, "{finished}");
    assert!(finished.stderr.contains("holds nothing"), "{finished}");
    assert!(finished.stderr.contains(words), "{finished}");
}

#[test]
fn a_machine_moves_under_every_kick_and_halt() {
    let pair = Pair::new("moves");
    for (kick, halt) in [("vmm", "kvm"), ("vmm", "vmm"), ("kvm", "kvm")] {
        let switches = format!("--memory 32M --kick {kick} --halt {halt}");
        let tried = Vmm::run(&switches).words("--vcpus 1 -- seconds=0").finish();
        if tried.code == 3 {
            skip(&switches, tried.one_line());
            continue;
        }
        for (ring, workload) in [
            (0, "threshold=1 hold=4 think=1 window=4"),
            (3, "threshold=16 hold=200 think=50 window=200"),
        ] {
            for vcpus in [1, 4, 16] {
                let source = pair.source(
                    &format!("{switches} --vcpus {vcpus}"),
                    &format!("ring={ring} seconds=86400 io=8 clocks=on {workload}"),
                );
                let target = pair.target("");
                let moved = source.migrate(&whole(target.waits_at())).unwrap();
                assert!(moved.pages > 0 && moved.downtime_ns > 0, "{moved:?}");
                assert_moved(source, &target);
                target.stop();
            }
        }
    }
}

#[test]
fn sparse_apic_ids_move() {
    let pair = Pair::new("sparse");
    for (topology, apic) in [
        ("sockets=2,cores=3,threads=1", "xapic"),
        ("sockets=3,cores=1,threads=3", "x2apic"),
    ] {
        for halt in ["kvm", "vmm"] {
            let source = pair.source(
                &format!("--memory 32M --kick vmm --halt {halt} --topology {topology}"),
                &format!("{GUEST} apic={apic}"),
            );
            let target = pair.target("");
            source.migrate(&whole(target.waits_at())).unwrap();
            assert_moved(source, &target);
            target.stop();
        }
    }
}

#[test]
fn a_machine_moves_on_and_on_and_back() {
    let pair = Pair::new("chain");
    let mut machine = pair.source("--vcpus 4 --memory 16M --kick vmm", GUEST);
    for n in 0..6 {
        let api = pair.folder.path(&format!("api{n}"));
        // The places are used again, as by hosts that a machine comes back to.
        let listen = pair.unix(&format!("to{}", n % 3));
        let target = Process::receive(&listen, "", &api);
        let acquired = machine.progress().acquisitions;
        machine.migrate(&whole(&listen)).unwrap();
        assert_moved(machine, &target);
        machine = target;
        assert!(machine.progress().acquisitions > acquired);
    }
    machine.stop();
}

#[test]
fn a_guest_that_moved_comes_to_its_own_end_and_passes() {
    let pair = Pair::new("end");
    // The guest's clock goes on while it is moved, so it has to be given time enough.
    for seconds in [2, 8, 32] {
        let guest = GUEST.replace("86400", &seconds.to_string());
        let source = pair.source(SMALL, &guest);
        let report = pair.folder.path("report");
        let switches = format!("--json {}", report.display());
        let target = pair.target(&switches);
        if source.migrate(&whole(target.waits_at())).is_err() {
            continue;
        }
        let finished = target.finish();
        assert_eq!(finished.code, 0, "{finished}");
        let report: serde_json::Value =
            serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
        assert_eq!(report["outcome"], "completed", "{finished}");
        for (promise, broken) in report["violations"].as_object().unwrap() {
            assert_eq!(broken, 0, "{promise}: {finished}");
        }
        return;
    }
    panic!("a guest of 32 s ended before it could be moved");
}

#[test]
fn a_machine_that_has_hardly_started_moves() {
    let pair = Pair::new("early");
    let run = Vmm::run("--vcpus 4 --memory 16M --kick vmm --serial null --api")
        .arg(pair.folder.path("source"))
        .words("--")
        .words(GUEST);
    let source = Process::start(&run, &pair.folder.path("source"));
    let target = pair.target("");
    source.migrate(&whole(target.waits_at())).unwrap();
    assert_moved(source, &target);
    target.stop();
}

#[test]
fn a_paused_machine_is_not_moved() {
    let pair = Pair::new("paused");
    let source = pair.small();
    let target = pair.target("");
    source.client().pause().unwrap();
    let (code, message, _) = refused(source.migrate(&whole(target.waits_at())));
    assert_eq!(code, 409, "{message}");
    assert_eq!(source.client().status().unwrap().state, State::Paused);
    source.client().resume().unwrap();
    source.progress();
    // And the target waits for it still.
    source.migrate(&whole(target.waits_at())).unwrap();
    assert_moved(source, &target);
    target.stop();
}

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

#[test]
fn loopback_tcp_needs_a_word_that_it_is_insecure() {
    let pair = Pair::new("tcp");
    let source = pair.small();
    let refused_receiver = Vmm::new("receive tcp:0.0.0.0:0 --insecure").finish();
    assert_eq!(refused_receiver.code, 2, "{refused_receiver}");
    let unprotected = Vmm::new("receive tcp:127.0.0.1:0").finish();
    assert_eq!(unprotected.code, 2, "{unprotected}");
    assert!(
        unprotected.one_line().contains("--insecure"),
        "{unprotected}"
    );

    let api = pair.folder.path("target");
    let target = Process::receive("tcp:127.0.0.1:0", "--insecure", &api);
    let answer = source.migrate(&whole(target.waits_at()));
    assert_stays(answer, &source, "--insecure");
    let request = MigrateRequest {
        insecure: true,
        ..whole(target.waits_at())
    };
    source.migrate(&request).unwrap();
    assert_moved(source, &target);
    target.stop();
}

/// Who signs certificates.
struct Authority(Issuer<'static, KeyPair>);

impl Authority {
    /// A new one, whose own certificate is written to `file`.
    fn new(file: &Path) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        std::fs::write(file, params.self_signed(&key).unwrap().pem()).unwrap();
        Self(Issuer::new(params, key))
    }

    /// Writes a certificate for `name` and its key, and gives the options that name them.
    fn identity(&self, folder: &Folder, name: &str, host: &str, trusted: &Path) -> String {
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let cert = folder.file(&format!("{name}.pem"), certificate.pem().as_bytes());
        let key = folder.file(&format!("{name}.key"), key.serialize_pem().as_bytes());
        let [cert, key, trusted] = [&cert, &key, trusted].map(|path| path.display());
        format!("--tls-cert {cert} --tls-key {key} --tls-ca {trusted}")
    }
}

#[test]
fn tls_lets_in_who_is_known_and_nobody_else() {
    let pair = Pair::new("tls");
    let [ca, other_ca]: [PathBuf; 2] = ["ca", "other-ca"].map(|name| pair.folder.path(name));
    let (known, unknown) = (Authority::new(&ca), Authority::new(&other_ca));
    let here = known.identity(&pair.folder, "here", "127.0.0.1", &ca);
    let there = known.identity(&pair.folder, "there", "127.0.0.1", &ca);
    let elsewhere = known.identity(&pair.folder, "elsewhere", "10.0.0.1", &ca);
    let stranger = unknown.identity(&pair.folder, "stranger", "127.0.0.1", &ca);
    let distrustful = known.identity(&pair.folder, "distrustful", "127.0.0.1", &other_ca);

    let source = pair.small();
    let receive = |tls: &str| {
        let api = pair.folder.path("target");
        Process::receive("tcp:127.0.0.1:0", tls, &api)
    };
    let migrate = |target: &Process, tls: &str| {
        Vmm::new("migrate --peer-timeout 5 --api")
            .arg(pair.folder.path("source"))
            .arg(target.waits_at())
            .words(tls)
            .finish()
    };
    for (at_target, at_source) in [
        (&there, &stranger),
        (&there, &distrustful),
        (&elsewhere, &here),
        (&distrustful, &here),
        (&there, &"--insecure".to_owned()),
    ] {
        let target = receive(at_target);
        let finished = migrate(&target, at_source);
        assert_eq!(finished.code, 1, "{at_source}: {finished}");
        assert!(finished.stderr.contains("runs on here"), "{finished}");
        source.progress();
        assert!(!target.has_ended(), "a stranger ended it: {at_source}");
    }
    let target = receive(&there);
    let finished = migrate(&target, &here);
    assert_eq!(finished.code, 0, "{finished}");
    assert!(finished.stdout.contains("MOVED"), "{finished}");
    assert_moved(source, &target);
    target.stop();
}

#[test]
fn a_target_that_is_no_vmm_is_named_and_the_machine_stays() {
    let pair = Pair::new("no-vmm");
    let source = pair.small();
    let nowhere = source.migrate(&whole(&pair.unix("nowhere")));
    assert_stays(nowhere, &source, "vmm receive");
    let (code, message, _) = refused(source.migrate(&whole("somewhere")));
    assert_eq!(code, 400, "{message}");

    let listener = UnixListener::bind(pair.folder.path("babbler")).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, _) = listener.accept().unwrap();
            // Until the other side has had enough.
            while stream.write_all(b"HTTP/1.1 200 I am a teapot\r\n").is_ok() {}
        });
        let babbled = source.migrate(&whole(&pair.unix("babbler")));
        assert_stays(babbled, &source, "unknown kind");
    });

    let listener = UnixListener::bind(pair.folder.path("silent")).unwrap();
    let request = MigrateRequest {
        peer_timeout_seconds: Some(1.0),
        ..whole(&pair.unix("silent"))
    };
    let silent = source.migrate(&request);
    assert_stays(silent, &source, "--peer-timeout");
    drop(listener);

    let nobody = source.migrate(&whole(&pair.unix("silent")));
    assert_stays(nobody, &source, "vmm receive");
    source.stop();
}

#[test]
fn one_migration_at_a_time_and_the_machine_runs_meanwhile() {
    let pair = Pair::new("twice");
    let source = pair.small();
    let listener = UnixListener::bind(pair.folder.path("slow")).unwrap();
    thread::scope(|scope| {
        let first = scope.spawn(|| source.migrate(&whole(&pair.unix("slow"))));
        let (stream, _) = listener.accept().unwrap();
        let (code, message, _) = refused(source.migrate(&whole(&pair.unix("other"))));
        assert_eq!(code, 409, "{message}");
        let status = source.client().status().unwrap();
        assert_eq!(status.state, State::Migrating);
        assert_eq!(status.operation.unwrap().kind, OperationKind::Migrate);
        source.progress();
        drop(stream);
        assert_stays(first.join().unwrap(), &source, "");
    });
    assert_eq!(source.client().status().unwrap().state, State::Running);
    let target = pair.target("");
    source.migrate(&whole(target.waits_at())).unwrap();
    assert_moved(source, &target);
    target.stop();
}

#[test]
fn a_receiver_that_is_told_to_end_leaves_nothing() {
    let pair = Pair::new("told");
    for signal in ["INT", "TERM"] {
        let target = pair.target("");
        assert!(pair.folder.path("to").exists());
        target.signal(signal);
        let finished = target.finish();
        assert_eq!(finished.code, 1, "{finished}");
        assert!(finished.stderr.contains("cancelled"), "{finished}");
        assert_eq!(pair.folder.content(), [], "{finished}");
    }
}

#[test]
fn a_receiver_that_was_killed_can_be_started_again_in_its_place() {
    let pair = Pair::new("killed");
    let source = pair.small();
    let target = pair.target("");
    target.hand().kill();
    let answer = source.migrate(&whole(&pair.unix("to")));
    assert_stays(answer, &source, "vmm receive");
    let target = pair.target("");
    source.migrate(&whole(target.waits_at())).unwrap();
    assert_moved(source, &target);
    target.stop();
}

#[test]
fn a_receiver_is_not_disturbed_by_those_who_bring_nothing() {
    let pair = Pair::new("strangers");
    let source = pair.small();
    let target = pair.target("--peer-timeout 1");
    let connect = || UnixStream::connect(pair.folder.path("to")).unwrap();
    drop(connect());
    connect().write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    // One that says nothing keeps others waiting for its time limit only.
    let silent = connect();
    source.migrate(&whole(target.waits_at())).unwrap();
    drop(silent);
    assert_moved(source, &target);
    target.stop();
}

#[test]
fn a_taken_place_is_left_to_who_has_it() {
    let pair = Pair::new("taken");
    let target = pair.target("");
    let second = Vmm::new("receive").arg(pair.unix("to")).finish();
    assert_eq!(second.code, 2, "{second}");
    assert!(
        second.one_line().contains("another process listens"),
        "{second}"
    );
    pair.folder.file("file", b"mine");
    let file = Vmm::new("receive").arg(pair.unix("file")).finish();
    assert_eq!(file.code, 2, "{file}");
    assert!(file.one_line().contains("is no socket"), "{file}");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp:{}", taken.local_addr().unwrap());
    let port = Vmm::new("receive --insecure").arg(&address).finish();
    assert_eq!(port.code, 2, "{port}");
    assert!(port.one_line().contains(&address), "{port}");
    assert!(!target.has_ended());
}
