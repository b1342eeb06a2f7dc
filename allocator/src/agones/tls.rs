//! TLS where both sides show a certificate, from files that may be replaced while the program runs.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{RootCertStore, ServerConfig};
use service::Shutdown;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::client_certificates::KnownClients;
use super::metrics;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How long a handshake may take.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(10);
/// Handshakes under way at once.
const HANDSHAKES_MAX: usize = 256;
/// Connections that are shaken hands with and wait to be served.
const READY_MAX: usize = 64;

/// Files of one side of TLS.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The server's certificate and what leads to its root, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// Certificates that clients must come from, PEM: a file, or a folder of `.crt` and `.pem` files. A client may also
    /// show one of these itself.
    pub client_ca: PathBuf,
}

impl TlsFiles {
    /// `tls.crt`, `tls.key` and `ca.crt` of a folder, as a Secret of type `kubernetes.io/tls` is mounted.
    pub fn in_folder(folder: &Path) -> Self {
        let file = |name| folder.join(name);
        Self { certificate: file("tls.crt"), key: file("tls.key"), client_ca: file("ca.crt") }
    }
}

/// Files that TLS cannot begin with.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{} holds no usable {what}: {detail}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// What is wrong.
        detail: String,
    },
}

/// What the files hold.
#[derive(PartialEq, Eq)]
struct Material {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Vec<u8>,
}

impl Material {
    fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        let mut client_ca = Vec::new();
        for path in authorities(&files.client_ca)? {
            client_ca.extend(bytes(&path)?);
            client_ca.push(b'\n');
        }
        Ok(Self { certificate: bytes(&files.certificate)?, key: bytes(&files.key)?, client_ca })
    }

    fn config(&self, files: &TlsFiles, protocols: &[&[u8]]) -> Result<ServerConfig, TlsError> {
        let fault = |path: &Path, what, detail: String| TlsError::Content { path: path.to_owned(), what, detail };
        let chain = certificates(&self.certificate).map_err(|e| fault(&files.certificate, "certificate", e))?;
        let key = PrivateKeyDer::from_pem_slice(&self.key);
        let key = key.map_err(|e| fault(&files.key, "private key", e.to_string()))?;
        let known = certificates(&self.client_ca).map_err(|e| fault(&files.client_ca, "client CA", e))?;
        let mut roots = RootCertStore::empty();
        for certificate in &known {
            roots.add(certificate.clone()).map_err(|e| fault(&files.client_ca, "client CA", e.to_string()))?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let clients = KnownClients::new(known, roots, provider.clone());
        let clients = clients.map_err(|detail| fault(&files.client_ca, "client CA", detail))?;
        let versions = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let versions = versions.map_err(|e| fault(&files.certificate, "certificate", e.to_string()))?;
        let config = versions.with_client_cert_verifier(Arc::new(clients)).with_single_cert(chain, key);
        let mut config = config.map_err(|e| fault(&files.certificate, "certificate for its key", e.to_string()))?;
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(config)
    }
}

impl Material {
    /// Until when the server's certificate is valid, as Unix time.
    fn expires_unix_s(&self) -> Option<i64> {
        let chain = certificates(&self.certificate).ok()?;
        let (_, certificate) = X509Certificate::from_der(chain.first()?).ok()?;
        Some(certificate.validity().not_after.timestamp())
    }
}

fn bytes(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|error| TlsError::Read { path: path.to_owned(), error })
}

fn authorities(path: &Path) -> Result<Vec<PathBuf>, TlsError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let fault = |error| TlsError::Read { path: path.to_owned(), error };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(fault)? {
        let file = entry.map_err(fault)?.path();
        if file.extension().is_some_and(|extension| extension == "crt" || extension == "pem") {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>().map_err(|e| e.to_string())?;
    if found.is_empty() { Err("there is none in it".to_owned()) } else { Ok(found) }
}

/// What the files held last, and the configuration made of it.
struct Current {
    material: Material,
    config: Arc<ServerConfig>,
}

/// TLS as the files have it.
#[derive(Clone)]
pub(super) struct Tls {
    files: TlsFiles,
    protocols: &'static [&'static [u8]],
    current: Arc<RwLock<Current>>,
}

impl Tls {
    /// Reads the files, and again whenever they change. Files that are wrong by then are named in the log, and what was
    /// read before stays in use. Connections keep the certificate that they began with.
    pub(super) fn open(
        files: TlsFiles,
        protocols: &'static [&'static [u8]],
        shutdown: Shutdown,
    ) -> Result<Self, TlsError> {
        let material = Material::read(&files)?;
        let config = Arc::new(material.config(&files, protocols)?);
        metrics::certificate_expires(material.expires_unix_s());
        let tls = Self { files, protocols, current: Arc::new(RwLock::new(Current { material, config })) };
        tokio::spawn(tls.clone().follow(shutdown));
        Ok(tls)
    }

    async fn follow(self, shutdown: Shutdown) {
        while tokio::time::timeout(LOOK_EVERY, shutdown.wait()).await.is_err() {
            match self.reload() {
                Ok(true) => tracing::info!("the TLS files changed: new connections get them"),
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "the TLS files changed and are wrong: the older ones stay in use"),
            }
        }
    }

    /// Takes the files as they are now; whether they are other ones.
    pub(super) fn reload(&self) -> Result<bool, TlsError> {
        let material = Material::read(&self.files)?;
        if material == self.current.read().unwrap_or_else(PoisonError::into_inner).material {
            return Ok(false);
        }
        let config = Arc::new(material.config(&self.files, self.protocols)?);
        metrics::certificate_expires(material.expires_unix_s());
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Current { material, config };
        Ok(true)
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.current.read().unwrap_or_else(PoisonError::into_inner).config.clone())
    }

    /// Accepts connections and shakes hands with each, side by side, until shutdown.
    pub(super) fn accept(self, listener: service::Listener, shutdown: Shutdown) -> Connections {
        let address = listener.local_addr();
        let (send, receive) = mpsc::channel(READY_MAX);
        tokio::spawn(async move {
            let (listener, slots) = (listener.into_tokio(), Arc::new(Semaphore::new(HANDSHAKES_MAX)));
            loop {
                let Ok(slot) = slots.clone().acquire_owned().await else { return };
                let accepted = tokio::select! {
                    accepted = listener.accept() => accepted,
                    () = shutdown.wait() => return,
                };
                let Ok((stream, peer)) = accepted else {
                    // Out of file descriptors: others must end first.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                };
                let (acceptor, send) = (self.acceptor(), send.clone());
                tokio::spawn(async move {
                    stream.set_nodelay(true).ok();
                    match tokio::time::timeout(HANDSHAKE_PATIENCE, acceptor.accept(stream)).await {
                        Ok(Ok(stream)) => drop(send.send((stream, peer)).await),
                        Ok(Err(error)) => tracing::info!(%peer, %error, "TLS refused"),
                        Err(_) => tracing::info!(%peer, "TLS took too long"),
                    }
                    drop(slot);
                });
            }
        });
        Connections { receive, address }
    }
}

/// Connections after their handshake.
pub(super) struct Connections {
    receive: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    pub(super) address: SocketAddr,
}

impl Connections {
    /// For tonic: ends at shutdown.
    pub(super) fn into_stream(
        self,
    ) -> impl tokio_stream::Stream<Item = Result<TlsStream<TcpStream>, io::Error>> + Send + 'static {
        let connections = tokio_stream::wrappers::ReceiverStream::new(self.receive);
        tokio_stream::StreamExt::map(connections, |(stream, _)| Ok(stream))
    }
}

impl axum::serve::Listener for Connections {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.receive.recv().await {
            Some(connection) => connection,
            // The listener has ended; the server is about to.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_certificate_is_read_from_its_file() {
        let mut params = rcgen::CertificateParams::new(vec!["drop-in".to_owned()]).expect("a name");
        params.not_after = rcgen::date_time_ymd(2030, 1, 1);
        let key = rcgen::KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        let material = |certificate: Vec<u8>| Material { certificate, key: Vec::new(), client_ca: Vec::new() };
        assert_eq!(material(pem.into_bytes()).expires_unix_s(), Some(1_893_456_000));
        assert_eq!(material(b"nothing".to_vec()).expires_unix_s(), None);
    }
}
