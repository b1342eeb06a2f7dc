//! The packets before session keys exist: Hello, Cookie, Connect, Accept, Refuse. All integers little-endian.

use super::cursor::Cursor;
use super::{CONNECTION_ID_BYTES, ConnectionId, DATAGRAM_BYTES_MAX, Refusal, WireError, packet_type};

/// Exact length of Hello and Connect: what a server answers is always shorter, so it amplifies nothing.
pub const HANDSHAKE_BYTES: usize = DATAGRAM_BYTES_MAX;
/// Length of a cookie with its bucket byte.
pub const COOKIE_BYTES: usize = 17;
/// Longest Noise message in a Connect.
pub const NOISE_BYTES_MAX: usize = HANDSHAKE_BYTES - CONNECT_HEADER_BYTES;
/// The Noise protocol of the handshake.
pub const NOISE_PATTERN: &str = "Noise_NK_25519_AESGCM_SHA256";
/// First bytes of the prologue.
const PROTOCOL_NAME: &[u8; 10] = b"muster-udp";
const CONNECT_HEADER_BYTES: usize = 1 + CONNECTION_ID_BYTES + 8 + 2 + 2 + 8 + COOKIE_BYTES + 2;

/// What a server hands to an address that said Hello: 16 bytes of SipHash-2-4-128, then the low byte of the number of
/// the time bucket whose secret made them. Opaque to clients.
pub type Cookie = [u8; COOKIE_BYTES];

/// 0x01, client to server: asks for a cookie. Costs the server no memory and no public-key work.
///
/// `type 1 · destination 8 · client id 8 · version min u16 · version max u16 · schema hash u64 · zeros up to 1,200`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Routing token, then bytes of the client's choice.
    pub destination: ConnectionId,
    /// Random bytes by which the client knows the packets that are for it.
    pub client_id: ConnectionId,
    /// Oldest version that the client speaks.
    pub version_min: u16,
    /// Newest version that the client speaks.
    pub version_max: u16,
    /// Hash of the client's schema.
    pub schema_hash: u64,
}

impl Hello {
    /// The packet's 1,200 bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HANDSHAKE_BYTES);
        out.push(packet_type::HELLO);
        self.put_fields(&mut out);
        out.resize(HANDSHAKE_BYTES, 0);
        out
    }

    /// Reads a whole packet.
    ///
    /// # Errors
    /// The first [`WireError`] that applies.
    pub fn decode(packet: &[u8]) -> Result<Self, WireError> {
        let mut cursor = Cursor(packet);
        cursor.expect_type(packet_type::HELLO)?;
        exact(packet)?;
        let hello = Self::take_fields(&mut cursor)?;
        zeros(cursor.0)?;
        Ok(hello)
    }

    fn put_fields(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.destination);
        out.extend_from_slice(&self.client_id);
        out.extend_from_slice(&self.version_min.to_le_bytes());
        out.extend_from_slice(&self.version_max.to_le_bytes());
        out.extend_from_slice(&self.schema_hash.to_le_bytes());
    }

    fn take_fields(cursor: &mut Cursor<'_>) -> Result<Self, WireError> {
        Ok(Self {
            destination: cursor.array()?,
            client_id: cursor.array()?,
            version_min: cursor.u16()?,
            version_max: cursor.u16()?,
            schema_hash: cursor.u64()?,
        })
    }
}

/// 0x02, server to client: the cookie.
///
/// `type 1 · client id 8 · cookie 17` = 26 bytes
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CookieReply {
    /// The client id of the Hello.
    pub client_id: ConnectionId,
    /// To be returned in the Connect.
    pub cookie: Cookie,
}

impl CookieReply {
    /// The packet's bytes.
    pub fn encode(&self) -> Vec<u8> {
        [&[packet_type::COOKIE][..], &self.client_id, &self.cookie].concat()
    }

    /// Reads a whole packet.
    ///
    /// # Errors
    /// The first [`WireError`] that applies.
    pub fn decode(packet: &[u8]) -> Result<Self, WireError> {
        let mut cursor = Cursor(packet);
        cursor.expect_type(packet_type::COOKIE)?;
        let reply = Self { client_id: cursor.array()?, cookie: cursor.array()? };
        cursor.end()?;
        Ok(reply)
    }
}

/// 0x03, client to server: the Hello again with the cookie and the first Noise message, whose payload is the join token or a
/// [`ResumeRequest`](super::ResumeRequest).
///
/// `type 1 · the five fields of Hello · cookie 17 · noise length u16 · noise · zeros up to 1,200`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connect {
    /// As in the Hello.
    pub hello: Hello,
    /// From the server.
    pub cookie: Cookie,
    /// Noise message 1: `e, es`, payload = the credential.
    pub noise: Vec<u8>,
}

impl Connect {
    /// The packet's 1,200 bytes.
    ///
    /// # Panics
    /// When `noise` is longer than [`NOISE_BYTES_MAX`]: the caller bounds the token.
    pub fn encode(&self) -> Vec<u8> {
        assert!(self.noise.len() <= NOISE_BYTES_MAX, "a noise message of {} bytes fits no Connect", self.noise.len());
        let mut out = Vec::with_capacity(HANDSHAKE_BYTES);
        out.push(packet_type::CONNECT);
        self.hello.put_fields(&mut out);
        out.extend_from_slice(&self.cookie);
        out.extend_from_slice(&(self.noise.len() as u16).to_le_bytes());
        out.extend_from_slice(&self.noise);
        out.resize(HANDSHAKE_BYTES, 0);
        out
    }

    /// Reads a whole packet.
    ///
    /// # Errors
    /// The first [`WireError`] that applies.
    pub fn decode(packet: &[u8]) -> Result<Self, WireError> {
        let mut cursor = Cursor(packet);
        cursor.expect_type(packet_type::CONNECT)?;
        exact(packet)?;
        let hello = Hello::take_fields(&mut cursor)?;
        let cookie = cursor.array()?;
        let noise = cursor.counted().map_err(|_| WireError::Malformed)?.to_vec();
        zeros(cursor.0)?;
        Ok(Self { hello, cookie, noise })
    }
}

/// 0x04, server to client: Noise message 2 (`e, ee`), whose payload is an [`AcceptPayload`].
///
/// `type 1 · client id 8 · noise length u16 · noise`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accept {
    /// The client id of the Connect.
    pub client_id: ConnectionId,
    /// Noise message 2.
    pub noise: Vec<u8>,
}

impl Accept {
    /// The packet's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let length = (self.noise.len() as u16).to_le_bytes();
        [&[packet_type::ACCEPT][..], &self.client_id, &length, &self.noise].concat()
    }

    /// Reads a whole packet.
    ///
    /// # Errors
    /// The first [`WireError`] that applies.
    pub fn decode(packet: &[u8]) -> Result<Self, WireError> {
        let mut cursor = Cursor(packet);
        cursor.expect_type(packet_type::ACCEPT)?;
        let accept = Self { client_id: cursor.array()?, noise: cursor.counted()?.to_vec() };
        cursor.end()?;
        Ok(accept)
    }
}

/// The encrypted content of an [`Accept`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AcceptPayload {
    /// Status 0: the session is offered; the client's first packet under its keys takes it.
    Offer(SessionOffer),
    /// Any other status: an authenticated refusal. `status u16`, and nothing after it that this version reads.
    Refused(Refusal),
}

/// What a server offers.
///
/// `status u16 = 0 · session id 8 · version u16 · idle timeout ms u32 · packet bytes max u16 · extensions length u16 ·
/// extensions`, each extension `kind u16 · length u16 · bytes`. Unknown kinds are skipped; kind 1 is a
/// [`ResumeTicket`](super::ResumeTicket).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionOffer {
    /// Connection id of every packet to the server from now on; begins with the routing token.
    pub session_id: ConnectionId,
    /// The newest version that both speak.
    pub version: u16,
    /// Milliseconds without a packet after which the server ends the session.
    pub idle_timeout_ms: u32,
    /// Longest packet that the server takes.
    pub packet_bytes_max: u16,
    /// Extensions by kind.
    pub extensions: Vec<(u16, Vec<u8>)>,
}

impl AcceptPayload {
    /// The payload's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let offer = match self {
            Self::Refused(refusal) => return (*refusal as u16).to_le_bytes().to_vec(),
            Self::Offer(offer) => offer,
        };
        let mut extensions = Vec::new();
        for (kind, bytes) in &offer.extensions {
            extensions.extend_from_slice(&kind.to_le_bytes());
            extensions.extend_from_slice(&(bytes.len() as u16).to_le_bytes());
            extensions.extend_from_slice(bytes);
        }
        let mut out = vec![0, 0];
        out.extend_from_slice(&offer.session_id);
        out.extend_from_slice(&offer.version.to_le_bytes());
        out.extend_from_slice(&offer.idle_timeout_ms.to_le_bytes());
        out.extend_from_slice(&offer.packet_bytes_max.to_le_bytes());
        out.extend_from_slice(&(extensions.len() as u16).to_le_bytes());
        out.extend_from_slice(&extensions);
        out
    }

    /// Reads a whole payload.
    ///
    /// # Errors
    /// [`WireError::Malformed`] for a status that this version does not know; otherwise the first that applies.
    pub fn decode(payload: &[u8]) -> Result<Self, WireError> {
        let mut cursor = Cursor(payload);
        let status = cursor.u16()?;
        if status != 0 {
            return Refusal::from_code(status).map(Self::Refused).ok_or(WireError::Malformed);
        }
        let mut offer = SessionOffer {
            session_id: cursor.array()?,
            version: cursor.u16()?,
            idle_timeout_ms: cursor.u32()?,
            packet_bytes_max: cursor.u16()?,
            extensions: Vec::new(),
        };
        let mut rest = Cursor(cursor.counted()?);
        cursor.end()?;
        while !rest.0.is_empty() {
            offer.extensions.push((rest.u16()?, rest.counted()?.to_vec()));
        }
        Ok(Self::Offer(offer))
    }
}

/// 0x05, server to client: a refusal before keys exist. Whoever reads the client's packets could forge it; who only
/// guesses cannot, because it echoes the client id and the cookie.
///
/// `type 1 · client id 8 · cookie 17 · refusal u16 · version min u16 · version max u16 · schema hash u64` = 40 bytes
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refuse {
    /// The client id of the Connect.
    pub client_id: ConnectionId,
    /// The cookie of the Connect.
    pub cookie: Cookie,
    /// Why.
    pub refusal: Refusal,
    /// Oldest version that the server speaks.
    pub version_min: u16,
    /// Newest version that the server speaks.
    pub version_max: u16,
    /// Hash of the server's schema.
    pub schema_hash: u64,
}

impl Refuse {
    /// The packet's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![packet_type::REFUSE];
        out.extend_from_slice(&self.client_id);
        out.extend_from_slice(&self.cookie);
        for number in [self.refusal as u16, self.version_min, self.version_max] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.schema_hash.to_le_bytes());
        out
    }

    /// Reads a whole packet.
    ///
    /// # Errors
    /// The first [`WireError`] that applies.
    pub fn decode(packet: &[u8]) -> Result<Self, WireError> {
        let mut cursor = Cursor(packet);
        cursor.expect_type(packet_type::REFUSE)?;
        let refuse = Self {
            client_id: cursor.array()?,
            cookie: cursor.array()?,
            refusal: Refusal::from_code(cursor.u16()?).ok_or(WireError::Malformed)?,
            version_min: cursor.u16()?,
            version_max: cursor.u16()?,
            schema_hash: cursor.u64()?,
        };
        cursor.end()?;
        Ok(refuse)
    }
}

/// The Noise prologue: `"muster-udp" · version min u16 · version max u16 · schema hash u64 · client id 8` = 30 bytes, with
/// the client's values, so that a changed Hello makes the handshake fail. The cookie is not part of it: a client
/// may fetch a new one and still repeat the same Noise message.
pub fn prologue(hello: &Hello) -> Vec<u8> {
    let mut out = PROTOCOL_NAME.to_vec();
    out.extend_from_slice(&hello.version_min.to_le_bytes());
    out.extend_from_slice(&hello.version_max.to_le_bytes());
    out.extend_from_slice(&hello.schema_hash.to_le_bytes());
    out.extend_from_slice(&hello.client_id);
    out
}

fn exact(packet: &[u8]) -> Result<(), WireError> {
    if packet.len() == HANDSHAKE_BYTES { Ok(()) } else { Err(WireError::WrongPadding) }
}

fn zeros(padding: &[u8]) -> Result<(), WireError> {
    if padding.iter().all(|byte| *byte == 0) { Ok(()) } else { Err(WireError::WrongPadding) }
}
