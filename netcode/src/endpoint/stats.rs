//! The state of one session's path, in numbers.

use std::time::Duration;

/// Measurements of one session.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct SessionStats {
    /// Smoothed round-trip time without the peer's ack delay; zero before the first sample.
    pub rtt: Duration,
    /// Smallest round-trip time seen.
    pub rtt_min: Duration,
    /// Mean difference of consecutive round-trip samples (RFC 3550, 6.4.1).
    pub jitter: Duration,
    /// Share of our recent packets that were not acknowledged, 0 to 1.
    pub loss: f32,
    /// Bytes of UDP payload sent.
    pub bytes_out: u64,
    /// Bytes of UDP payload received and authenticated.
    pub bytes_in: u64,
    /// Packets sent.
    pub packets_out: u64,
    /// Packets received and authenticated.
    pub packets_in: u64,
    /// Packets sent that were found lost.
    pub packets_lost: u64,
    /// Reliable segments and bulk chunks that were sent again.
    pub resent: u64,
    /// Reliable messages given to `send_message` that are not acknowledged yet, in segments.
    pub reliable_queued: usize,
}
