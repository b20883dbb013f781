//! Over what a machine may move, and to whom.

use std::io::Write;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::thread;

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use vmm::control::MigrateRequest;
use vmm_tests::command::{Folder, Vmm};
use vmm_tests::process::Process;

use super::{Pair, assert_moved, assert_stays, refused, whole};

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
