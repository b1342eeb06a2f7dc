//! The moment at which something happens, as the shell tells it.

use std::time::Duration;

/// A moment, by two clocks: one to measure with, one to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Monotonic time since the allocator started.
    pub at: Duration,
    /// Milliseconds since the Unix epoch; only ever written down, never compared.
    pub unix_ms: u64,
}
