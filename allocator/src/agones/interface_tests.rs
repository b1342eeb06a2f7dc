//! Tests of the two interfaces over sockets, with certificates on both sides.

use std::path::Path;

use protocol::agones_allocation as pb;
use protocol::agones_allocation::allocation_service_client::AllocationServiceClient;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic::Code;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use super::super::core::server::fixtures::ready;
use super::super::fake_cluster::{FakeCluster, engine, leads};
use super::*;

struct Pair {
    certificate: String,
    key: KeyPair,
}

fn root(name: &str) -> (Pair, CertificateParams) {
    let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    (Pair { certificate: params.self_signed(&key).expect("signed").pem(), key }, params)
}

fn issued(by: &(Pair, CertificateParams)) -> Pair {
    let key = KeyPair::generate().expect("a key");
    let issuer = Issuer::from_params(&by.1, &by.0.key);
    let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    Pair { certificate: params.signed_by(&key, &issuer).expect("signed").pem(), key }
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).expect("write");
}

/// What runs, and who may call it.
struct Stage {
    bound: Bound,
    shutdown: Shutdown,
    server_root: String,
    clients: (Pair, CertificateParams),
    folder: tempfile::TempDir,
}

async fn stage(servers: usize, also_known: Option<&str>) -> Stage {
    let (server_root, clients) = (root("server root"), root("client root"));
    let server = issued(&server_root);
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), "tls.crt", &server.certificate);
    write(folder.path(), "tls.key", &server.key.serialize_pem());
    write(folder.path(), "ca.crt", &format!("{}{}", clients.0.certificate, also_known.unwrap_or("")));
    let cluster = Arc::new(FakeCluster::default());
    for n in 0..servers {
        cluster.put(ready(&format!("a-{n}"), "a", "n1"));
    }
    let shutdown = Shutdown::new();
    let any = "127.0.0.1:0".parse().expect("an address");
    let interfaces = Interfaces { grpc: any, rest: any, tls: TlsFiles::in_folder(folder.path()) };
    let bound = serve(&engine(&cluster, leads(), &shutdown), interfaces, &shutdown).await.expect("starts");
    Stage { bound, shutdown, server_root: server_root.0.certificate, clients, folder }
}

impl Stage {
    async fn grpc(&self, client: &Pair) -> Result<AllocationServiceClient<Channel>, tonic::transport::Error> {
        let tls = ClientTlsConfig::new()
            .domain_name("localhost")
            .ca_certificate(Certificate::from_pem(&self.server_root))
            .identity(Identity::from_pem(&client.certificate, client.key.serialize_pem()));
        let endpoint = Endpoint::from_shared(format!("https://{}", self.bound.grpc)).expect("an address");
        Ok(AllocationServiceClient::new(endpoint.tls_config(tls)?.connect().await?))
    }

    /// Posts to the REST interface, with or without a certificate: status and body.
    async fn rest(&self, client: Option<&Pair>, header: &str, body: &str) -> std::io::Result<(u16, String)> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.server_root.as_bytes()).expect("PEM")).expect("a root");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.expect("versions").with_root_certificates(roots);
        let config = match client {
            None => config.with_no_client_auth(),
            Some(pair) => {
                let chain = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).expect("PEM");
                let key = PrivateKeyDer::from_pem_slice(pair.key.serialize_pem().as_bytes()).expect("PEM");
                config.with_client_auth_cert(vec![chain], key).expect("a pair")
            }
        };
        let stream = tokio::net::TcpStream::connect(self.bound.rest).await?;
        let name = ServerName::try_from("localhost").expect("a name");
        let mut stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        let head = format!("POST /gameserverallocation HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{header}");
        let request = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Ok((status, body.to_owned()))
    }
}

fn fleet_a() -> pb::AllocationRequest {
    let labels = [("agones.dev/fleet".to_owned(), "a".to_owned())].into();
    let selector = pb::GameServerSelector { match_labels: labels, ..pb::GameServerSelector::default() };
    pb::AllocationRequest { namespace: "games".into(), game_server_selectors: vec![selector], ..Default::default() }
}

#[tokio::test]
async fn a_server_is_given_out_over_grpc_and_over_rest_and_then_there_is_none() {
    let stage = stage(2, None).await;
    let client = issued(&stage.clients);
    let mut grpc = stage.grpc(&client).await.expect("connects");
    let given = grpc.allocate(fleet_a()).await.expect("given out").into_inner();
    assert_eq!(
        (given.game_server_name.as_str(), given.address.as_str(), given.source.as_str()),
        ("a-0", "10.0.0.1", "local")
    );
    assert_eq!((given.ports[0].name.as_str(), given.ports[0].port, given.node_name.as_str()), ("default", 7000, "n1"));
    assert!(given.metadata.expect("metadata").annotations.contains_key("agones.dev/last-allocated"));

    let body = r#"{"namespace":"games","gameServerSelectors":[{"matchLabels":{"agones.dev/fleet":"a"}}]}"#;
    let (status, answer) = stage.rest(Some(&client), "", body).await.expect("an answer");
    let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
    assert_eq!((status, &answer["gameServerName"]), (200, &"a-1".into()), "{answer}");

    let none = grpc.allocate(fleet_a()).await.expect_err("none is left");
    assert_eq!(
        (none.code(), none.message()),
        (Code::ResourceExhausted, "there is no available GameServer to allocate")
    );
    let (status, answer) = stage.rest(Some(&client), "", body).await.expect("an answer");
    assert!(status == 429 && answer.contains("\"code\":8"), "{status} {answer}");
    stage.shutdown.trigger();
}

#[tokio::test]
async fn bad_requests_are_told_what_is_wrong() {
    let stage = stage(1, None).await;
    let client = issued(&stage.clients);
    for (header, body, expected) in [
        ("", r#"{"namespace":"games","gameserverSelectors":[]}"#, "gameserverSelectors"),
        ("", r#"{"namespace":"other"}"#, "other"),
        ("", r#"{"namespace":"games","multiClusterSetting":{"enabled":true}}"#, "several clusters"),
        ("muster-wait-ms: soon\r\n", r#"{"namespace":"games"}"#, "milliseconds"),
    ] {
        let (status, answer) = stage.rest(Some(&client), header, body).await.expect("an answer");
        assert!(status == 400 && answer.contains(expected) && answer.contains("\"code\":3"), "{status} {answer}");
    }
    let mut grpc = stage.grpc(&client).await.expect("connects");
    let wrong = pb::AllocationRequest { scheduling: 5, ..fleet_a() };
    assert_eq!(grpc.allocate(wrong).await.expect_err("refused").code(), Code::InvalidArgument);
}

#[tokio::test]
async fn callers_without_a_good_certificate_are_turned_away() {
    let stranger = root("stranger");
    let pinned = root("self-signed client").0;
    let stage = stage(3, Some(&pinned.certificate)).await;
    let body = r#"{"namespace":"games"}"#;
    assert!(stage.rest(None, "", body).await.is_err());
    assert!(stage.rest(Some(&issued(&stranger)), "", body).await.is_err());
    assert!(stage.rest(Some(&stranger.0), "", body).await.is_err());
    let is_refused = match stage.grpc(&issued(&stranger)).await {
        Err(_) => true,
        Ok(mut grpc) => grpc.allocate(fleet_a()).await.is_err(),
    };
    assert!(is_refused);
    // A certificate that is its own root is good where that very certificate is known.
    assert_eq!(stage.rest(Some(&pinned), "", body).await.expect("an answer").0, 200);
    assert_eq!(stage.rest(Some(&issued(&stage.clients)), "", body).await.expect("an answer").0, 200);
}

#[tokio::test]
async fn new_certificates_are_taken_and_wrong_ones_are_not() {
    let stage = stage(3, None).await;
    let folder = stage.folder.path();
    let others = root("other clients");
    let tls = Tls::open(TlsFiles::in_folder(folder), &[b"http/1.1"], stage.shutdown.clone()).expect("good files");
    let before = tls.acceptor().config().clone();
    write(folder, "tls.key", "no key");
    let error = tls.reload().expect_err("no key").to_string();
    assert!(error.contains("tls.key") && error.contains("private key"), "{error}");
    assert!(Arc::ptr_eq(&before, tls.acceptor().config()));
    let server = issued(&others);
    write(folder, "tls.crt", &server.certificate);
    write(folder, "tls.key", &server.key.serialize_pem());
    assert!(tls.reload().expect("good files"));
    assert!(!Arc::ptr_eq(&before, tls.acceptor().config()));
    assert!(!tls.reload().expect("nothing new"));
}
