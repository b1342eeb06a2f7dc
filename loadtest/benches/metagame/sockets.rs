//! Many connections to the gateway: what an idle one costs, and how long a message takes to all in its room.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use loadtest::metagame::connection::Connection;
use loadtest::metagame::load::{latencies, record};
use loadtest::metagame::session::{Account, accounts, good, of_player};
use prost::Message as _;
use protocol::gateway::frame;
use protocol::pb;
use protocol::pb::gateway_envelope::Body;
use rustls::pki_types::ServerName;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::process::{open_files_max, resident_bytes};
use crate::report::Report;
use crate::stage::{SEED, Stage};

/// Idle connections that are held at once, where the machine lets a process have so many.
const IDLE: usize = 20_000;
/// Files that a process has open besides them.
const OTHER_FILES: usize = 150;
/// Connections that are opened at once.
const OPENED_AT_ONCE: usize = 64;
/// Players in rooms, and how many a room has.
const IN_ROOMS: usize = 1_000;
const ROOM: usize = 50;
/// What is said in all rooms together, per second.
const SAID_PER_SECOND: f64 = 20.0;

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Adds the rows, or those that are chosen.
pub(crate) async fn run(report: &mut Report, length: Duration, only: &[String]) -> anyhow::Result<()> {
    let is_chosen = |name: &str| only.is_empty() || only.iter().any(|one| one == name);
    let idle = IDLE.min(open_files_max().saturating_sub(OTHER_FILES));
    for (name, with_tls, goal_kib) in [("sockets-idle", false, 10.0), ("sockets-idle-tls", true, 30.0)] {
        if !is_chosen(name) {
            continue;
        }
        eprintln!("gateway: {name} …");
        let stage = Stage::with_certificate().await?;
        let players = accounts(stage.api(), SEED, idle).await?;
        let before = resident_bytes(stage.metagame.id());
        let begun = Instant::now();
        let held = open(&stage, &players, with_tls).await?;
        let took = begun.elapsed().as_secs_f64();
        tokio::time::sleep(Duration::from_secs(5)).await;
        let each_kib = resident_bytes(stage.metagame.id()).saturating_sub(before) as f64 / held.len() as f64 / 1_024.0;
        report.push(json!({
            "row": name, "store": "PostgreSQL", "connections": held.len(), "opened_per_second": (held.len() as f64 / took).round(),
            "kib_each": (each_kib * 10.0).round() / 10.0, "goal_kib_each": goal_kib,
            "wanted": IDLE, "meets_goal": held.len() == idle && each_kib <= goal_kib,
        }));
    }
    if is_chosen("sockets-rooms") {
        eprintln!("gateway: sockets-rooms …");
        rooms(report, length).await?;
    }
    Ok(())
}

/// A connection of each player, with its session.
async fn open(stage: &Stage, players: &Arc<[Account]>, with_tls: bool) -> anyhow::Result<Vec<Box<dyn Stream>>> {
    let (api, gateway) = (stage.api(), stage.ready.gateway.context("a port of its own")?);
    let mut tasks = JoinSet::new();
    for first in 0..OPENED_AT_ONCE {
        let players = Arc::clone(players);
        tasks.spawn(async move {
            let mut opened = Vec::new();
            for number in (first..players.len()).step_by(OPENED_AT_ONCE) {
                let bearer = &players[number].bearer;
                let stream = if with_tls { tls(gateway, number).await? } else { web(api, number).await? };
                opened.push(hello(stream, bearer, !with_tls).await?);
            }
            anyhow::Ok(opened)
        });
    }
    let mut all = Vec::with_capacity(players.len());
    while let Some(some) = tasks.join_next().await {
        all.extend(some??);
    }
    Ok(all)
}

/// From one of several addresses, as each has only so many ports.
async fn connect(to: SocketAddr, number: usize) -> anyhow::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::new(127, 0, 0, 2 + (number % 8) as u8), 0).into())?;
    Ok(socket.connect(to).await?)
}

async fn web(api: SocketAddr, number: usize) -> anyhow::Result<Box<dyn Stream>> {
    let mut stream = connect(api, number).await?;
    let head = "GET /v1/gateway HTTP/1.1\r\nHost: metagame\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: muster.v1\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await?);
    }
    ensure!(answer.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&answer));
    Ok(Box::new(stream))
}

async fn tls(gateway: SocketAddr, number: usize) -> anyhow::Result<Box<dyn Stream>> {
    let stream = connect(gateway, number).await?;
    let stream = trusting().connect(ServerName::try_from("localhost")?, stream).await?;
    Ok(Box::new(stream))
}

/// Takes any certificate: the bench made it itself.
fn trusting() -> tokio_rustls::TlsConnector {
    use std::sync::OnceLock;
    static CONNECTOR: OnceLock<tokio_rustls::TlsConnector> = OnceLock::new();
    let make = || {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = Arc::new(AnyCertificate(Arc::clone(&provider)));
        let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config =
            config.expect("versions").dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
        tokio_rustls::TlsConnector::from(Arc::new(config))
    };
    CONNECTOR.get_or_init(make).clone()
}

#[derive(Debug)]
struct AnyCertificate(Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &rustls::pki_types::CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &rustls::pki_types::CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Says hello and waits for the welcome.
async fn hello(mut stream: Box<dyn Stream>, bearer: &str, is_web: bool) -> anyhow::Result<Box<dyn Stream>> {
    let token = bearer.strip_prefix("Bearer ").context("a bearer token")?.to_owned();
    let proof = Some(pb::gateway_hello::Proof::AccessToken(token));
    send(&mut stream, Body::Hello(pb::GatewayHello { version: 1, proof }), is_web).await?;
    let envelope = receive(&mut stream, is_web).await?;
    ensure!(matches!(envelope.body, Some(Body::Welcome(_))), "no welcome: {envelope:?}");
    Ok(stream)
}

async fn send(stream: &mut Box<dyn Stream>, body: Body, is_web: bool) -> anyhow::Result<()> {
    let bytes = pb::GatewayEnvelope { correlation_id: 1, seq: 0, body: Some(body) }.encode_to_vec();
    let framed = if is_web { masked(&bytes) } else { frame(&bytes) };
    stream.write_all(&framed).await?;
    Ok(stream.flush().await?)
}

/// A binary frame of a client.
fn masked(bytes: &[u8]) -> Vec<u8> {
    let mut framed = vec![0x82];
    if bytes.len() < 126 {
        framed.push(0x80 | bytes.len() as u8);
    } else {
        framed.push(0x80 | 126);
        framed.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
    }
    // A mask of zeros is allowed and changes nothing.
    framed.extend_from_slice(&[0; 4]);
    framed.extend_from_slice(bytes);
    framed
}

async fn receive(stream: &mut Box<dyn Stream>, is_web: bool) -> anyhow::Result<pb::GatewayEnvelope> {
    let length = if is_web {
        let first = stream.read_u8().await?;
        ensure!(first == 0x82, "not a binary frame: {first:#x}");
        match stream.read_u8().await? {
            126 => usize::from(stream.read_u16().await?),
            127 => usize::try_from(stream.read_u64().await?)?,
            short => usize::from(short),
        }
    } else {
        stream.read_u32().await? as usize
    };
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await?;
    Ok(pb::GatewayEnvelope::decode(&*bytes)?)
}

/// Parties in which somebody says something all the time: from the moment of saying until each has heard it.
async fn rooms(report: &mut Report, length: Duration) -> anyhow::Result<()> {
    let stage = Stage::with_certificate().await?;
    let players = accounts(stage.api(), SEED, IN_ROOMS).await?;
    gather(&stage, &players).await?;
    let streams = open(&stage, &players, false).await?;
    let heard = Arc::new(std::sync::Mutex::new(latencies()));
    let zero = Instant::now();
    let mut tasks = JoinSet::new();
    for mut stream in streams {
        let heard = Arc::clone(&heard);
        tasks.spawn(async move {
            loop {
                let envelope = receive(&mut stream, true).await?;
                match envelope.body {
                    Some(Body::Ping(_)) => send(&mut stream, Body::Pong(pb::GatewayPong {}), true).await?,
                    Some(Body::Chat(chat)) => {
                        let said_us: u64 = chat.text.parse()?;
                        let took = (zero.elapsed().as_micros() as u64).saturating_sub(said_us);
                        record(&mut heard.lock().unwrap(), Duration::from_micros(took));
                    }
                    _ => {}
                }
            }
            #[expect(unreachable_code, reason = "it gives the task its type")]
            anyhow::Ok(())
        });
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let said = talk(&stage, &players, zero, length).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    tasks.abort_all();
    let heard = heard.lock().unwrap().clone();
    let ms = |share| heard.value_at_quantile(share) as f64 / 1_000.0;
    let p99 = ms(0.99);
    report.push(json!({
        "row": "sockets-rooms", "store": "PostgreSQL", "connections": IN_ROOMS, "room": ROOM, "said": said, "heard": heard.len(),
        "per_second": (heard.len() as f64 / length.as_secs_f64()).round(),
        "client_ms": { "p50": ms(0.5), "p95": ms(0.95), "p99": p99 }, "goal_p99_ms": 50.0,
        "meets_goal": heard.len() == said * ROOM as u64 && p99 < 50.0,
    }));
    Ok(())
}

/// Everybody into a party of so many.
async fn gather(stage: &Stage, players: &[Account]) -> anyhow::Result<()> {
    let mut connection = Connection::new(stage.api());
    for (number, room) in players.chunks(ROOM).enumerate() {
        let party = uuid::Uuid::from_u128((number as u128 + 1) << 64 | 0x7000_8000_0000_0000_0000).to_string();
        let new = json!({ "party_id": party, "size_max": ROOM }).to_string();
        good(&connection.send(&of_player("POST", "/v1/parties", &room[0].bearer, &new)).await?)?;
        for member in &room[1..] {
            let invite = json!({ "player_id": member.player_id }).to_string();
            let path = "/v1/parties/me/invites";
            good(&connection.send(&of_player("POST", path, &room[0].bearer, &invite)).await?)?;
            let path = format!("/v1/parties/{party}/accept");
            good(&connection.send(&of_player("POST", &path, &member.bearer, "")).await?)?;
        }
    }
    Ok(())
}

/// Members say when it is, one after another, over REST. Returns how often.
async fn talk(stage: &Stage, players: &[Account], zero: Instant, length: Duration) -> anyhow::Result<u64> {
    let mut connection = Connection::new(stage.api());
    let mut parties = Vec::new();
    for room in players.chunks(ROOM) {
        let party = good(&connection.send(&of_player("GET", "/v1/parties/me", &room[0].bearer, "")).await?)?;
        parties.push(party["party_id"].as_str().context("a party")?.to_owned());
    }
    let gap = Duration::from_secs_f64(1.0 / SAID_PER_SECOND);
    let mut said = 0;
    let begun = Instant::now();
    while begun.elapsed() < length {
        tokio::time::sleep_until((begun + gap * u32::try_from(said)?).into()).await;
        let room = said as usize % parties.len();
        let speaker = &players[room * ROOM + (said as usize / parties.len()) % ROOM];
        let body = json!({
            "message_id": uuid::Uuid::from_bytes(service::random::bytes()).to_string(),
            "text": (zero.elapsed().as_micros() as u64).to_string(),
        });
        let path = format!("/v1/chat/party/{}/messages", parties[room]);
        good(&connection.send(&of_player("POST", &path, &speaker.bearer, &body.to_string())).await?)?;
        said += 1;
    }
    Ok(said)
}
