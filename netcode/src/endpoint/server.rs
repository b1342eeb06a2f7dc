//! The server's side of the port.

use std::net::SocketAddr;

use protocol::id::ServerId;
use protocol::wire::CloseReason;

use super::{
    Counters, HandshakeDone, HandshakeJob, Received, SendError, ServerEvent, SessionId, SessionStats, Transmit,
};
use crate::{Entropy, Micros};

/// What a server endpoint needs to know.
pub struct ServerConfig {
    /// X25519 secret; its public key is what assignments name.
    pub static_secret: [u8; 32],
    /// Beginning of every connection id, for routing proxies; at most 3 bytes, may be empty.
    pub routing_token: Vec<u8>,
    /// This incarnation of the server process.
    pub server_id: ServerId,
    /// Hash of the game's schema.
    pub schema_hash: u64,
    /// Most sessions at once.
    pub sessions_max: usize,
    /// Most handshakes at once that have no session yet.
    pub half_open_max: usize,
}

/// A server's sans-IO endpoint.
pub struct ServerEndpoint {
    config: ServerConfig,
    counters: Counters,
}

#[allow(unused_variables)]
impl ServerEndpoint {
    /// An endpoint without sessions.
    pub fn new(config: ServerConfig, entropy: Entropy) -> Self {
        Self { config, counters: Counters::default() }
    }
    /// The public key that clients must know.
    pub fn public_key(&self) -> [u8; 32] {
        self.config.static_secret
    }
    /// Takes one datagram.
    pub fn handle_datagram(&mut self, now: Micros, from: SocketAddr, datagram: &[u8]) -> Received {
        Received::Accepted
    }
    /// Takes the passing of time.
    pub fn handle_timeout(&mut self, now: Micros) {}
    /// When to call `handle_timeout` next.
    pub fn poll_timeout(&self) -> Option<Micros> {
        None
    }
    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        None
    }
    /// The next event.
    pub fn poll_event(&mut self) -> Option<ServerEvent> {
        None
    }
    /// The next piece of public-key work.
    pub fn poll_handshake(&mut self) -> Option<HandshakeJob> {
        None
    }
    /// Takes the outcome of a piece of public-key work.
    pub fn complete_handshake(&mut self, now: Micros, done: HandshakeDone) {}
    /// Queues an unreliable payload for the next flush.
    /// # Errors
    /// [`SendError`].
    pub fn send_unreliable(
        &mut self,
        now: Micros,
        session: SessionId,
        payload: &[u8],
        tag: Option<u32>,
    ) -> Result<(), SendError> {
        Err(SendError::NotOpen)
    }
    /// Queues a reliable message.
    /// # Errors
    /// [`SendError`].
    pub fn send_message(&mut self, now: Micros, session: SessionId, payload: &[u8]) -> Result<(), SendError> {
        Err(SendError::NotOpen)
    }
    /// Queues a bulk transfer.
    /// # Errors
    /// [`SendError`].
    pub fn send_bulk(&mut self, now: Micros, session: SessionId, payload: Vec<u8>) -> Result<(), SendError> {
        Err(SendError::NotOpen)
    }
    /// Packs everything that is due into packets.
    pub fn flush(&mut self, now: Micros) {}
    /// Closes a session.
    pub fn close(&mut self, now: Micros, session: SessionId, reason: CloseReason) {}
    /// Refuses new clients from now on.
    pub fn drain(&mut self, now: Micros) {}
    /// Measurements of a session.
    pub fn stats(&self, session: SessionId) -> Option<SessionStats> {
        None
    }
    /// Totals.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
    /// The address a session's packets go to.
    pub fn remote(&self, session: SessionId) -> Option<SocketAddr> {
        None
    }
    /// Open sessions.
    pub fn sessions(&self) -> usize {
        0
    }
    /// Handshakes without a session yet.
    pub fn half_open(&self) -> usize {
        0
    }
}
