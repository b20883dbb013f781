//! Certificates for TLS between two processes of this host.

use std::fmt::Display;
use std::io;
use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use crate::folder::Folder;

/// PEM files that serve both sides.
#[derive(Debug)]
pub(crate) struct Certificates {
    /// The certificate.
    pub(crate) cert: PathBuf,
    /// Its key.
    pub(crate) key: PathBuf,
    /// Who signed it.
    pub(crate) ca: PathBuf,
}

impl Certificates {
    /// Makes them in `folder`.
    pub(crate) fn write(folder: &Folder) -> io::Result<Self> {
        let failed = |error: &dyn Display| io::Error::other(format!("no certificate: {error}"));
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().map_err(|error| failed(&error))?;
        let ca = params.self_signed(&key).map_err(|error| failed(&error))?;
        let issuer = Issuer::new(params, key);

        let mut params =
            CertificateParams::new(vec!["127.0.0.1".to_owned()]).map_err(|error| failed(&error))?;
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate().map_err(|error| failed(&error))?;
        let cert = params
            .signed_by(&key, &issuer)
            .map_err(|error| failed(&error))?;
        let files = Self {
            cert: folder.file("cert.pem"),
            key: folder.file("key.pem"),
            ca: folder.file("ca.pem"),
        };
        std::fs::write(&files.cert, cert.pem())?;
        std::fs::write(&files.key, key.serialize_pem())?;
        std::fs::write(&files.ca, ca.pem())?;
        Ok(files)
    }
}
