//! Who gets in over TCP.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use super::error::{ReceiveError, SendError};
use super::fake::{Doing, FakeDestination, FakeOrigin, Shared, contents};
use super::options::{Options, ReceiveOptions, Security, TlsFiles};
use super::{Endpoint, Receiver, Report, ends::Origin, source};
use crate::error_chain::in_one_line;

/// A certificate authority with its own folder of files.
struct Authority {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let folder =
            std::env::temp_dir().join(format!("vmm-move-tls-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        fs::write(folder.join("ca.pem"), certificate.pem()).unwrap();
        Self {
            folder,
            issuer: Issuer::new(params, key),
        }
    }

    /// Files of a host called `name`, that trusts `trusted`.
    fn host(&self, name: &str, trusted: &Self) -> TlsFiles {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let files = TlsFiles {
            cert: self.folder.join(format!("{name}.pem")),
            key: self.folder.join(format!("{name}.key")),
            ca: trusted.folder.join("ca.pem"),
        };
        fs::write(&files.cert, certificate.pem()).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        files
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.folder).unwrap();
    }
}

/// Moves a machine over loopback TCP. Both results, and whether both memories are equal after.
fn move_it(
    at_source: Security,
    at_target: Security,
) -> (Result<Report, SendError>, Result<(), ReceiveError>) {
    let listen: Endpoint = "tcp:127.0.0.1:0".parse().unwrap();
    let patience = Duration::from_secs(2);
    let options = ReceiveOptions {
        security: at_target,
        peer_timeout: patience,
        ..ReceiveOptions::default()
    };
    let cancel = std::sync::Arc::clone(&options.cancel);
    let mut receiver = Receiver::listen(&listen, options).unwrap();
    let target = receiver.address().clone();
    let shared = Shared::new();
    let mut origin = FakeOrigin::new(&shared, vec![(0..200).map(|page| (page, 9)).collect()]);
    let mut destination = FakeDestination::new(&shared);
    let (source, target) = thread::scope(|scope| {
        let receives = scope.spawn(|| receiver.receive(&mut destination, &mut |_| ()).map(|_| ()));
        let options = Options {
            security: at_source,
            peer_timeout: patience,
            ..Options::default()
        };
        let source = source::send(&mut origin, &target, &options, &mut |_| ());
        cancel.store(true, std::sync::atomic::Ordering::Relaxed);
        (source, receives.join().unwrap())
    });
    let ledger = shared.lock();
    if source.is_ok() {
        assert_eq!((ledger.source, ledger.target), (Doing::Left, Doing::Runs));
        assert!(contents(origin.memory()) == contents(&destination.memory));
    } else {
        assert_eq!(
            (ledger.source, ledger.target),
            (Doing::Runs, Doing::Nothing)
        );
    }
    (source, target)
}

#[test]
fn two_hosts_of_one_authority_move_a_machine() {
    let ca = Authority::new("one");
    let (source, target) = move_it(
        Security::Tls(ca.host("source", &ca)),
        Security::Tls(ca.host("127.0.0.1", &ca)),
    );
    source.unwrap();
    target.unwrap();
}

#[test]
fn plain_tcp_moves_a_machine_over_loopback() {
    let (source, target) = move_it(Security::Insecure, Security::Insecure);
    source.unwrap();
    target.unwrap();
}

/// What each side says of `move_it`, both of which fail.
fn refused(at_source: Security, at_target: Security) -> (String, String) {
    let (source, target) = move_it(at_source, at_target);
    let target = target.unwrap_err();
    assert!(
        matches!(target, ReceiveError::Stranger { .. }),
        "{target:?}"
    );
    (in_one_line(&source.unwrap_err()), in_one_line(&target))
}

#[test]
fn a_target_of_another_authority_is_refused() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let (source, target) = refused(
        Security::Tls(ours.host("source", &ours)),
        Security::Tls(theirs.host("127.0.0.1", &ours)),
    );
    assert!(source.contains("UnknownIssuer"), "{source}");
    assert!(target.contains("TLS"), "{target}");
}

#[test]
fn a_source_of_another_authority_is_refused() {
    let (ours, theirs) = (Authority::new("good"), Authority::new("strange"));
    let (source, target) = refused(
        Security::Tls(theirs.host("source", &ours)),
        Security::Tls(ours.host("127.0.0.1", &ours)),
    );
    assert!(target.contains("UnknownIssuer"), "{target}");
    assert!(source.contains("TLS"), "{source}");
}

#[test]
fn a_target_of_another_name_is_refused() {
    let ca = Authority::new("name");
    let (source, _) = refused(
        Security::Tls(ca.host("source", &ca)),
        Security::Tls(ca.host("10.9.8.7", &ca)),
    );
    assert!(source.contains("not valid for name"), "{source}");
}

#[test]
fn a_plain_source_is_refused_by_a_target_with_tls() {
    let ca = Authority::new("plain-source");
    let (source, target) = refused(Security::Insecure, Security::Tls(ca.host("127.0.0.1", &ca)));
    assert!(target.contains("does not speak it"), "{target}");
    assert!(source.contains("--tls-cert"), "{source}");
}

#[test]
fn a_source_with_tls_is_refused_by_a_plain_target() {
    let ca = Authority::new("plain-target");
    let (source, target) = refused(Security::Tls(ca.host("source", &ca)), Security::Insecure);
    assert!(target.contains("speaks TLS"), "{target}");
    assert!(source.contains("does not speak it"), "{source}");
}

/// A client that trusts the target but shows no certificate.
#[test]
fn a_source_without_a_certificate_is_refused() {
    use rustls::pki_types::pem::PemObject;
    let ca = Authority::new("nameless");
    let listen: Endpoint = "tcp:127.0.0.1:0".parse().unwrap();
    let options = ReceiveOptions {
        security: Security::Tls(ca.host("127.0.0.1", &ca)),
        ..ReceiveOptions::default()
    };
    let mut receiver = Receiver::listen(&listen, options).unwrap();
    let Endpoint::Tcp { port, .. } = *receiver.address() else {
        unreachable!()
    };
    let mut roots = rustls::RootCertStore::empty();
    let file = ca.folder.join("ca.pem");
    roots
        .add(rustls::pki_types::CertificateDer::from_pem_file(file).unwrap())
        .unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let shared = Shared::new();
    let mut destination = FakeDestination::new(&shared);
    thread::scope(|scope| {
        let receives = scope.spawn(|| receiver.receive(&mut destination, &mut |_| ()));
        let mut socket = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        let name = "127.0.0.1".try_into().unwrap();
        let mut client = rustls::ClientConnection::new(config.into(), name).unwrap();
        // The target's judgement of the certificate comes after the client's last word.
        while client
            .complete_io(&mut socket)
            .is_ok_and(|(read, written)| read + written > 0)
        {}
        let error = in_one_line(&receives.join().unwrap().unwrap_err());
        assert!(error.contains("no certificates"), "{error}");
    });
    assert_eq!(shared.lock().target, Doing::Nothing);
}

#[test]
fn a_file_that_is_no_pem_is_named() {
    let ca = Authority::new("files");
    let listen: Endpoint = "tcp:127.0.0.1:0".parse().unwrap();
    let good = ca.host("127.0.0.1", &ca);
    let missing = ca.folder.join("missing.pem");
    let empty = ca.folder.join("empty.pem");
    fs::write(&empty, "no certificate here").unwrap();
    for bad in [missing, empty] {
        for field in 0..3 {
            let mut files = good.clone();
            let files_field = match field {
                0 => &mut files.cert,
                1 => &mut files.key,
                _ => &mut files.ca,
            };
            files_field.clone_from(&bad);
            let options = ReceiveOptions {
                security: Security::Tls(files),
                ..ReceiveOptions::default()
            };
            let error = Receiver::listen(&listen, options).unwrap_err().to_string();
            assert!(error.contains(bad.to_str().unwrap()), "{error}");
        }
    }
}
