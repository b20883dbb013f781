//! Mutual TLS: both sides show a certificate signed by a CA that the other trusts.

use std::fmt;
use std::io::{self, IoSlice, Read, Write};
use std::ops::DerefMut;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    ClientConfig, ClientConnection, ConnectionCommon, RootCertStore, ServerConfig,
    ServerConnection, SideData, StreamOwned,
};

use super::error::Error;
use super::link::Link;
use super::options::TlsFiles;
use super::pace::{Pace, Paced};
use super::wire::{Wire, WireError};

/// The source's side.
#[derive(Debug)]
pub(super) struct Client {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

/// The target's side.
#[derive(Debug)]
pub(super) struct Server {
    config: Arc<ServerConfig>,
}

fn tls_error(error: impl ToString) -> Error {
    Error::Tls(error.to_string())
}

fn pem_error(path: &Path, error: &pem::Error) -> Error {
    let what = match error {
        pem::Error::Io(error) => error.to_string(),
        pem::Error::NoItemsFound => "no PEM item of the kind wanted in it".to_owned(),
        error => error.to_string(),
    };
    Error::Pem {
        path: path.to_owned(),
        what,
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let failed = |error| pem_error(path, &error);
    let certificates = CertificateDer::pem_file_iter(path)
        .map_err(failed)?
        .collect::<Result<Vec<_>, _>>()
        .map_err(failed)?;
    if certificates.is_empty() {
        return Err(Error::Pem {
            path: path.to_owned(),
            what: "no certificate in it".to_owned(),
        });
    }
    Ok(certificates)
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| pem_error(path, &error))
}

fn roots(path: &Path) -> Result<Arc<RootCertStore>, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| Error::Pem {
            path: path.to_owned(),
            what: error.to_string(),
        })?;
    }
    Ok(Arc::new(roots))
}

impl Client {
    pub(super) fn new(files: &TlsFiles, host: &str) -> Result<Self, Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(tls_error)?
            .with_root_certificates(roots(&files.ca)?)
            .with_client_auth_cert(certificates(&files.cert)?, key(&files.key)?)
            .map_err(tls_error)?;
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| Error::Tls(format!("`{host}` is no name that a certificate can have")))?;
        Ok(Self {
            config: Arc::new(config),
            name,
        })
    }

    pub(super) fn connect(&self, paced: Paced, pace: Pace) -> Result<Wire, Error> {
        let connection = ClientConnection::new(Arc::clone(&self.config), self.name.clone())
            .map_err(tls_error)?;
        let mut stream = StreamOwned::new(connection, paced);
        shake_hands(&mut stream.conn, &mut stream.sock)?;
        Ok(Wire::new(Box::new(Secure(stream)), pace))
    }
}

impl Server {
    pub(super) fn new(files: &TlsFiles) -> Result<Self, Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(roots(&files.ca)?, Arc::clone(&provider))
                .build()
                .map_err(tls_error)?;
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(tls_error)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(certificates(&files.cert)?, key(&files.key)?)
            .map_err(tls_error)?;
        Ok(Self {
            config: Arc::new(config),
        })
    }

    pub(super) fn accept(&self, paced: Paced, pace: Pace) -> Result<Wire, Error> {
        let connection = ServerConnection::new(Arc::clone(&self.config)).map_err(tls_error)?;
        let mut stream = StreamOwned::new(connection, paced);
        shake_hands(&mut stream.conn, &mut stream.sock)?;
        Ok(Wire::new(Box::new(Secure(stream)), pace))
    }
}

/// A stream whose reads do not write first. Rustls's own do, and so cannot read the last words of
/// a peer that takes nothing more.
#[derive(Debug)]
struct Secure<C>(StreamOwned<C, Paced>)
where
    C: fmt::Debug;

impl<C, D> Link for Secure<C>
where
    C: DerefMut<Target = ConnectionCommon<D>> + fmt::Debug + Send,
    D: SideData,
{
    fn part(&mut self) {
        self.0.sock.part();
    }
}

impl<C, D> Read for Secure<C>
where
    C: DerefMut<Target = ConnectionCommon<D>> + fmt::Debug,
    D: SideData,
{
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let stream = &mut self.0;
        loop {
            match stream.conn.reader().read(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
            stream.conn.read_tls(&mut stream.sock)?;
            stream
                .conn
                .process_new_packets()
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        }
    }
}

impl<C, D> Write for Secure<C>
where
    C: DerefMut<Target = ConnectionCommon<D>> + fmt::Debug,
    D: SideData,
{
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.write_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Completes the handshake. The peer's certificate is judged here, not with the first frame.
fn shake_hands<D: SideData>(
    connection: &mut ConnectionCommon<D>,
    socket: &mut Paced,
) -> Result<(), Error> {
    while connection.is_handshaking() {
        if let Err(error) = connection.complete_io(socket) {
            // So that the peer reads the alert.
            socket.part();
            return Err(explain(error));
        }
    }
    Ok(())
}

/// What an error of TLS means.
pub(super) fn explain(error: io::Error) -> Error {
    match error.downcast::<rustls::Error>() {
        Ok(rustls::Error::InvalidMessage(_)) => Error::Tls(
            "the peer does not speak it; give --tls-cert, --tls-key and --tls-ca on both sides"
                .to_owned(),
        ),
        Ok(error) => tls_error(error),
        Err(error) => Error::Wire(WireError::from(error)),
    }
}
