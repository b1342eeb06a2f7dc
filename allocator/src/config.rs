//! What the allocator needs to start.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use protocol::jwt::{KeySet, SigningKey};
use tokio::sync::watch;

use crate::core::settings::{Limits, Timing};

/// What the allocator needs to start.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where gRPC is served: the control link for game servers and the Allocator service.
    pub address: SocketAddr,
    /// Where `/healthz`, `/readyz`, `/metrics` and `/.well-known/jwks.json` are served.
    pub admin_address: SocketAddr,
    /// Signs join tokens and match certificates.
    pub signing_key: Arc<SigningKey>,
    /// Verifies the service tokens of callers and of game servers.
    pub service_keys: Arc<KeySet>,
    /// This leader's epoch, higher than that of every leader before it; see [`crate::epoch::advance`].
    pub epoch: u64,
    /// Names of the game servers that exist now, from whoever starts them. A later attempt for a match that this
    /// leader does not know waits until each of them has registered or is gone. Its first value must be complete.
    /// `None`: nobody knows; then it waits until `timing.lost_after` after the start, unless this is epoch 1.
    pub expected: Option<watch::Receiver<BTreeSet<String>>>,
    /// Allocates for GameFleets of pool `Agones`, where there are any.
    pub agones: Option<crate::agones::Backend>,
    /// How long things may take.
    pub timing: Timing,
    /// How much is kept at once.
    pub limits: Limits,
}
