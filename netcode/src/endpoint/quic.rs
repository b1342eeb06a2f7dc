//! QUIC as a carrier: quinn-proto without sockets, on the same port and with the same sessions as native UDP.
//!
//! A QUIC session is the native one without its own seal: the same packets (sequence, acks, frames) travel as QUIC
//! datagrams. Time is the caller's: [`QuicTime`](time::QuicTime) lays [`Micros`](crate::Micros) onto one instant that the shell gave.
//! Randomness is the caller's as far as quinn-proto goes; rustls takes its handshake secrets from ring, which asks the
//! operating system. That is the one place in this layer that does, and it is for QUIC alone (ADR 006).

pub(super) mod client;
mod connection_ids;
pub(super) mod link;
pub(super) mod server;
mod settings;
mod time;
mod tls;

pub use settings::{QuicClientConfig, QuicConfigError, QuicServerConfig};

use protocol::wire::FRAMES_BYTES_MAX;

use crate::endpoint::limits::{PACKETS_PER_CALL_MAX, QUIC_SEND_BUFFER_BYTES};

/// What a session may pack now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// Bytes of frames in one packet.
    pub(super) frames: usize,
    /// Bytes of bulk in all packets of this call.
    pub(super) bulk: usize,
    /// Bytes of bulk that may be on their way.
    pub(super) bulk_in_flight: usize,
    /// Packets of this call.
    pub(super) packets: usize,
}

impl Room {
    /// Native UDP: the packet's size alone.
    pub(super) const NATIVE: Self =
        Self { frames: FRAMES_BYTES_MAX, bulk: usize::MAX, bulk_in_flight: usize::MAX, packets: PACKETS_PER_CALL_MAX };

    /// What QUIC leaves of a datagram; as many packets as the send buffer takes, and one always, because the newest
    /// state may evict older. Bulk only in the emptier half of the buffer, and in half of the congestion window: with all
    /// of it, snapshots would wait for a round trip, and evict each other.
    fn of_datagrams(largest: usize, buffer_space: usize, congestion_window: u64) -> Self {
        Self {
            frames: largest.saturating_sub(protocol::wire::QUIC_OVERHEAD_BYTES).min(FRAMES_BYTES_MAX),
            bulk: buffer_space.saturating_sub(QUIC_SEND_BUFFER_BYTES / 2),
            bulk_in_flight: usize::try_from(congestion_window / 2).unwrap_or(usize::MAX),
            packets: (buffer_space / largest.max(1)).clamp(1, PACKETS_PER_CALL_MAX),
        }
    }
}
