//! Why no server was given out.

use super::core::book::Full;

/// Why no server was given out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AllocateError {
    /// None fits, or none came free in time.
    #[error("there is no available GameServer to allocate")]
    NoServer,
    /// Others were faster each time.
    #[error("other writers took the chosen game servers too often: try again")]
    Contention,
    /// As many calls wait as may.
    #[error(transparent)]
    QueueFull(#[from] Full),
    /// The fleet is assigned over Muster's control link.
    #[error(
        "\"{0}\" is of pool muster: its servers are given out by Muster's matchmaker over the control link; allocate from a Fleet of pool agones, or from one that is not Muster's"
    )]
    MusterPool(String),
    /// The request names a namespace that this allocator does not watch.
    #[error("namespace \"{asked}\" is not served: this allocator serves {served}")]
    Namespace {
        /// Asked for.
        asked: String,
        /// Those that are served.
        served: String,
    },
    /// The API server says that the request can never be written.
    #[error("the API server refuses what the request would write: {0}")]
    Refused(String),
    /// The API server says that this program may not write.
    #[error("the API server forbids the allocator to write game servers, check its role: {0}")]
    Forbidden(String),
    /// Another replica leads.
    #[error("this replica does not lead{}", leader.as_ref().map_or_else(String::new, |l| format!(": ask {l}")))]
    NotLeader {
        /// Its address, if known.
        leader: Option<String>,
    },
    /// The game servers are still being read.
    #[error("the allocator is still reading the game servers: try again")]
    NotSynced,
    /// The API server does not answer.
    #[error("the API server did not confirm the allocation: {0}")]
    Unavailable(String),
    /// The allocator is shutting down.
    #[error("the allocator is shutting down")]
    Stopping,
}

impl AllocateError {
    /// Its kind, for metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::NoServer => "no_server",
            Self::Contention => "contention",
            Self::QueueFull(_) => "queue_full",
            Self::MusterPool(_) => "muster_pool",
            Self::Namespace { .. } => "namespace",
            Self::Refused(_) => "refused",
            Self::Forbidden(_) => "forbidden",
            Self::NotLeader { .. } => "not_leader",
            Self::NotSynced => "not_synced",
            Self::Unavailable(_) => "unavailable",
            Self::Stopping => "stopping",
        }
    }
}
