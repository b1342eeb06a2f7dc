//! The client's side of the port.

use std::net::SocketAddr;

use protocol::wire::CloseReason;

use super::{ClientEvent, Counters, Received, SendError, SessionStats, Transmit};
use crate::{Entropy, Micros};

/// What a client endpoint needs to know.
pub struct ClientConfig {
    /// The server's address, from the assignment.
    pub server: SocketAddr,
    /// The server's public key, from the assignment.
    pub server_key: [u8; 32],
    /// Beginning of every connection id towards the server, from the assignment; may be empty.
    pub routing_token: Vec<u8>,
    /// The join token.
    pub join_token: String,
    /// Hash of the game's schema.
    pub schema_hash: u64,
}

/// A client's sans-IO endpoint: one handshake, then one session.
pub struct ClientEndpoint {
    config: ClientConfig,
    counters: Counters,
}

#[allow(unused_variables)]
impl ClientEndpoint {
    /// An endpoint that begins its handshake at once.
    pub fn new(config: ClientConfig, entropy: Entropy, now: Micros) -> Self {
        Self { config, counters: Counters::default() }
    }
    /// Takes one datagram.
    pub fn handle_datagram(&mut self, now: Micros, from: SocketAddr, datagram: &[u8]) -> Received {
        Received::Accepted
    }
    /// Takes the passing of time.
    pub fn handle_timeout(&mut self, now: Micros) {}
    /// When to call `handle_timeout` next; `None`: the endpoint is done.
    pub fn poll_timeout(&self) -> Option<Micros> {
        None
    }
    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        None
    }
    /// The next event.
    pub fn poll_event(&mut self) -> Option<ClientEvent> {
        None
    }
    /// Queues an unreliable payload for the next flush.
    /// # Errors
    /// [`SendError`].
    pub fn send_unreliable(&mut self, now: Micros, payload: &[u8], tag: Option<u32>) -> Result<(), SendError> {
        Err(SendError::NotOpen)
    }
    /// Queues a reliable message.
    /// # Errors
    /// [`SendError`].
    pub fn send_message(&mut self, now: Micros, payload: &[u8]) -> Result<(), SendError> {
        Err(SendError::NotOpen)
    }
    /// Packs everything that is due into packets.
    pub fn flush(&mut self, now: Micros) {}
    /// Closes the session.
    pub fn close(&mut self, now: Micros, reason: CloseReason) {}
    /// Whether payloads may be sent.
    pub fn is_open(&self) -> bool {
        false
    }
    /// Whether the endpoint is done: refused, timed out or closed, with nothing left to send.
    pub fn is_done(&self) -> bool {
        false
    }
    /// Measurements.
    pub fn stats(&self) -> SessionStats {
        SessionStats::default()
    }
    /// Totals.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}
