//! HTTPS with a certificate that is made at the start and known to the API server alone.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::error::StandinError;

/// A handshake that takes longer is dropped.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections whose handshake is done and that nobody has taken yet.
const WAITING_MAX: usize = 64;

/// A certificate for one address, and what vouches for it.
pub(super) struct Identity {
    config: Arc<ServerConfig>,
    /// The certificate in PEM: it vouches for itself.
    pub(super) ca_pem: String,
}

impl Identity {
    /// A fresh one.
    pub(super) fn new(hosts: &[String]) -> Result<Self, StandinError> {
        let failed = |source| StandinError::Certificate { host: hosts.join(", "), source };
        let made = rcgen::generate_simple_self_signed(hosts).map_err(failed)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)?;
        let ca_pem = pem(made.cert.der());
        Ok(Self { config: Arc::new(config), ca_pem })
    }
}

/// A certificate as the API server reads it.
fn pem(der: &[u8]) -> String {
    let text = BASE64.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

/// Hands out connections whose handshake is done; a slow handshake holds nobody up.
pub(super) struct TlsListener {
    address: SocketAddr,
    accepted: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
}

impl TlsListener {
    /// Listens on all addresses.
    pub(super) async fn bind(port: u16, identity: &Identity) -> Result<Self, StandinError> {
        let address = SocketAddr::new(IpAddr::from([0, 0, 0, 0]), port);
        let failed = |source| StandinError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (send, accepted) = mpsc::channel(WAITING_MAX);
        tokio::spawn(accept(listener, TlsAcceptor::from(identity.config.clone()), send));
        Ok(Self { address, accepted })
    }

    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, send: mpsc::Sender<(TlsStream<TcpStream>, SocketAddr)>) {
    while !send.is_closed() {
        let Ok((stream, from)) = listener.accept().await else {
            // Too many open files: it passes, and spinning would not help.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (tls, send) = (tls.clone(), send.clone());
        tokio::spawn(async move {
            if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
                // A closed channel means that the program ends.
                let _ = send.send((stream, from)).await;
            }
        });
    }
}

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.accepted.recv().await {
            Some(accepted) => accepted,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        Ok(self.address)
    }
}
