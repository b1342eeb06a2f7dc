//! A client's measurements.

use std::time::Duration;

use netcode::endpoint::SessionStats;

/// What a client measures of its session.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ClientStats {
    /// The path: round trip, jitter, loss, bytes, packets.
    pub session: SessionStats,
    /// How far the newest snapshot is behind the server's clock.
    pub snapshot_age: Duration,
    /// How far in the past the others are shown.
    pub interpolation_delay: Duration,
    /// How far ahead of the server's clock inputs are sent.
    pub input_lead: Duration,
    /// What the client counted.
    pub counts: Counts,
}

/// What a client counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Snapshots applied.
    pub snapshots: u64,
    /// Their bytes.
    pub snapshot_bytes: u64,
    /// Snapshots that came twice or far too late.
    pub snapshots_stale: u64,
    /// Snapshots that could not be read.
    pub snapshots_bad: u64,
    /// Room messages that could not be read.
    pub messages_bad: u64,
    /// Inputs sent, each counted once.
    pub inputs: u64,
    /// Inputs skipped because the client was stopped for too long.
    pub inputs_skipped: u64,
    /// Snapshots whose tick had its input in time.
    pub inputs_in_time: u64,
    /// Snapshots whose tick had to do without the input that was sent for it.
    pub inputs_late: u64,
    /// Predicted ticks that were compared with the server's.
    pub predictions: u64,
    /// Predicted ticks that were wrong.
    pub mispredictions: u64,
}
