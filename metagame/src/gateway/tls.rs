//! The gateway's certificate, from files that may be replaced while it runs.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use service::Shutdown;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// A certificate and its key, PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate and what leads to its root.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Files that TLS cannot begin with.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("cannot read the gateway's {what} {}: {error}", path.display())]
    Read {
        /// What it holds.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{} holds no usable {what} for the gateway: {detail}", path.display())]
    Content {
        /// What it should hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
}

/// The certificate that is shown to clients.
pub(crate) struct Certificate {
    files: CertificateFiles,
    /// What the files held last, and what was made of it.
    current: RwLock<(Material, Arc<CertifiedKey>)>,
}

#[derive(PartialEq, Eq)]
struct Material {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Certificate {
    /// Reads the files.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub(crate) fn open(files: &CertificateFiles) -> Result<Arc<Self>, CertificateError> {
        let material = Material::read(files)?;
        let certified = material.certified(files)?;
        Ok(Arc::new(Self { files: files.clone(), current: RwLock::new((material, certified)) }))
    }

    /// TLS 1.2 and 1.3 with whatever the files hold at the time of a handshake.
    pub(crate) fn server_config(self: &Arc<Self>) -> Arc<ServerConfig> {
        let versions = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider knows the default versions");
        let resolver: Arc<dyn ResolvesServerCert> = Arc::<Self>::clone(self);
        let mut config = versions.with_no_client_auth().with_cert_resolver(resolver);
        // Clients resume sessions of the gateway, not of TLS: nothing is kept for those that may never come back.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        Arc::new(config)
    }

    /// Takes up files that were replaced, until shutdown.
    pub(crate) async fn follow(self: Arc<Self>, shutdown: Shutdown) {
        loop {
            tokio::select! {
                () = shutdown.wait() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            match self.look() {
                Ok(true) => tracing::info!("the gateway shows its new certificate"),
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "the gateway keeps the certificate that it has"),
            }
        }
    }

    /// Whether the files held something new, which is shown from now on.
    fn look(&self) -> Result<bool, CertificateError> {
        let material = Material::read(&self.files)?;
        if self.current.read().unwrap_or_else(PoisonError::into_inner).0 == material {
            return Ok(false);
        }
        let certified = material.certified(&self.files)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = (material, certified);
        Ok(true)
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner).1))
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Certificate").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Material {
    fn read(files: &CertificateFiles) -> Result<Self, CertificateError> {
        let read = |what, path: &Path| {
            std::fs::read(path).map_err(|error| CertificateError::Read { what, path: path.to_owned(), error })
        };
        Ok(Self { certificate: read("certificate", &files.certificate)?, key: read("private key", &files.key)? })
    }

    fn certified(&self, files: &CertificateFiles) -> Result<Arc<CertifiedKey>, CertificateError> {
        let fault =
            |what, path: &Path, detail: String| CertificateError::Content { what, path: path.to_owned(), detail };
        let chain = CertificateDer::pem_slice_iter(&self.certificate).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|error| fault("certificate", &files.certificate, error.to_string()))?;
        if chain.is_empty() {
            return Err(fault("certificate", &files.certificate, "there is none in it".into()));
        }
        let key = PrivateKeyDer::from_pem_slice(&self.key);
        let key = key.map_err(|error| fault("private key", &files.key, error.to_string()))?;
        let certified = CertifiedKey::from_der(chain, key, &ring::default_provider());
        Ok(Arc::new(certified.map_err(|error| fault("private key", &files.key, error.to_string()))?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(files: &CertificateFiles, name: &str) {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
        std::fs::write(&files.certificate, made.cert.pem()).expect("written");
        std::fs::write(&files.key, made.signing_key.serialize_pem()).expect("written");
    }

    #[test]
    fn a_replaced_certificate_is_taken_up_and_a_broken_one_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let files = CertificateFiles { certificate: folder.path().join("tls.crt"), key: folder.path().join("tls.key") };
        assert!(matches!(Certificate::open(&files), Err(CertificateError::Read { what: "certificate", .. })));
        write(&files, "a.example");
        let certificate = Certificate::open(&files).expect("opens");
        let shown = || certificate.current.read().expect("read").1.cert.clone();
        let first = shown();
        assert!(!certificate.look().expect("a look"), "nothing new");
        write(&files, "b.example");
        assert!(certificate.look().expect("a look"));
        let second = shown();
        assert_ne!(first, second);
        // The new certificate has come, its key not yet.
        let other = rcgen::generate_simple_self_signed(["c.example".to_owned()]).expect("a certificate");
        std::fs::write(&files.certificate, other.cert.pem()).expect("written");
        assert!(matches!(certificate.look(), Err(CertificateError::Content { .. })));
        assert_eq!(shown(), second);
        std::fs::write(&files.certificate, "").expect("written");
        let fault = certificate.look().expect_err("an empty file");
        assert!(fault.to_string().contains("there is none in it"), "{fault}");
    }
}
