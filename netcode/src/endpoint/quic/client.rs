//! A client's one QUIC connection.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::BytesMut;
use protocol::wire::{JoinRequest, Refusal, VERSION_MAX, VERSION_MIN};
use quinn_proto::{ConnectionError, DatagramEvent, Endpoint, TransportErrorCode};

use super::Room;
use super::link::{Link, LinkEvent};
use super::settings::{self, QuicClientConfig};
use super::time::QuicTime;
use crate::endpoint::{DropReason, Transmit};
use crate::{Entropy, Micros};

/// TLS alerts by which a server says that it speaks another protocol (RFC 7301, 3.2).
const ALERT_NO_APPLICATION_PROTOCOL: u8 = 120;
/// Length of the first destination id; the server's own follow.
const FIRST_ID_BYTES: usize = 16;

/// What a client needs for its connection.
pub(in crate::endpoint) struct Dial {
    pub(in crate::endpoint) server: SocketAddr,
    pub(in crate::endpoint) routing_token: Vec<u8>,
    pub(in crate::endpoint) quic: QuicClientConfig,
    pub(in crate::endpoint) schema_hash: u64,
}

/// The connection with its endpoint.
pub(in crate::endpoint) struct QuicClient {
    endpoint: Endpoint,
    link: Link,
    time: QuicTime,
    schema_hash: u64,
    transmits: VecDeque<Transmit>,
    events: VecDeque<LinkEvent>,
    timer: Option<Micros>,
}

impl QuicClient {
    pub(in crate::endpoint) fn new(config: Dial, entropy: &mut Entropy, now: Micros) -> Result<Self, Refusal> {
        let time = QuicTime::new(config.quic.base);
        // The only setting that can be wrong is the server's: no certificate that could be trusted.
        let crypto = super::tls::client(config.quic.fingerprints).map_err(|_| Refusal::ServerKey)?;
        let mut client = quinn_proto::ClientConfig::new(Arc::new(crypto));
        let mut first = entropy.bytes::<FIRST_ID_BYTES>();
        let routed = config.routing_token.len().min(FIRST_ID_BYTES);
        first[..routed].copy_from_slice(&config.routing_token[..routed]);
        client
            .transport_config(settings::transport(0))
            .initial_dst_cid_provider(Arc::new(move || quinn_proto::ConnectionId::new(&first)));
        let mut endpoint = Endpoint::new(settings::endpoint(entropy, Vec::new()), None, false, Some(entropy.bytes()));
        let connected = endpoint.connect(time.instant(now), client, config.server, "muster");
        let (handle, connection) = connected.map_err(|_| Refusal::ServerKey)?;
        let mut client = Self {
            endpoint,
            link: Link::new(handle, connection),
            time,
            schema_hash: config.schema_hash,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            timer: None,
        };
        client.advance(now);
        Ok(client)
    }

    pub(in crate::endpoint) fn handle(
        &mut self,
        now: Micros,
        from: SocketAddr,
        datagram: &[u8],
    ) -> Result<(), DropReason> {
        let mut answer = Vec::new();
        let event =
            self.endpoint.handle(self.time.instant(now), from, None, None, BytesMut::from(datagram), &mut answer);
        match event {
            Some(DatagramEvent::ConnectionEvent(_, event)) => self.link.connection.handle_event(event),
            Some(DatagramEvent::Response(_) | DatagramEvent::NewConnection(_)) | None => return Err(DropReason::Quic),
        }
        self.advance(now);
        Ok(())
    }

    pub(in crate::endpoint) fn handle_timeout(&mut self, now: Micros) {
        self.link.connection.handle_timeout(self.time.instant(now));
        self.advance(now);
    }

    pub(in crate::endpoint) fn next_timeout(&self) -> Option<Micros> {
        self.timer
    }

    /// Whether nothing waits to be sent.
    pub(in crate::endpoint) fn is_quiet(&self) -> bool {
        self.transmits.is_empty()
    }

    pub(in crate::endpoint) fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    pub(in crate::endpoint) fn poll_event(&mut self) -> Option<LinkEvent> {
        self.events.pop_front()
    }

    /// What the server has answered so far.
    pub(in crate::endpoint) fn stream_bytes(&self) -> &[u8] {
        self.link.stream_bytes()
    }

    /// What binds a proof to this connection, once TLS is done.
    pub(in crate::endpoint) fn export(&self) -> Option<[u8; 32]> {
        self.link.export()
    }

    /// TLS is done: asks to be let in.
    pub(in crate::endpoint) fn ask(&mut self, now: Micros, credential: Vec<u8>) {
        let (version_min, version_max, schema_hash) = (VERSION_MIN, VERSION_MAX, self.schema_hash);
        self.link.ask(&JoinRequest { version_min, version_max, schema_hash, credential }.encode());
        self.advance(now);
    }

    pub(in crate::endpoint) fn room(&mut self) -> Room {
        self.link.room()
    }

    pub(in crate::endpoint) fn send(&mut self, now: Micros, packets: &mut Vec<Vec<u8>>) {
        packets.drain(..).for_each(|packet| self.link.send(packet));
        self.advance(now);
    }

    pub(in crate::endpoint) fn close(&mut self, now: Micros, code: u32) {
        self.link.close(self.time.instant(now), code);
        self.advance(now);
    }

    /// Bytes of UDP payload sent and received.
    pub(in crate::endpoint) fn bytes(&self) -> (u64, u64) {
        let stats = self.link.connection.stats();
        (stats.udp_tx.bytes, stats.udp_rx.bytes)
    }

    fn advance(&mut self, now: Micros) {
        let mut events = Vec::new();
        self.link.advance(self.time.instant(now), &mut self.endpoint, &mut self.transmits, &mut events);
        self.events.extend(events);
        self.timer = self.link.connection.poll_timeout().map(|at| self.time.micros(at));
    }
}

/// The refusal that the end of a connection before its answer means; `None`: it broke for another reason.
pub(in crate::endpoint) fn refusal(lost: &ConnectionError) -> Option<Refusal> {
    match lost {
        // Our own verdict on the server's certificate.
        ConnectionError::TransportError(error) if is_alert(error.code) => Some(Refusal::ServerKey),
        ConnectionError::ConnectionClosed(close) if close.error_code == TransportErrorCode::CONNECTION_REFUSED => {
            Some(Refusal::Busy)
        }
        ConnectionError::ConnectionClosed(close)
            if close.error_code == TransportErrorCode::crypto(ALERT_NO_APPLICATION_PROTOCOL) =>
        {
            Some(Refusal::Version)
        }
        _ => None,
    }
}

fn is_alert(code: TransportErrorCode) -> bool {
    (0x100..0x200).contains(&u64::from(code))
}
