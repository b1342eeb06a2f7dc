//! Counts of what came in and what became of it, for metrics. Bounded: one number per reason, nothing per peer.

use protocol::wire::{Refusal, WireError};

use super::Carrier;

/// Why a datagram was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DropReason {
    /// Shorter than its type's header.
    TooShort,
    /// Longer than any packet of its type.
    TooLong,
    /// The type byte is none of ours, or is not for this side.
    UnknownType,
    /// A Hello or Connect that is not exactly 1,200 bytes, or whose padding is not zero.
    WrongPadding,
    /// A Connect whose cookie does not fit its address and client id, or is too old.
    BadCookie,
    /// No session or handshake has this connection id.
    UnknownSession,
    /// It does not decrypt under the session's keys.
    BadAuth,
    /// Its sequence was seen before, or is older than the replay window.
    Replayed,
    /// Its content breaks the wire format. If it came under session keys, the session is closed.
    Malformed,
    /// A handshake packet that does not fit the handshake's state: a late Cookie, a second Accept.
    Stale,
    /// A client received it from an address that is not its server's.
    WrongAddress,
    /// QUIC that belongs to no connection, is not authentic, or breaks QUIC's rules: quinn-proto does not say which.
    Quic,
}

impl DropReason {
    /// Every reason.
    pub const ALL: [Self; 12] = [
        Self::TooShort,
        Self::TooLong,
        Self::UnknownType,
        Self::WrongPadding,
        Self::BadCookie,
        Self::UnknownSession,
        Self::BadAuth,
        Self::Replayed,
        Self::Malformed,
        Self::Stale,
        Self::WrongAddress,
        Self::Quic,
    ];

    /// The reason's name as a metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::TooShort => "too_short",
            Self::TooLong => "too_long",
            Self::UnknownType => "unknown_type",
            Self::WrongPadding => "wrong_padding",
            Self::BadCookie => "bad_cookie",
            Self::UnknownSession => "unknown_session",
            Self::BadAuth => "bad_auth",
            Self::Replayed => "replayed",
            Self::Malformed => "malformed",
            Self::Stale => "stale",
            Self::WrongAddress => "wrong_address",
            Self::Quic => "quic",
        }
    }
}

impl From<WireError> for DropReason {
    fn from(error: WireError) -> Self {
        match error {
            WireError::TooShort => Self::TooShort,
            WireError::TooLong => Self::TooLong,
            WireError::UnknownType => Self::UnknownType,
            WireError::WrongPadding => Self::WrongPadding,
            WireError::Malformed => Self::Malformed,
        }
    }
}

/// Totals since the endpoint was made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams handed in.
    pub datagrams_in: u64,
    /// Their bytes.
    pub bytes_in: u64,
    /// Datagrams handed out.
    pub datagrams_out: u64,
    /// Their bytes.
    pub bytes_out: u64,
    /// QUIC newcomers that were asked to prove their address first.
    pub retries: u64,
    /// Cookies handed out.
    pub cookies: u64,
    /// Handshakes that ended with a session.
    pub handshakes_accepted: u64,
    /// Of these, by a resume ticket.
    pub resumed: u64,
    /// Times that a session moved to a new, validated address.
    pub paths_changed: u64,
    carriers: [CarrierCounters; Carrier::ALL.len()],
    dropped: [u64; DropReason::ALL.len()],
    refused: [u64; Refusal::ALL.len()],
}

/// The part of the totals that one carrier has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CarrierCounters {
    /// Datagrams handed in.
    pub datagrams_in: u64,
    /// Their bytes.
    pub bytes_in: u64,
    /// Datagrams handed out.
    pub datagrams_out: u64,
    /// Their bytes.
    pub bytes_out: u64,
    /// Handshakes that ended with a session.
    pub handshakes_accepted: u64,
}

impl Counters {
    /// The part of this carrier.
    pub fn carrier(&self, carrier: Carrier) -> &CarrierCounters {
        &self.carriers[carrier as usize]
    }

    pub(super) fn datagram_in(&mut self, datagram: &[u8]) {
        let bytes = datagram.len() as u64;
        self.datagrams_in += 1;
        self.bytes_in += bytes;
        let part = self.part_of(datagram);
        part.datagrams_in += 1;
        part.bytes_in += bytes;
    }

    pub(super) fn datagram_out(&mut self, datagram: &[u8]) {
        let bytes = datagram.len() as u64;
        self.datagrams_out += 1;
        self.bytes_out += bytes;
        let part = self.part_of(datagram);
        part.datagrams_out += 1;
        part.bytes_out += bytes;
    }

    pub(super) fn accepted(&mut self, carrier: Carrier) {
        self.handshakes_accepted += 1;
        self.carriers[carrier as usize].handshakes_accepted += 1;
    }

    fn part_of(&mut self, datagram: &[u8]) -> &mut CarrierCounters {
        &mut self.carriers[Carrier::of(datagram.first().copied().unwrap_or(0)) as usize]
    }

    /// Datagrams dropped for this reason.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize]
    }

    /// Datagrams dropped for any reason.
    pub fn dropped_total(&self) -> u64 {
        self.dropped.iter().sum()
    }

    /// Handshakes refused for this reason.
    pub fn refused(&self, refusal: Refusal) -> u64 {
        self.refused[refusal as usize - 1]
    }

    pub(super) fn drop(&mut self, reason: DropReason) {
        self.dropped[reason as usize] += 1;
    }

    pub(super) fn refuse(&mut self, refusal: Refusal) {
        self.refused[refusal as usize - 1] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_place_and_a_label_of_its_own() {
        let mut counters = Counters::default();
        for reason in DropReason::ALL {
            counters.drop(reason);
            assert_eq!(counters.dropped(reason), 1, "{}", reason.label());
        }
        for refusal in Refusal::ALL {
            counters.refuse(refusal);
            assert_eq!(counters.refused(refusal), 1, "{}", refusal.label());
        }
        assert_eq!(counters.dropped_total(), DropReason::ALL.len() as u64);
        let labels: std::collections::BTreeSet<_> = DropReason::ALL.map(DropReason::label).into();
        assert_eq!(labels.len(), DropReason::ALL.len());
    }
}
