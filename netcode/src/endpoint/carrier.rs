//! The two ways that packets travel.

/// What carries a session's packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Carrier {
    /// UDP under session keys of a Noise handshake.
    #[default]
    Native,
    /// QUIC datagrams.
    Quic,
}

impl Carrier {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Native, Self::Quic];

    /// The carrier's name as a metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Quic => "quic",
        }
    }

    /// The other one, to fall back to.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Native => Self::Quic,
            Self::Quic => Self::Native,
        }
    }

    /// Whose a datagram with this first byte is (RFC 9443): QUIC's has bit 0x40 set, because neither end greases it.
    pub(super) fn of(first: u8) -> Self {
        if first & 0x40 == 0 { Self::Native } else { Self::Quic }
    }
}
