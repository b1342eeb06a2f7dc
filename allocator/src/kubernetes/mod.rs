//! The allocator on Kubernetes: several replicas, one of which leads by a Lease.
//!
//! A replica that does not lead stays ready and answers NotLeader with the leader's address. Nothing is stored: a leader
//! knows from its watches who exists, and from registrations what they host.
//!
//! | module | owns |
//! |---|---|
//! | [`leading`](self) | from one leadership to the next |
//! | `view` | watches, put together into whole pictures for the core |
//! | `read` | objects of the API into the core's words: pure |
//! | `pods` | which pod may register as which server |
//! | `epochs` | epochs that servers have obeyed and the Lease has forgotten |

pub(crate) mod epochs;
mod leading;
pub(crate) mod pods;
pub(crate) mod read;
mod view;

use std::net::SocketAddr;
use std::sync::Arc;

use cluster::jwks::{Callers, ClusterTokens};
use cluster::lease::{Candidacy, Epoch, Leadership, campaign};
use kube::Client;
use protocol::jwt::SigningKey;
use service::Shutdown;
use tokio_util::sync::CancellationToken;

use crate::agones::{Backend, Gate, Mode};
use crate::core::settings::{Limits, Timing};
use crate::mint::Mint;
use crate::start::{Gates, Ground, Running, StartError};
use crate::term::TermSettings;

/// Name of the Lease.
pub const LEASE: &str = "muster-allocator";

/// What the allocator needs to start on Kubernetes.
#[derive(Clone)]
pub struct Config {
    /// Where gRPC is served.
    pub address: SocketAddr,
    /// Where health and metrics are served.
    pub admin_address: SocketAddr,
    /// Signs join tokens and match certificates; the same for every replica.
    pub signing_key: Arc<SigningKey>,
    /// Speaks to the API server.
    pub client: Client,
    /// Namespace of the Lease.
    pub namespace: String,
    /// Where GameFleets, Fleets and GameServers are.
    pub game_namespaces: Vec<String>,
    /// Name of this pod, for the Lease.
    pub pod: String,
    /// `host:port` at which other pods reach this one; `None`: the bound address.
    pub advertise: Option<String>,
    /// Accounts of programs that may call, besides the game servers.
    pub callers: Callers,
    /// Agones' own interfaces, where they are served.
    pub interfaces: Option<crate::agones::Interfaces>,
    /// Who gives out servers of GameFleets of pool `Agones` for the matchmaker.
    pub agones_backend: Mode,
    /// Times of the election.
    pub lease: cluster::lease::Timing,
    /// How long things may take.
    pub timing: Timing,
    /// How much is kept at once.
    pub limits: Limits,
}

/// Binds both ports, starts to watch, and stands for election. Ready at once, leading or not.
///
/// The [`Leadership`] tells what else runs in this process whether it leads.
///
/// # Errors
/// [`StartError`].
pub async fn start(config: Config, shutdown: Shutdown) -> Result<(Running, Leadership), StartError> {
    let settings = TermSettings {
        mint: Mint::new(config.signing_key, config.timing.certificate_life),
        timing: config.timing,
        limits: config.limits,
    };
    let ground = Ground::bind(config.address, config.admin_address, settings.clone()).await?;
    let end = CancellationToken::new();
    let callers = config.callers.with_game_servers(&config.game_namespaces);
    let tokens = ClusterTokens::start(config.client.clone(), callers, end.clone()).await?;
    let view = view::View::start(&config.client, &config.game_namespaces, &end);
    let address = config.advertise.unwrap_or_else(|| ground.address().to_string());
    let candidacy = Candidacy {
        namespace: config.namespace,
        name: LEASE.to_owned(),
        me: identity(&config.pod, &address),
        timing: config.lease,
    };
    let resign = CancellationToken::new();
    let (leadership, campaign) = campaign(config.client.clone(), candidacy, resign.clone());
    let (office, seen) = leading::office(leadership.clone());
    let agones = crate::agones::Config {
        client: config.client,
        gate: gate(leadership.clone()),
        namespaces: config.game_namespaces,
        limits: crate::agones::Limits::default(),
        interfaces: config.interfaces,
    };
    let agones = crate::agones::start(agones, shutdown.child()).await?;
    let backend = Backend::new(agones.engine.clone(), config.agones_backend);
    let epochs = Some(epochs::Epochs::new(leadership.clone()));
    let gates = Gates { verifier: tokens.verifier(), pods: Some(view.pods()), epochs, agones: Some(backend) };
    let lead = leading::Leading { settings, leadership: leadership.clone(), view, office };
    let leading = {
        let shutdown = shutdown.clone();
        async move {
            let led = lead.run(shutdown).await;
            agones.wait().await;
            resign.cancel();
            campaign.await.ok();
            end.cancel();
            led
        }
    };
    Ok((ground.serve(gates, seen, leading, shutdown), leadership))
}

/// Whether this process leads, for what writes GameServers.
fn gate(leadership: Leadership) -> Gate {
    Arc::new(move || match leadership.epoch() {
        Some(Epoch(transitions)) => Ok(transitions + 1),
        None => Err(leadership.holder().as_deref().and_then(leader_address).map(str::to_owned)),
    })
}

/// Holder of the Lease: unlike that of every other pod and of this pod's last process.
fn identity(pod: &str, address: &str) -> String {
    format!("{pod}_{}@{address}", hex::encode(service::random::bytes::<4>()))
}

/// The `host:port` in the identity of a Lease's holder.
pub fn leader_address(holder: &str) -> Option<&str> {
    holder.split_once('@').map(|(_, address)| address).filter(|address| !address.is_empty())
}
