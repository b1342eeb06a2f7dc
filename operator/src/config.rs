//! What the operator is given.

use std::net::SocketAddr;
use std::path::PathBuf;

use cluster::lease::Timing;

/// Everything the operator is given.
#[derive(Debug, Clone)]
pub struct Config {
    /// How the API server is reached.
    pub kube: kube::Config,
    /// Namespace of its own: its Lease and the Secrets that it makes.
    pub namespace: String,
    /// Namespaces of GameFleets, MatchQueues and game servers.
    pub game_namespaces: Vec<String>,
    /// Name of its pod.
    pub pod: String,
    /// `host:port` of its admin port as others reach it, for the holder of its Lease.
    pub advertise: Option<String>,
    /// Where health and metrics are served.
    pub admin: SocketAddr,
    /// The admin port as Agones' controller reaches it, `http://host:port`; `None`: as it is bound.
    pub admin_url: Option<String>,
    /// The allocator, as this program reaches it: `http://host:port`.
    pub allocator: String,
    /// The matchmaker, as this program reaches it: `http://host:port`.
    pub matchmaker: String,
    /// The allocator, as game servers reach it.
    pub allocator_for_servers: String,
    /// Metagame, as game servers reach it.
    pub metagame_for_servers: String,
    /// Folder with a service-account token for each audience, named by it.
    pub tokens: PathBuf,
    /// How long leading takes.
    pub timing: Timing,
    /// Names for which the allocator's TLS certificate is made where there is none; empty: somebody else makes it.
    pub tls_names: Vec<String>,
}
