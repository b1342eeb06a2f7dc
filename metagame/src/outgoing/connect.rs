//! Connections to others: TLS by rustls with ring, kept for the next call, no proxies.
//!
//! Not reqwest: built with TLS and without aws-lc it panics in every program that has not installed a process-wide
//! provider first (docs/adr/009).

use std::time::Duration;

use axum::body::Bytes;
use axum::http::Uri;
use http_body_util::Full;
use hyper_rustls::{HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tower::BoxError;
use tower::timeout::Timeout;
use tower::util::BoxCloneSyncService;

/// Idle connections kept to one host, and how long: calls come in bursts.
const IDLE_MAX: usize = 8;
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// There is nothing to check a certificate with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// No certificate authorities.
    #[error(
        "an address begins with https:// and this machine has no usable certificate authorities ({0}): install the \
         package ca-certificates, or name a file of them in the environment variable SSL_CERT_FILE"
    )]
    Roots(String),
    /// The cryptography refuses its own defaults.
    #[error("cannot set up TLS for calls to others: {0}")]
    Setup(String),
}

/// Opens connections, TLS included, within their time.
type Connector = BoxCloneSyncService<Uri, MaybeHttpsStream<TokioIo<TcpStream>>, BoxError>;

/// Sends one request, and keeps the connection for the next.
pub(super) type Client = legacy::Client<Connector, Full<Bytes>>;

/// A client that trusts the system's certificate authorities and these.
pub(super) fn trusting(authorities: &[CertificateDer<'static>], connect: Duration) -> Result<Client, TlsError> {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(system.certs);
    roots.add_parsable_certificates(authorities.iter().cloned());
    if roots.is_empty() {
        let told: Vec<String> = system.errors.iter().map(ToString::to_string).collect();
        return Err(TlsError::Roots(if told.is_empty() { "none were found".to_owned() } else { told.join("; ") }));
    }
    client(roots, connect)
}

/// A client that trusts nobody: for addresses without TLS.
pub(super) fn plain(connect: Duration) -> Result<Client, TlsError> {
    client(RootCertStore::empty(), connect)
}

fn client(roots: RootCertStore, connect: Duration) -> Result<Client, TlsError> {
    let tls = ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Setup(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(connect));
    let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(tcp);
    Ok(legacy::Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_max_idle_per_host(IDLE_MAX)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .build(Connector::new(Timeout::new(https, connect))))
}
