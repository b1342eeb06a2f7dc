//! What the matchmaker is given when it starts.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use service::token::ServiceTokens;
use service::verify::Verifier;

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
    /// Where the queues come from.
    pub queues: QueueSource,
    /// The service tokens that the matchmaker shows to the allocator.
    pub tokens: ServiceTokens,
    /// Judges the service tokens of callers.
    pub callers: Verifier,
    /// How long matches that are being placed may take to finish after the shutdown signal. 20 s cover a call to the
    /// allocator that has just begun and the release after it.
    pub drain: Duration,
}

/// Where the queues come from.
#[derive(Clone)]
pub enum QueueSource {
    /// These, from [`Queues::read`] or [`Queues::parse`], as long as the program runs.
    Given(Queues),
    /// The `MatchQueue`s of some namespaces, as they come and go. The matchmaker is ready when it has read them once.
    Kubernetes {
        /// Speaks to the API server; may list and watch `MatchQueue`s in the namespaces.
        client: kube::Client,
        /// The namespaces.
        namespaces: Vec<String>,
    },
}

impl fmt::Debug for QueueSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(queues) => f.debug_tuple("Given").field(queues).finish(),
            Self::Kubernetes { namespaces, .. } => {
                f.debug_struct("Kubernetes").field("namespaces", namespaces).finish_non_exhaustive()
            }
        }
    }
}
