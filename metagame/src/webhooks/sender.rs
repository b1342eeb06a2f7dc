//! One delivery over the wire: an HTTP/1.1 POST without redirects and without proxies, within its time.
//!
//! Not reqwest: built with TLS and without aws-lc it panics in every program that has not installed a process-wide
//! provider first (docs/adr/009).

use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, Request, Uri, header};
use http_body_util::Full;
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tower::BoxError;
use tower::timeout::Timeout;
use tower::util::BoxCloneSyncService;

use super::WebhookTiming;
use super::settings::Endpoint;
use crate::core::webhook::Verdict;

/// Idle connections kept to one endpoint, and how long: matches of one queue end in bursts.
const IDLE_MAX: usize = 4;
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// There is nothing to check an endpoint's certificate with.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// No certificate authorities.
    #[error(
        "a webhook begins with https:// and this machine has no usable certificate authorities ({0}): install the \
         package ca-certificates, or name a file of them in the environment variable SSL_CERT_FILE"
    )]
    Roots(std::io::Error),
    /// The cryptography refuses its own defaults.
    #[error("cannot set up TLS for webhooks: {0}")]
    Setup(#[from] rustls::Error),
}

/// Opens connections, TLS included, within their time.
type Connector = BoxCloneSyncService<Uri, MaybeHttpsStream<TokioIo<TcpStream>>, BoxError>;

/// Sends deliveries; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Sender {
    client: Client<Connector, Full<Bytes>>,
    answer: Duration,
}

impl Sender {
    /// A sender with the system's certificate authorities, where an endpoint needs them.
    pub(super) fn new(endpoints: &[Endpoint], timing: &WebhookTiming) -> Result<Self, TlsError> {
        let builder = ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_safe_default_protocol_versions()?;
        let tls = if endpoints.iter().any(Endpoint::is_https) {
            builder.with_native_roots().map_err(TlsError::Roots)?
        } else {
            builder.with_root_certificates(rustls::RootCertStore::empty())
        };
        Ok(Self::with_tls(tls.with_no_client_auth(), timing))
    }

    fn with_tls(tls: ClientConfig, timing: &WebhookTiming) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(timing.connect));
        let https =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(IDLE_MAX)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .build(Connector::new(Timeout::new(https, timing.connect)));
        Self { client, answer: timing.answer }
    }

    /// Posts a body with these headers, and judges the answer.
    pub(super) async fn post(&self, url: &Uri, headers: &HeaderMap, body: String) -> Verdict {
        let mut request =
            Request::post(url.clone()).body(Full::new(Bytes::from(body))).expect("a URL that was checked");
        *request.headers_mut() = headers.clone();
        match tokio::time::timeout(self.answer, self.client.request(request)).await {
            Err(_elapsed) => Verdict::unanswered(format!("no answer within {:?}", self.answer)),
            Ok(Err(error)) => Verdict::unanswered(chain(&error)),
            // What it says beside its status is not read: its connection is used again only if nothing follows.
            Ok(Ok(answer)) => {
                let retry_after = answer.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
                Verdict::of_answer(answer.status().as_u16(), retry_after, service::clock::unix_ms())
            }
        }
    }
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    fn timing() -> WebhookTiming {
        let (connect, answer) = (Duration::from_millis(500), Duration::from_secs(1));
        WebhookTiming { connect, answer, ..WebhookTiming::default() }
    }

    fn trusting(roots: rustls::RootCertStore) -> Sender {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let tls = builder.expect("versions").with_root_certificates(roots).with_no_client_auth();
        Sender::with_tls(tls, &timing())
    }

    async fn listener() -> (TcpListener, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        (listener, port)
    }

    async fn post(sender: &Sender, url: String) -> Verdict {
        sender.post(&url.parse().expect("a URL"), &HeaderMap::new(), "{}".into()).await
    }

    fn reason(verdict: Verdict) -> String {
        match verdict {
            Verdict::Failed { reason, .. } => reason,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn an_https_endpoint_is_told_only_if_its_certificate_is_good() {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).expect("a key");
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .expect("its own key");
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let (listener, port) = listener().await;
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let Ok(mut tls) = acceptor.accept(tcp).await else { continue };
                let _ = tls.read(&mut [0; 4_096]).await;
                let _ = tls.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
            }
        });
        let mut roots = rustls::RootCertStore::empty();
        roots.add(cert.der().clone()).expect("a certificate");
        assert_eq!(post(&trusting(roots), format!("https://localhost:{port}/hook")).await, Verdict::Delivered);
        let stranger = trusting(rustls::RootCertStore::empty());
        let told = reason(post(&stranger, format!("https://localhost:{port}/hook")).await);
        assert!(told.contains("certificate"), "{told}");
    }

    #[tokio::test]
    async fn whoever_keeps_silent_is_given_up() {
        let sender = trusting(rustls::RootCertStore::empty());
        // The kernel accepts, nobody answers.
        let (_silent, port) = listener().await;
        let told = reason(post(&sender, format!("http://127.0.0.1:{port}/")).await);
        assert!(told.contains("no answer within 1s"), "{told}");
        // The same with TLS: the handshake belongs to connecting.
        let told = reason(post(&sender, format!("https://127.0.0.1:{port}/")).await);
        assert!(told.contains("timed out"), "{told}");
    }

    #[tokio::test]
    async fn nobody_there_is_said_so() {
        let (listener, port) = listener().await;
        drop(listener);
        let told = reason(post(&trusting(rustls::RootCertStore::empty()), format!("http://127.0.0.1:{port}/")).await);
        assert!(told.contains("refused"), "{told}");
    }
}
