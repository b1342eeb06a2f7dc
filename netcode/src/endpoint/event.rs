//! What an endpoint tells its caller.

use std::net::SocketAddr;

use protocol::token::JoinClaims;
use protocol::wire::{CloseReason, Refusal};

use super::{BULK_BYTES_MAX, Carrier, DropReason, MESSAGE_BYTES_MAX, SessionId, UNRELIABLE_BYTES_MAX};

/// What became of one datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// It was understood and had its effect.
    Accepted,
    /// It was dropped, and counted under this reason.
    Dropped(DropReason),
}

/// A datagram to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    /// Where to.
    pub to: SocketAddr,
    /// The UDP payload.
    pub bytes: Vec<u8>,
}

/// What happened on a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerEvent {
    /// A client has proved its keys with its first packet; its join token or resume ticket is used from
    /// now on. An older session of
    /// the same player in the same match was closed just before, with [`CloseReason::SeatTaken`].
    Connected {
        /// The new session.
        session: SessionId,
        /// Who and which match, as signed.
        claims: JoinClaims,
        /// The address the client sends from: for logs only, it may change and is never an identity.
        remote: SocketAddr,
        /// What carries its packets.
        carrier: Carrier,
        /// Whether it came with a resume ticket; its reliable messages go on then.
        resumed: bool,
    },
    /// An unreliable payload arrived, in any order, each at most once.
    Unreliable {
        /// From which session.
        session: SessionId,
        /// The bytes as they were sent.
        payload: Vec<u8>,
    },
    /// A reliable message arrived: exactly once, in the order sent.
    Message {
        /// From which session.
        session: SessionId,
        /// The bytes as they were sent.
        payload: Vec<u8>,
    },
    /// The packet with the unreliable payload of this tag was acknowledged.
    Delivered {
        /// To which session.
        session: SessionId,
        /// The tag given to `send_unreliable`.
        tag: u32,
    },
    /// Nothing was heard for 5 s.
    Silent {
        /// The session.
        session: SessionId,
    },
    /// Something was heard again after [`ServerEvent::Silent`].
    Heard {
        /// The session.
        session: SessionId,
    },
    /// The session has ended; its id means nothing any more.
    Closed {
        /// The session.
        session: SessionId,
        /// Why.
        reason: CloseReason,
        /// Whether the client said so.
        by_peer: bool,
    },
}

/// What happened on a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientEvent {
    /// The server accepted the join token. Payloads may be sent.
    Connected {
        /// The connection id that the server gave the session, for logs.
        session: SessionId,
        /// The protocol version that both speak.
        version: u16,
    },
    /// The server refused. The endpoint is done; some refusals are cured by another token or another attempt.
    Refused {
        /// Why.
        refusal: Refusal,
        /// What the server speaks, where the refusal carries it.
        detail: Option<RefusalDetail>,
    },
    /// An unreliable payload arrived, in any order, each at most once.
    Unreliable {
        /// The bytes as they were sent.
        payload: Vec<u8>,
    },
    /// A reliable message arrived: exactly once, in the order sent.
    Message {
        /// The bytes as they were sent.
        payload: Vec<u8>,
    },
    /// A bulk transfer is complete.
    Bulk {
        /// The bytes as they were sent.
        payload: Vec<u8>,
    },
    /// The packet with the unreliable payload of this tag was acknowledged.
    Delivered {
        /// The tag given to `send_unreliable`.
        tag: u32,
    },
    /// Nothing was heard for 5 s.
    Silent,
    /// Something was heard again after [`ClientEvent::Silent`].
    Heard,
    /// The session has ended.
    Closed {
        /// Why.
        reason: CloseReason,
        /// Whether the server said so.
        by_peer: bool,
    },
    /// The handshake did not finish within 5 s, or its QUIC connection broke before.
    TimedOut,
}

/// What a server speaks, as it says in an unauthenticated refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefusalDetail {
    /// Oldest protocol version of the server.
    pub version_min: u16,
    /// Newest protocol version of the server.
    pub version_max: u16,
    /// Hash of the server's schema.
    pub schema_hash: u64,
}

/// Why a payload was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// There is no such session, or the handshake has not finished, or it is closed.
    #[error("the session is not open")]
    NotOpen,
    /// Too long for its channel.
    #[error(
        "payload of {bytes} bytes is too long (unreliable: {UNRELIABLE_BYTES_MAX}, message: {MESSAGE_BYTES_MAX}, bulk: {BULK_BYTES_MAX})"
    )]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// The channel's queue is full: the peer does not keep up. An unreliable payload is dropped, a message was not queued.
    #[error("the channel is full because the peer does not keep up: send less, or close the session")]
    Full,
}
