//! What the matchmaker is given when it starts.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use protocol::jwt::{KeySet, SigningKey};

use crate::core::queue_config::Queues;

/// What the matchmaker is given when it starts.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where gRPC is served; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Where `/healthz`, `/readyz` and `/metrics` are served; port 0 lets the system choose.
    pub admin: SocketAddr,
    /// The allocator, as `http://host:port`.
    pub allocator: String,
    /// The queues, from [`Queues::read`] or [`Queues::parse`].
    pub queues: Queues,
    /// Signs the service tokens that the matchmaker shows to the allocator.
    pub service_key: Arc<SigningKey>,
    /// Verifies the service tokens of callers.
    pub caller_keys: Arc<KeySet>,
    /// How long matches that are being placed may take to finish after the shutdown signal. 20 s cover a call to the
    /// allocator that has just begun and the release after it.
    pub drain: Duration,
}
