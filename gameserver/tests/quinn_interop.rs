//! A real server and quinn, QUIC with a driver of its own: another make of everything between the socket and our packets.

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use protocol::pb::{MatchPhase, Register};
use protocol::wire::{AcceptPayload, Acks, CloseReason, Frame, Frames, JoinRequest, QUIC_ALPN, decode_join_answer};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use support::{Stage, assign, match_id, player_id, token};
use testkit::wait::PATIENCE;

#[tokio::test(flavor = "multi_thread")]
async fn a_quinn_client_plays_and_comes_back_on_a_new_connection() {
    let mut stage = Stage::new("http://127.0.0.1:9").await;
    let running = stage.start().await;
    let (mut link, server) = stage.allocator.registered().await;
    let id = match_id(1);
    link.assign(assign(&server, id, &[1, 2], r#"{"ticks": 100000}"#)).await;

    let mut first = Player::join(running.udp, &server, token(&running, id, player_id(1))).await;
    first.play_until_snapshots(60).await;
    assert!(first.messages >= 1, "the welcome is a reliable message");
    // Its process is gone without a word; the player starts again.
    let mut second = Player::join(running.udp, &server, token(&running, id, player_id(1))).await;
    second.play_until_snapshots(60).await;
    let closed = tokio::time::timeout(PATIENCE, first.connection.closed()).await.expect("the older one is told");
    let quinn::ConnectionError::ApplicationClosed(close) = closed else { panic!("closed otherwise: {closed}") };
    assert_eq!(u64::from(close.error_code), CloseReason::SeatTaken as u64);

    second.say(&Frame::Close(CloseReason::Left));
    stage.shutdown.trigger();
    stage.hurry.trigger();
    let stats = link.until_phase(MatchPhase::Ended).await.stats.expect("statistics");
    assert_eq!((stats.joins, stats.reconnects, stats.quic_clients, stats.udp_clients), (1, 1, 1, 0));
    stage.end(running).await;
}

/// A player on quinn: TLS, one request on one stream, then packets as datagrams.
struct Player {
    connection: quinn::Connection,
    sequence: u32,
    received: BTreeSet<u32>,
    snapshots: u32,
    messages: u32,
}

impl Player {
    async fn join(server: std::net::SocketAddr, register: &Register, join_token: String) -> Self {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let mut shared = quinn::EndpointConfig::default();
        // Bit 0x40 tells QUIC from native packets on the port, so it stays set.
        shared.grease_quic_bit(false);
        let runtime = Arc::new(quinn::TokioRuntime);
        let endpoint = quinn::Endpoint::new(shared, None, socket, runtime).expect("an endpoint");
        let connecting = endpoint.connect_with(config(register), server, "muster").expect("a good configuration");
        let connection = tokio::time::timeout(PATIENCE, connecting).await.expect("in time").expect("TLS succeeds");

        let (mut asking, mut answering) = connection.open_bi().await.expect("one stream is allowed");
        let request = JoinRequest {
            version_min: 1,
            version_max: 1,
            schema_hash: register.schema_hash,
            credential: join_token.into_bytes(),
        };
        asking.write_all(&request.encode()).await.expect("the request is taken");
        let mut answer = vec![0; 2];
        answering.read_exact(&mut answer).await.expect("an answer");
        answer.resize(2 + usize::from(u16::from_le_bytes([answer[0], answer[1]])), 0);
        answering.read_exact(&mut answer[2..]).await.expect("a whole answer");
        let answer = decode_join_answer(&answer).expect("an answer that is none of ours");
        assert!(matches!(answer, Some(AcceptPayload::Offer(_))), "{answer:?}");
        Self { connection, sequence: 0, received: BTreeSet::new(), snapshots: 0, messages: 0 }
    }

    /// Pings and acknowledges until this many snapshots have come.
    async fn play_until_snapshots(&mut self, wanted: u32) {
        let play = async {
            while self.snapshots < wanted {
                self.say(&Frame::Ping);
                let pause = tokio::time::sleep(Duration::from_millis(50));
                tokio::pin!(pause);
                loop {
                    tokio::select! {
                        () = &mut pause => break,
                        packet = self.connection.read_datagram() => self.take(&packet.expect("the session lives")),
                    }
                }
            }
        };
        tokio::time::timeout(PATIENCE, play).await.expect("snapshots come");
    }

    /// Sends a packet with one frame and what it acknowledges.
    fn say(&mut self, frame: &Frame<'_>) {
        self.sequence += 1;
        let newest = self.received.last().copied().unwrap_or(0);
        let had = |bit: &u32| newest.checked_sub(bit + 1).is_some_and(|sequence| self.received.contains(&sequence));
        let bits = (0..32).filter(had).fold(0, |bits, bit| bits | 1 << bit);
        let acks = [&newest.to_le_bytes()[..], &u32::to_le_bytes(bits), &[0, 0]].concat();
        let mut packet = [&self.sequence.to_le_bytes()[..], &acks].concat();
        frame.encode(&mut packet);
        self.connection.send_datagram(packet.into()).expect("the session lives");
    }

    fn take(&mut self, packet: &[u8]) {
        let (sequence, rest) = packet.split_at(4);
        self.received.insert(u32::from_le_bytes(sequence.try_into().expect("four bytes")));
        let (_, frames) = Acks::decode(rest).expect("acks of ours");
        for frame in Frames::new(frames) {
            match frame.expect("a frame of ours") {
                Frame::Unreliable(_) => self.snapshots += 1,
                Frame::Reliable { .. } => self.messages += 1,
                _ => {}
            }
        }
    }
}

fn config(register: &Register) -> quinn::ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let pins = Pins { fingerprints: register.quic_fingerprints.clone(), provider: Arc::clone(&provider) };
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(pins))
        .with_no_client_auth();
    tls.alpn_protocols = vec![QUIC_ALPN.to_vec()];
    let tls = quinn::crypto::rustls::QuicClientConfig::try_from(tls).expect("a cipher suite for QUIC");
    quinn::ClientConfig::new(Arc::new(tls))
}

/// Trusts the certificates that the server registered with.
#[derive(Debug)]
struct Pins {
    fingerprints: Vec<Vec<u8>>,
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
    ) -> Result<ServerCertVerified, rustls::Error> {
        let fingerprint = ring::digest::digest(&ring::digest::SHA256, end_entity);
        let is_pinned = self.fingerprints.iter().any(|pinned| pinned == fingerprint.as_ref());
        is_pinned
            .then(ServerCertVerified::assertion)
            .ok_or_else(|| rustls::Error::General("another certificate".into()))
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("QUIC speaks TLS 1.3 only".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
