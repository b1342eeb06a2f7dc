//! A QUIC client that keeps to QUIC's rules and to none of ours.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use netcode::Micros;
use netcode::endpoint::ServerEndpoint;
use quinn_proto::crypto::rustls::QuicClientConfig;
use quinn_proto::{
    ClientConfig, Connection, ConnectionHandle, DatagramEvent, Dir, Endpoint, EndpointConfig, Event, StreamEvent,
    StreamId,
};
use ring::hmac;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;

use crate::world::*;

/// The stranger, and what it learnt.
pub(crate) struct Stranger {
    endpoint: Endpoint,
    handle: ConnectionHandle,
    connection: Connection,
    stream: Option<StreamId>,
    pub(crate) now: Micros,
    /// TLS was done.
    pub(crate) connected: bool,
    /// The connection is over.
    pub(crate) lost: bool,
    /// What came on the stream.
    pub(crate) answer: Vec<u8>,
}

impl Stranger {
    pub(crate) fn new(alpn: &[u8]) -> Self {
        let server = quic_server_config();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(server.certificate)).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![alpn.to_vec()];
        let config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
        let mut shared = EndpointConfig::new(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &[1; 64])));
        shared.grease_quic_bit(false);
        let mut endpoint = Endpoint::new(Arc::new(shared), None, false, Some([1; 32]));
        let (handle, connection) = endpoint.connect(server.base, config, server_address(), "muster").unwrap();
        Self {
            endpoint,
            handle,
            connection,
            stream: None,
            now: Micros(0),
            connected: false,
            lost: false,
            answer: Vec::new(),
        }
    }

    /// Writes onto the one stream.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let stream = *self.stream.get_or_insert_with(|| self.connection.streams().open(Dir::Bi).unwrap());
        let _ = self.connection.send_stream(stream).write(bytes);
    }

    pub(crate) fn datagram(&mut self, bytes: &[u8]) {
        let _ = self.connection.datagrams().send(Bytes::copy_from_slice(bytes), true);
    }

    /// Talks to the server for this long, calling `act` each millisecond.
    pub(crate) fn run(&mut self, server: &mut ServerEndpoint, time: Duration, mut act: impl FnMut(&mut Self)) {
        let end = self.now + time;
        let here: SocketAddr = address(900);
        while self.now < end {
            let instant = quic_server_config().base + Duration::from_micros(self.now.0);
            if self.connection.poll_timeout().is_some_and(|at| at <= instant) {
                self.connection.handle_timeout(instant);
            }
            act(self);
            self.take_events();
            let mut bytes = Vec::new();
            while self.connection.poll_transmit(instant, 1, &mut bytes).is_some() {
                server.handle_datagram(self.now, here, &std::mem::take(&mut bytes));
            }
            server.handle_timeout(self.now);
            while let Some(job) = server.poll_handshake() {
                server.complete_handshake(self.now, job.run(&verify));
            }
            while let Some(transmit) = server.poll_transmit() {
                let mut answer = Vec::new();
                let datagram = BytesMut::from(&transmit.bytes[..]);
                let event = self.endpoint.handle(instant, server_address(), None, None, datagram, &mut answer);
                if let Some(DatagramEvent::ConnectionEvent(_, event)) = event
                    && transmit.to == here
                {
                    self.connection.handle_event(event);
                }
            }
            self.take_events();
            self.now = self.now + Duration::from_millis(1);
        }
    }

    fn take_events(&mut self) {
        while let Some(event) = self.connection.poll_endpoint_events() {
            if let Some(event) = self.endpoint.handle_event(self.handle, event) {
                self.connection.handle_event(event);
            }
        }
        while let Some(event) = self.connection.poll() {
            match event {
                Event::Connected => self.connected = true,
                Event::ConnectionLost { .. } => self.lost = true,
                Event::Stream(StreamEvent::Readable { id }) => {
                    let mut stream = self.connection.recv_stream(id);
                    let Ok(mut chunks) = stream.read(true) else { continue };
                    while let Ok(Some(chunk)) = chunks.next(10_000) {
                        self.answer.extend_from_slice(&chunk.bytes);
                    }
                    let _ = chunks.finalize();
                }
                _ => {}
            }
        }
    }
}
