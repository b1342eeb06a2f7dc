//! How bad an emulated network is.

use std::time::Duration;

/// What happens to datagrams on their way, in one direction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conditions {
    /// Every datagram takes at least this long.
    pub latency: Duration,
    /// And up to this much longer, evenly distributed; overtaking is the consequence.
    pub jitter: Duration,
    /// Share of datagrams that are lost, 0 to 1.
    pub loss: f64,
    /// Share of datagrams that arrive twice, 0 to 1.
    pub duplicate: f64,
    /// Share of datagrams that are held back by [`reorder_by`](Self::reorder_by), 0 to 1.
    pub reorder: f64,
    /// How long a reordered datagram is held back.
    pub reorder_by: Duration,
    /// Share of datagrams that arrive with one bit flipped, 0 to 1.
    pub corrupt: f64,
    /// Longest datagram that passes; longer ones vanish, as in a tunnel without fragmentation.
    pub mtu: usize,
    /// Bytes per second that pass; `None`: any number.
    pub rate: Option<u64>,
    /// Bytes that wait for the rate at most; what comes on top is lost.
    pub queue_bytes: usize,
}

impl Conditions {
    /// A perfect network: nothing is lost, nothing takes time.
    pub const PERFECT: Self = Self {
        latency: Duration::ZERO,
        jitter: Duration::ZERO,
        loss: 0.0,
        duplicate: 0.0,
        reorder: 0.0,
        reorder_by: Duration::from_millis(20),
        corrupt: 0.0,
        mtu: 1_472,
        rate: None,
        queue_bytes: 64 * 1024,
    };

    /// A perfect network with this latency.
    pub const fn latency_ms(ms: u64) -> Self {
        Self { latency: Duration::from_millis(ms), ..Self::PERFECT }
    }

    /// A wireless link on a bad day, with this share of loss: 40 ms and up to 20 more, some reordering, some duplicates.
    pub const fn rough(loss: f64) -> Self {
        Self {
            latency: Duration::from_millis(40),
            jitter: Duration::from_millis(20),
            loss,
            duplicate: 0.05,
            reorder: 0.05,
            ..Self::PERFECT
        }
    }
}
