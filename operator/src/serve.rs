//! Starts the operator, runs it until the shutdown signal, and gives its Lease up.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cluster::client::{Gate, Transport, connect};
use cluster::lease::{Candidacy, Leadership, campaign};
use kube::Client;
use service::admin::Admin;
use service::{BindError, Listener, Shutdown};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::Config;
use crate::actor::{Actor, State};
use crate::apply::Writer;
use crate::autoscale::{self, Sizes};
use crate::watches::{Marks, Stores};
use crate::{metrics, secrets, streams};

/// Name of the Lease.
pub const LEASE: &str = "muster-operator";
/// Messages of allocator and matchmaker that wait to be taken in.
const SAID_MAX: usize = 256;
/// Wait before Secrets are tried again.
const SECRETS_RETRY: Duration = Duration::from_secs(5);

/// The operator could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The admin port could not be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The address of the allocator or the matchmaker is none.
    #[error(transparent)]
    Address(#[from] service::grpc::AddressError),
    /// The client of the API server could not be made.
    #[error("the Kubernetes client: {0}")]
    Client(#[from] kube::Error),
}

/// The operator broke off.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// It could not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The task that looks broke off.
    #[error("the operator's work broke off: {0}")]
    Work(String),
}

/// An operator that runs.
pub struct Running {
    /// Where the admin port is.
    pub admin_address: SocketAddr,
    /// Whether it leads.
    pub leadership: Leadership,
    end: Shutdown,
    work: JoinHandle<()>,
    campaign: JoinHandle<()>,
    admin_task: JoinHandle<std::io::Result<()>>,
}

/// Starts to watch and to campaign.
///
/// # Errors
/// [`StartError`]; nothing runs then.
pub async fn start(config: Config, shutdown: Shutdown) -> Result<Running, StartError> {
    start_wrapped(config, shutdown, |transport| transport).await
}

/// The same, with everything that goes to the API server, except for the Lease, carried through a wrapped transport: tests
/// count requests there, break them, and answer with old news.
///
/// # Errors
/// [`StartError`]; nothing runs then.
pub async fn start_wrapped(
    config: Config,
    shutdown: Shutdown,
    wrap: impl Fn(Transport) -> Transport,
) -> Result<Running, StartError> {
    let (allocator, matchmaker) =
        (service::leader::leader_channel(&config.allocator)?, service::leader::leader_channel(&config.matchmaker)?);
    let listener = Listener::bind(config.admin, "operator admin").await?;
    let admin_address = listener.local_addr();
    let gate = Gate::default();
    let client = connect(config.kube.clone(), |transport| gate.wrap(wrap(transport)))?;
    let for_lease = connect(config.kube.clone(), |transport| transport)?;
    let admin = Admin::new("operator");
    metrics::describe();
    metrics::leads(false);
    let ready = admin.ready_flag();

    let end = shutdown.child();
    let token = cancelled_with(&end);
    let (leadership, campaign) = campaign(for_lease, candidacy(&config, admin_address), token.clone());
    gate.open_with(leadership.clone());
    let marks = Arc::new(Marks::default());
    let stores = Stores::watch(&client, &config.game_namespaces, &marks, &token);
    let sizes = Arc::new(Sizes::new(leadership.clone(), &stores));
    let admin = admin.route(autoscale::routes(sizes.clone()));
    let admin_url = config.admin_url.clone().unwrap_or_else(|| format!("http://{admin_address}"));
    let (told, said) = mpsc::channel(SAID_MAX);
    streams::follow(allocator, matchmaker, config.tokens.clone(), &told, &end);
    keep_secrets(client.clone(), &config, leadership.clone(), &end);
    let (of_work, writer) = (end.clone(), Writer::new(client, &config.pod));
    let (leads, namespaces) = (leadership.clone(), config.game_namespaces.join(","));
    let work = tokio::spawn(async move {
        tokio::select! {
            () = of_work.wait() => return,
            () = stores.synced() => {}
        }
        ready.set(true);
        tracing::info!(admin = %admin_address, namespaces, "operator is ready");
        let actor = Actor {
            stores,
            marks,
            said,
            leadership: leads,
            writer,
            allocator_for_servers: config.allocator_for_servers,
            metagame_for_servers: config.metagame_for_servers,
            autoscale: format!("{}{}", admin_url.trim_end_matches('/'), autoscale::PATH),
            sizes,
            state: State::new(),
        };
        actor.run(of_work).await;
    });
    let admin_task = tokio::spawn(admin.serve(listener, end.clone()));
    Ok(Running { admin_address, leadership, end, work, campaign, admin_task })
}

fn candidacy(config: &Config, admin: SocketAddr) -> Candidacy {
    let incarnation = hex::encode(service::random::bytes::<4>());
    let advertise = config.advertise.clone().unwrap_or_else(|| admin.to_string());
    Candidacy {
        namespace: config.namespace.clone(),
        name: LEASE.into(),
        me: format!("{}-{incarnation}@{advertise}", config.pod),
        timing: config.timing,
    }
}

/// A token that is cancelled with the signal, for what does not know the signal.
fn cancelled_with(end: &Shutdown) -> CancellationToken {
    let token = CancellationToken::new();
    let (end, cancelled) = (end.clone(), token.clone());
    tokio::spawn(async move {
        end.wait().await;
        cancelled.cancel();
    });
    token
}

/// Makes the installation's Secrets when this replica begins to lead.
fn keep_secrets(client: Client, config: &Config, mut leadership: Leadership, end: &Shutdown) {
    let (namespace, tls_names, end) = (config.namespace.clone(), config.tls_names.clone(), end.clone());
    let make = async move {
        loop {
            while leadership.epoch().is_none() {
                leadership.changed().await;
            }
            match secrets::make(client.clone(), &namespace, &tls_names).await {
                Ok(()) => return,
                Err(error) => tracing::warn!(%error, "trying again"),
            }
            tokio::time::sleep(SECRETS_RETRY).await;
        }
    };
    tokio::spawn(async move {
        tokio::select! {
            () = end.wait() => {}
            () = make => {}
        }
    });
}

impl Running {
    /// Runs until the shutdown signal, then gives the Lease up so that another leads at once.
    ///
    /// # Errors
    /// [`ServeError::Work`] if the task that looks broke off.
    pub async fn wait(self) -> Result<(), ServeError> {
        let Self { end, work, campaign, admin_task, .. } = self;
        let worked = work.await.map_err(|error| ServeError::Work(error.to_string()));
        end.trigger();
        // It gives up by itself within a third of the lease's duration.
        let _ = campaign.await;
        admin_task.abort();
        tracing::info!("operator has ended");
        worked
    }

    /// Ends at once, as a killed process does: nothing is finished and the Lease is kept.
    pub fn kill(self) {
        self.work.abort();
        self.campaign.abort();
        self.admin_task.abort();
        self.end.trigger();
    }
}

/// [`start`]s the operator and [`wait`](Running::wait)s for its end.
///
/// # Errors
/// [`ServeError`].
pub async fn serve(config: Config, shutdown: Shutdown) -> Result<(), ServeError> {
    start(config, shutdown).await?.wait().await
}
