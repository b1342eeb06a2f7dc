//! Bytes on the game's one UDP port. The book's chapter "Wire format" says the same in prose.
//!
//! Every native packet begins with a type byte whose top two bits are clear (QUIC's first byte has bit 0x40 set,
//! RFC 9443), then an 8-byte connection id. Towards the server that id begins with the server's routing token.

mod cursor;
mod data;
mod frame;
mod handshake;
mod join;
mod resume;

pub use data::{
    Acks, DATA_HEADER_BYTES, DATA_OVERHEAD_BYTES, DataHeader, FRAMES_BYTES_MAX, PLAIN_HEADER_BYTES, SEQUENCE_MAX,
    TAG_BYTES, nonce,
};
pub use frame::{
    BULK_BYTES_MAX, BULK_CHUNK_BYTES, Frame, Frames, RELIABLE_SEGMENT_BYTES_MAX, UNRELIABLE_BYTES_MAX, frame_type,
};
pub use handshake::{
    Accept, AcceptPayload, COOKIE_BYTES, Connect, Cookie, CookieReply, HANDSHAKE_BYTES, Hello, NOISE_BYTES_MAX,
    NOISE_PATTERN, Refuse, SessionOffer, prologue,
};
pub use join::{
    JOIN_REQUEST_BYTES_MAX, JoinRequest, QUIC_ALPN, QUIC_OVERHEAD_BYTES, decode_join_answer, encode_join_answer,
};
pub use resume::{
    EXTENSION_RESUME_TICKET, RESUME_ID_BYTES, RESUME_LABEL, RESUME_PROOF_BYTES, RESUME_REQUEST, RESUME_REQUEST_BYTES,
    RESUME_SECRET_BYTES, ResumeBinder, ResumeId, ResumeRequest, ResumeTicket,
};

/// Eight bytes that tell sessions apart; those towards a server begin with its routing token.
pub type ConnectionId = [u8; CONNECTION_ID_BYTES];

/// First bytes of the native packets. Values from 0x40 up are QUIC's.
pub mod packet_type {
    /// Client to server: asks for a cookie.
    pub const HELLO: u8 = 0x01;
    /// Server to client: the cookie.
    pub const COOKIE: u8 = 0x02;
    /// Client to server: cookie and join token.
    pub const CONNECT: u8 = 0x03;
    /// Server to client: the answer, encrypted.
    pub const ACCEPT: u8 = 0x04;
    /// Server to client: a refusal before keys exist.
    pub const REFUSE: u8 = 0x05;
    /// Both ways: a packet under session keys.
    pub const DATA: u8 = 0x10;
}

/// Why bytes are not the packet that they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The packet ends before its fields do.
    #[error("packet is too short for its type")]
    TooShort,
    /// The packet is longer than its type may be.
    #[error("packet is too long for its type")]
    TooLong,
    /// The first byte names no packet, or not the expected one.
    #[error("packet has another type")]
    UnknownType,
    /// A Hello or Connect is not exactly 1,200 bytes, or is not padded with zeros.
    #[error("handshake packet is not 1,200 bytes padded with zeros")]
    WrongPadding,
    /// A frame is unknown, a length leads past the end, or a value is out of its range.
    #[error("content breaks the wire format")]
    Malformed,
}

/// Longest UDP payload that is sent before the path has been probed.
pub const DATAGRAM_BYTES_MAX: usize = 1_200;
/// Longest packet, on every carrier: what a QUIC datagram leaves of 1,200 bytes.
pub const PACKET_BYTES_MAX: usize = 1_140;
/// Length of a connection id.
pub const CONNECTION_ID_BYTES: usize = 8;
/// Longest routing token: the rest of a connection id tells sessions apart.
pub const ROUTING_TOKEN_BYTES_MAX: usize = 3;
/// Oldest protocol version that this build speaks.
pub const VERSION_MIN: u16 = 1;
/// Newest protocol version that this build speaks.
pub const VERSION_MAX: u16 = 1;
/// Most inputs that one packet repeats.
pub const INPUTS_REPEATED_MAX: usize = 12;

/// Why a server refuses a client. The numbers are part of the wire format and never change their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub enum Refusal {
    /// No protocol version in common; the answer names the server's range.
    Version = 1,
    /// The client's schema is not the server's; the answer names the server's hash.
    Schema = 2,
    /// The join token is malformed or of another type.
    TokenMalformed = 3,
    /// The join token is signed by an unknown key or its signature does not fit.
    TokenSignature = 4,
    /// The join token has expired: ask for another.
    TokenExpired = 5,
    /// The join token is for another server process.
    TokenAudience = 6,
    /// The join token was used already: ask for another.
    TokenUsed = 7,
    /// No such match here, or it has ended.
    NoMatch = 8,
    /// The player is not on the match's roster.
    NotOnRoster = 9,
    /// The server is at its limit of sessions or half-open handshakes: try again.
    Busy = 10,
    /// The server is draining.
    Draining = 11,
    /// The handshake does not decrypt: the client holds another server's key.
    ServerKey = 12,
    /// The resume ticket is not known or not proved: it is used up, or its seat is gone. Ask for a join token.
    ResumeTicket = 13,
}

impl Refusal {
    /// Every refusal, in order of number.
    pub const ALL: [Self; 13] = [
        Self::Version,
        Self::Schema,
        Self::TokenMalformed,
        Self::TokenSignature,
        Self::TokenExpired,
        Self::TokenAudience,
        Self::TokenUsed,
        Self::NoMatch,
        Self::NotOnRoster,
        Self::Busy,
        Self::Draining,
        Self::ServerKey,
        Self::ResumeTicket,
    ];

    /// The refusal with this number.
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|refusal| *refusal as u16 == code)
    }

    /// The refusal's name as a metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Version => "version",
            Self::Schema => "schema",
            Self::TokenMalformed => "token_malformed",
            Self::TokenSignature => "token_signature",
            Self::TokenExpired => "token_expired",
            Self::TokenAudience => "token_audience",
            Self::TokenUsed => "token_used",
            Self::NoMatch => "no_match",
            Self::NotOnRoster => "not_on_roster",
            Self::Busy => "busy",
            Self::Draining => "draining",
            Self::ServerKey => "server_key",
            Self::ResumeTicket => "resume_ticket",
        }
    }
}

/// Why a session was closed. The numbers are part of the wire format and never change their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub enum CloseReason {
    /// The client leaves the match for good.
    Left = 1,
    /// The match has ended.
    MatchEnded = 2,
    /// A newer session of the same player took the seat.
    SeatTaken = 3,
    /// Nothing was heard for too long.
    TimedOut = 4,
    /// The server is draining and its deadline has come.
    Draining = 5,
    /// The peer broke the protocol.
    Protocol = 6,
    /// The room failed.
    RoomFailed = 7,
    /// An operator or the game removed the player.
    Kicked = 8,
}

impl CloseReason {
    /// Every reason, in order of number.
    pub const ALL: [Self; 8] = [
        Self::Left,
        Self::MatchEnded,
        Self::SeatTaken,
        Self::TimedOut,
        Self::Draining,
        Self::Protocol,
        Self::RoomFailed,
        Self::Kicked,
    ];

    /// The reason with this number.
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| *reason as u16 == code)
    }

    /// The reason's name as a metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::MatchEnded => "match_ended",
            Self::SeatTaken => "seat_taken",
            Self::TimedOut => "timed_out",
            Self::Draining => "draining",
            Self::Protocol => "protocol",
            Self::RoomFailed => "room_failed",
            Self::Kicked => "kicked",
        }
    }
}
