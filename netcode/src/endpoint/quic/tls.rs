//! TLS 1.3 by ring: the server's certificate, and the client's trust in fingerprints alone.

use std::sync::Arc;

use protocol::wire::QUIC_ALPN;
use quinn_proto::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::version::TLS13;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

use super::settings::QuicConfigError;
use super::time::NoWallClock;

/// The server's side: one certificate, one application protocol, no tickets, no early data.
pub(super) fn server(certificate: &[u8], key: &[u8]) -> Result<QuicServerConfig, QuicConfigError> {
    let mut config = rustls::ServerConfig::builder_with_details(provider(), Arc::new(NoWallClock))
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from(certificate.to_vec())],
            PrivatePkcs8KeyDer::from(key.to_vec()).into(),
        )?;
    config.alpn_protocols = vec![QUIC_ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    QuicServerConfig::try_from(config).map_err(|_| QuicConfigError::CipherSuite)
}

/// The client's side: the server's certificate must have one of these fingerprints.
pub(super) fn client(fingerprints: Vec<[u8; 32]>) -> Result<QuicClientConfig, QuicConfigError> {
    let provider = provider();
    let pins = Pins { fingerprints, provider: Arc::clone(&provider) };
    let mut config = rustls::ClientConfig::builder_with_details(provider, Arc::new(NoWallClock))
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(pins))
        .with_no_client_auth();
    config.alpn_protocols = vec![QUIC_ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    QuicClientConfig::try_from(config).map_err(|_| QuicConfigError::CipherSuite)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Trusts exactly the certificates that the assignment names. That the server holds the certificate's key is still
/// proved by its signature over the handshake. Names and dates say nothing here: the fingerprint is the whole truth.
#[derive(Debug)]
struct Pins {
    fingerprints: Vec<[u8; 32]>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pins {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let fingerprint = ring::digest::digest(&ring::digest::SHA256, end_entity);
        let is_pinned = self.fingerprints.iter().any(|pinned| pinned == fingerprint.as_ref());
        if is_pinned {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("QUIC speaks TLS 1.3 only".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
