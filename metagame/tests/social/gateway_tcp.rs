//! The gateway's own port: envelopes after their length, over TCP with TLS.

use std::net::SocketAddr;
use std::sync::Arc;

use metagame::{CertificateFiles, TcpSettings};
use prost::Message as _;
use protocol::pb;
use protocol::pb::gateway_envelope::Body;
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject as _;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::harness::{Harness, any_port};

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A client down to the bytes.
struct Client(Box<dyn Stream>);

impl Client {
    async fn plain(address: SocketAddr) -> Self {
        Self(Box::new(TcpStream::connect(address).await.expect("the gateway listens")))
    }

    /// With TLS, if it shows this certificate.
    async fn with_tls(address: SocketAddr, certificate: &str) -> std::io::Result<Self> {
        let mut roots = rustls::RootCertStore::empty();
        let certificate = rustls::pki_types::CertificateDer::from_pem_slice(certificate.as_bytes()).expect("PEM");
        roots.add(certificate).expect("a root");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.expect("versions").with_root_certificates(roots).with_no_client_auth();
        let tcp = TcpStream::connect(address).await?;
        let name = ServerName::try_from("gateway.example").expect("a name");
        let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
        Ok(Self(Box::new(stream)))
    }

    async fn send(&mut self, body: Body) {
        let bytes = pb::GatewayEnvelope { correlation_id: 7, seq: 0, body: Some(body) }.encode_to_vec();
        self.0.write_u32(u32::try_from(bytes.len()).expect("short")).await.expect("written");
        self.0.write_all(&bytes).await.expect("written");
        self.0.flush().await.expect("written");
    }

    async fn receive(&mut self) -> Option<Body> {
        let length = self.0.read_u32().await.ok()?;
        let mut bytes = vec![0; length as usize];
        self.0.read_exact(&mut bytes).await.ok()?;
        pb::GatewayEnvelope::decode(&*bytes).expect("an envelope").body
    }

    async fn hello(&mut self, access: &str) -> pb::GatewayWelcome {
        let proof = pb::gateway_hello::Proof::AccessToken(access.into());
        self.send(Body::Hello(pb::GatewayHello { version: 1, proof: Some(proof) })).await;
        let Some(Body::Welcome(welcome)) = self.receive().await else { panic!("no welcome") };
        welcome
    }
}

/// A metagame whose gateway has a port of its own, with TLS; the certificate.
async fn start() -> (Harness, SocketAddr, String) {
    let made = rcgen::generate_simple_self_signed(["gateway.example".to_owned()]).expect("a certificate");
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let harness = Harness::start_changed(|config, folder| {
        let files = CertificateFiles { certificate: folder.join("tls.crt"), key: folder.join("tls.key") };
        std::fs::write(&files.certificate, &certificate).expect("written");
        std::fs::write(&files.key, key).expect("written");
        config.parts.gateway.tcp = Some(TcpSettings { address: any_port(), certificate: Some(files) });
    })
    .await;
    let address = harness.running().gateway_address.expect("a port of its own");
    (harness, address, certificate)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_opened_resumed_and_told_of_everything_over_tls() {
    let (harness, address, certificate) = start().await;
    let ada = harness.login(1).await;
    let mut client = Client::with_tls(address, &certificate).await.expect("TLS");
    let welcome = client.hello(&ada.access).await;
    let new = json!({ "party_id": protocol::id::PartyId::from_entropy([1; 16]) });
    assert_eq!(harness.post("/v1/parties", Some(&ada.access), &new).await.status, 201);
    let party = loop {
        match client.receive().await.expect("the connection lives") {
            Body::Party(party) if !party.party_id.is_empty() => break party,
            _ => {}
        }
    };
    assert_eq!(party.members.len(), 1);
    drop(client);
    let mut client = Client::with_tls(address, &certificate).await.expect("TLS");
    let token = welcome.resume_token;
    client.send(Body::Resume(pb::GatewayResume { version: 1, token, ..Default::default() })).await;
    let Some(Body::Welcome(again)) = client.receive().await else { panic!("no welcome") };
    assert!(again.resumed && again.session_id == welcome.session_id);
    loop {
        // Nothing was acknowledged, so it is told again.
        if matches!(client.receive().await.expect("the connection lives"), Body::Party(_)) {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_speaks_no_tls_shows_no_name_or_sends_too_much_is_sent_away() {
    let (harness, address, certificate) = start().await;
    let ada = harness.login(1).await;
    let mut plain = Client::plain(address).await;
    plain.send(Body::Ping(pb::GatewayPing {})).await;
    let mut rest = Vec::new();
    let _ = plain.0.read_to_end(&mut rest).await;
    assert!(pb::GatewayEnvelope::decode(rest.get(4..).unwrap_or(&[])).map_or(true, |read| read.body.is_none()));
    let other = rcgen::generate_simple_self_signed(["gateway.example".to_owned()]).expect("a certificate");
    assert!(Client::with_tls(address, &other.cert.pem()).await.is_err(), "it does not show another's certificate");
    let mut first = Client::with_tls(address, &certificate).await.expect("TLS");
    first.send(Body::Ping(pb::GatewayPing {})).await;
    let Some(Body::Problem(problem)) = first.receive().await else { panic!("no problem") };
    assert_eq!(problem.r#type, "urn:muster:problem:hello-first");
    let mut large = Client::with_tls(address, &certificate).await.expect("TLS");
    large.hello(&ada.access).await;
    large.0.write_all(&[0xFF; 4]).await.expect("written");
    large.0.flush().await.expect("written");
    let problem = loop {
        if let Body::Problem(problem) = large.receive().await.expect("told why") {
            break problem;
        }
    };
    assert_eq!(problem.r#type, "urn:muster:problem:malformed-message");
    assert_eq!(large.receive().await, None, "and the connection is over");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_certificate_the_port_is_plain() {
    let plain = |config: &mut metagame::Config, _: &std::path::Path| {
        config.parts.gateway.tcp = Some(TcpSettings { address: any_port(), certificate: None });
    };
    let harness = Harness::start_changed(plain).await;
    let ada = harness.login(1).await;
    let mut client = Client::plain(harness.running().gateway_address.expect("a port")).await;
    client.hello(&ada.access).await;
    client.send(Body::Ping(pb::GatewayPing {})).await;
    while !matches!(client.receive().await.expect("the connection lives"), Body::Pong(_)) {}
}
