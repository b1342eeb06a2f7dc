//! Allocator and matchmaker as a test scripts them: only the streams that the operator reads.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use protocol::pb;
use protocol::pb::allocator_server::{Allocator, AllocatorServer};
use protocol::pb::matchmaker_server::{Matchmaker, MatchmakerServer};
use tokio::sync::{broadcast, watch};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::{BroadcastStream, TcpListenerStream, WatchStream};
use tonic::{Request, Response, Status};

type Answer<T> = Result<Response<T>, Status>;
type Told<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Both services on one port.
#[derive(Clone)]
pub(crate) struct Services {
    address: SocketAddr,
    pool: Arc<watch::Sender<BTreeMap<String, pb::PoolServer>>>,
    queues: Arc<watch::Sender<Vec<pb::QueueStatus>>>,
    log: broadcast::Sender<pb::MatchEvent>,
}

impl Services {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let services = Self {
            address: listener.local_addr().expect("bound"),
            pool: Arc::new(watch::Sender::default()),
            queues: Arc::new(watch::Sender::default()),
            log: broadcast::channel(1_000).0,
        };
        let server = tonic::transport::Server::builder()
            .add_service(AllocatorServer::new(services.clone()))
            .add_service(MatchmakerServer::new(services.clone()));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        services
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The matchmaker says of a queue that so many players wait.
    pub(crate) fn wait(&self, queue: &str, fleet: &str, waiting_players: u32) {
        let status = pb::QueueStatus {
            name: queue.into(),
            fleet: fleet.into(),
            waiting_players,
            waiting_tickets: waiting_players,
            teams: 2,
            players_per_team: 1,
            ..pb::QueueStatus::default()
        };
        self.queues.send_modify(|queues| {
            queues.retain(|known| known.name != queue);
            queues.push(status);
        });
    }

    /// The matchmaker serves a MatchQueue by these rules.
    pub(crate) fn serve(&self, queue: &str, source: &str, generation: i64) {
        self.queues.send_modify(|queues| {
            for status in queues.iter_mut().filter(|status| status.name == queue) {
                (status.source, status.generation) = (source.into(), generation);
            }
        });
    }

    /// The servers that are registered.
    pub(crate) fn register(&self, servers: &BTreeMap<String, (String, String)>) {
        self.pool.send_if_modified(|pool| {
            let before = pool.len();
            pool.retain(|name, _| servers.contains_key(name));
            let mut modified = pool.len() != before;
            for (name, (fleet, revision)) in servers {
                modified |= !pool.contains_key(name);
                pool.entry(name.clone()).or_insert_with(|| pb::PoolServer {
                    name: name.clone(),
                    fleet: fleet.clone(),
                    revision: revision.clone(),
                    capacity: 1,
                    link: "linked".into(),
                    ..pb::PoolServer::default()
                });
            }
            modified
        });
    }

    pub(crate) fn play(&self, server: &str, plays: bool) {
        self.pool.send_modify(|pool| {
            if let Some(server) = pool.get_mut(server) {
                server.matches = u32::from(plays);
            }
        });
    }

    /// A match of a revision ended.
    pub(crate) fn end(&self, match_id: &str, revision: &str, lost: bool) {
        let kind = if lost { pb::MatchEventKind::Lost } else { pb::MatchEventKind::Ended };
        let event = pb::MatchEvent {
            match_id: match_id.into(),
            revision: revision.into(),
            kind: kind.into(),
            at_ms: service::clock::unix_ms(),
            stats: Some(pb::MatchStats { joins: 2, ..pb::MatchStats::default() }),
            ..pb::MatchEvent::default()
        };
        self.log.send(event).expect("the operator listens");
    }

    /// Waits until an operator hears what is told of matches.
    pub(crate) async fn heard(&self) {
        super::until("the operator listens", async || (self.log.receiver_count() > 0).then_some(())).await;
    }
}

fn pool(servers: &BTreeMap<String, pb::PoolServer>) -> pb::GetPoolResponse {
    pb::GetPoolResponse { epoch: 1, servers: servers.values().cloned().collect(), matches: Vec::new() }
}

#[tonic::async_trait]
impl Allocator for Services {
    type WatchMatchesStream = Told<pb::MatchEvent>;
    type WatchPoolStream = Told<pb::GetPoolResponse>;

    async fn watch_pool(&self, _: Request<pb::WatchPoolRequest>) -> Answer<Self::WatchPoolStream> {
        let told = WatchStream::new(self.pool.subscribe()).map(|servers| Ok(pool(&servers)));
        Ok(Response::new(Box::pin(told)))
    }

    async fn watch_matches(&self, _: Request<pb::WatchMatchesRequest>) -> Answer<Self::WatchMatchesStream> {
        let told = BroadcastStream::new(self.log.subscribe());
        Ok(Response::new(Box::pin(told.map(|event| event.map_err(|error| Status::data_loss(error.to_string()))))))
    }

    async fn get_pool(&self, _: Request<pb::GetPoolRequest>) -> Answer<pb::GetPoolResponse> {
        Ok(Response::new(pool(&self.pool.borrow())))
    }

    async fn allocate(&self, _: Request<pb::AllocateRequest>) -> Answer<pb::AllocateResponse> {
        Err(unused())
    }

    async fn mint_join_token(&self, _: Request<pb::MintJoinTokenRequest>) -> Answer<pb::MintJoinTokenResponse> {
        Err(unused())
    }

    async fn release_match(&self, _: Request<pb::ReleaseMatchRequest>) -> Answer<pb::ReleaseMatchResponse> {
        Err(unused())
    }

    async fn get_keys(&self, _: Request<pb::GetKeysRequest>) -> Answer<pb::GetKeysResponse> {
        Err(unused())
    }

    async fn audit_matches(&self, _: Request<pb::AuditMatchesRequest>) -> Answer<pb::AuditMatchesResponse> {
        Err(unused())
    }
}

#[tonic::async_trait]
impl Matchmaker for Services {
    type WatchTicketsStream = Told<pb::TicketEvent>;
    type WatchQueuesStream = Told<pb::ListQueuesResponse>;

    async fn watch_queues(&self, _: Request<pb::WatchQueuesRequest>) -> Answer<Self::WatchQueuesStream> {
        let told = WatchStream::new(self.queues.subscribe());
        let told = told.map(|queues| Ok(pb::ListQueuesResponse { queues, faults: Vec::new() }));
        Ok(Response::new(Box::pin(told)))
    }

    async fn list_queues(&self, _: Request<pb::ListQueuesRequest>) -> Answer<pb::ListQueuesResponse> {
        Err(unused())
    }

    async fn create_ticket(&self, _: Request<pb::CreateTicketRequest>) -> Answer<pb::Ticket> {
        Err(unused())
    }

    async fn get_ticket(&self, _: Request<pb::GetTicketRequest>) -> Answer<pb::Ticket> {
        Err(unused())
    }

    async fn cancel_ticket(&self, _: Request<pb::CancelTicketRequest>) -> Answer<pb::Ticket> {
        Err(unused())
    }

    async fn watch_tickets(&self, _: Request<pb::WatchTicketsRequest>) -> Answer<Self::WatchTicketsStream> {
        Err(unused())
    }
}

fn unused() -> Status {
    Status::unimplemented("the operator only listens")
}

/// How often what stands for Agones looks.
pub(crate) const TICK: Duration = Duration::from_millis(100);
