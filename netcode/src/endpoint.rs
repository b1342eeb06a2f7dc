//! Sans-IO endpoints of the game's UDP port: one [`ServerEndpoint`] with many sessions, one [`ClientEndpoint`] with one.
//!
//! The calling contract: hand in every datagram and every expired timeout with the current time, then drain
//! `poll_transmit` and `poll_event` until they are empty, then wait no longer than `poll_timeout` says. Payloads that were
//! given to `send_*` leave at the next `flush` (or, when they are resent, at a timeout). Extra calls are harmless.
//!
//! ```text
//! client                                   server
//!   Hello (1,200 bytes)          ─────►    stateless: no memory, no public-key work
//!                                ◄─────    Cookie
//!   Connect (cookie, credential) ─────►    HandshakeJob → worker thread → complete_handshake
//!                                ◄─────    Accept or Refuse
//!   Data under session keys      ─────►    ServerEvent::Connected: now the credential is used
//! ```

mod acks;
mod admission;
mod buffers;
mod carrier;
mod channel;
mod client;
mod closing;
mod cookie;
mod counters;
mod event;
mod half_open;
mod handshake;
mod limits;
mod noise;
mod packing;
mod path;
mod quic;
mod replay_window;
mod resume;
mod resuming;
mod rtt;
mod seal;
mod server;
mod session;
mod stats;
mod wrapping;

pub use carrier::Carrier;
pub use client::{ClientConfig, ClientEndpoint};
pub use counters::{CarrierCounters, Counters, DropReason};
pub use event::{ClientEvent, Received, RefusalDetail, SendError, ServerEvent, Transmit};
pub use handshake::{HandshakeDone, HandshakeJob};
pub use quic::{QuicClientConfig, QuicConfigError, QuicServerConfig};
pub use resume::{Credential, RESUMPTION_BYTES_MAX, Resumption, ResumptionError};
pub use server::{ServerConfig, ServerEndpoint};
pub use stats::SessionStats;

pub use protocol::wire::{BULK_BYTES_MAX, UNRELIABLE_BYTES_MAX};

use std::fmt;

/// Longest reliable message. Longer ones are what bulk transfers are for.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024;

/// One authenticated connection of one player to one server process; never used twice by an endpoint.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "session {}", self.0)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
