//! A matchmaker and an allocator that do what a test tells them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};

use futures_util::Stream;
use futures_util::stream::unfold;
use protocol::id::{MatchId, PlayerId};
use protocol::jwt::{KeySet, SigningKey};
use protocol::pb;
use protocol::pb::allocator_server::{Allocator, AllocatorServer};
use protocol::pb::matchmaker_server::{Matchmaker, MatchmakerServer};
use protocol::token::{ALLOCATOR_AUDIENCE, MATCHMAKER_AUDIENCE};
use service::{Listener, Shutdown};
use tokio::sync::watch;
use tonic::transport::server::Router;
use tonic::{Request, Response, Status};

type Answer<T> = Result<Response<T>, Status>;
type Events<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// A log that is followed by cursor.
#[derive(Clone)]
struct Log<T> {
    events: Arc<Mutex<Vec<T>>>,
    grown: watch::Sender<usize>,
}

impl<T: Clone + Send + 'static> Log<T> {
    fn new() -> Self {
        Self { events: Arc::default(), grown: watch::Sender::new(0) }
    }

    /// Adds what `make` makes of the new cursor.
    fn append(&self, make: impl FnOnce(u64) -> T) {
        let mut events = self.events.lock().expect("no panic under the lock");
        let cursor = events.len() as u64 + 1;
        events.push(make(cursor));
        self.grown.send_replace(events.len());
    }

    fn follow(&self, cursor: u64) -> Answer<Events<T>> {
        if cursor as usize > self.events.lock().expect("no panic under the lock").len() {
            return Err(Status::out_of_range("no such cursor: start from 0"));
        }
        let state = (self.clone(), self.grown.subscribe(), cursor as usize);
        let stream = unfold(state, |(log, mut grown, at)| async move {
            grown.wait_for(|len| *len > at).await.ok()?;
            let event = log.events.lock().expect("no panic under the lock")[at].clone();
            Some((Ok(event), (log, grown, at + 1)))
        });
        Ok(Response::new(Box::pin(stream)))
    }
}

/// The matchmaker.
#[derive(Clone)]
pub(crate) struct FakeMatchmaker {
    log_id: String,
    log: Log<pb::TicketEvent>,
    tickets: Arc<Mutex<BTreeMap<String, pb::Ticket>>>,
}

impl FakeMatchmaker {
    pub(crate) fn new(log_id: &str) -> Self {
        Self { log_id: log_id.into(), log: Log::new(), tickets: Arc::default() }
    }

    fn tickets(&self) -> MutexGuard<'_, BTreeMap<String, pb::Ticket>> {
        self.tickets.lock().expect("no panic under the lock")
    }

    /// Changes a ticket and logs it.
    pub(crate) fn change(&self, ticket_id: &str, change: impl FnOnce(&mut pb::Ticket)) -> pb::Ticket {
        let mut tickets = self.tickets();
        let ticket = tickets.entry(ticket_id.into()).or_default();
        change(ticket);
        ticket.updated_at_ms = service::clock::unix_ms();
        self.log.append(|cursor| {
            ticket.cursor = cursor;
            pb::TicketEvent { cursor, log_id: self.log_id.clone(), ticket: Some(ticket.clone()) }
        });
        ticket.clone()
    }

    /// Completes a ticket with a match of these players.
    pub(crate) fn complete(&self, ticket_id: &str, match_id: MatchId, players: &[PlayerId]) {
        let roster = roster(players);
        self.change(ticket_id, |ticket| {
            ticket.state = pb::TicketState::Completed.into();
            ticket.match_id = match_id.to_string();
            ticket.assignment = Some(assignment(match_id));
            ticket.roster = roster;
        });
    }

    pub(crate) fn ticket(&self, ticket_id: &str) -> pb::Ticket {
        self.tickets()[ticket_id].clone()
    }

    /// Serves until shutdown.
    pub(crate) async fn serve(&self, address: SocketAddr, key: &SigningKey, shutdown: Shutdown) -> SocketAddr {
        let gate = service::token::require(keys(key), MATCHMAKER_AUDIENCE, &["metagame"]);
        let server = MatchmakerServer::with_interceptor(self.clone(), gate);
        serve_alone(address, tonic::transport::Server::builder().add_service(server), shutdown).await
    }
}

/// Serves on a thread and runtime of its own: at shutdown its connections break as those of a killed process do.
async fn serve_alone(address: SocketAddr, router: Router, shutdown: Shutdown) -> SocketAddr {
    let (bound, address_bound) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async move {
            let listener = Listener::bind(address, "fake").await.expect("a free port");
            let _ = bound.send(listener.local_addr());
            tokio::select! {
                served = router.serve_with_incoming(listener.into_incoming()) => served.expect("the fake serves"),
                () = shutdown.wait() => {}
            }
        });
    });
    address_bound.await.expect("the fake is bound")
}

fn keys(key: &SigningKey) -> Arc<KeySet> {
    Arc::new(KeySet::new([key.public_key()]))
}

fn roster(players: &[PlayerId]) -> Vec<pb::RosterEntry> {
    let entry = |(team, player): (usize, &PlayerId)| pb::RosterEntry {
        player_id: player.to_string(),
        team: team as u32,
        name: format!("Name {team}"),
        party_id: String::new(),
    };
    players.iter().enumerate().map(entry).collect()
}

pub(crate) fn assignment(match_id: MatchId) -> pb::Assignment {
    pb::Assignment {
        match_id: match_id.to_string(),
        address: "127.0.0.1:7000".into(),
        server_key: vec![1; 32],
        transport: pb::Transport::Muster.into(),
        routing_token: vec![2, 3],
        server_id: protocol::id::ServerId::from_entropy([4; 16]).to_string(),
        build: "1.0".into(),
        region: "local".into(),
        schema_hash: 0xAB,
        tick_rate_hz: 60,
        quic_fingerprints: vec![],
    }
}

#[tonic::async_trait]
impl Matchmaker for FakeMatchmaker {
    async fn create_ticket(&self, request: Request<pb::CreateTicketRequest>) -> Answer<pb::Ticket> {
        let request = request.into_inner();
        if let Some(ticket) = self.tickets().get(&request.ticket_id) {
            return Ok(Response::new(ticket.clone()));
        }
        let player = request.players[0].player_id.clone();
        let is_live = |ticket: &pb::Ticket| ticket.state() == pb::TicketState::Queued;
        let held = self.tickets().values().find(|t| is_live(t) && t.players[0].player_id == player).cloned();
        if let Some(held) = held {
            let text = format!("player {player} is in ticket {}: cancel that first", held.ticket_id);
            return Err(Status::already_exists(text));
        }
        if request.queue == "unknown" {
            return Err(Status::invalid_argument("there is no queue \"unknown\""));
        }
        Ok(Response::new(self.change(&request.ticket_id.clone(), |ticket| {
            *ticket = pb::Ticket {
                ticket_id: request.ticket_id,
                queue: request.queue,
                state: pb::TicketState::Queued.into(),
                players: request.players,
                party_id: request.party_id,
                party_version: request.party_version,
                trace_id: request.trace_id,
                created_at_ms: service::clock::unix_ms(),
                ..Default::default()
            };
        })))
    }

    async fn get_ticket(&self, request: Request<pb::GetTicketRequest>) -> Answer<pb::Ticket> {
        let ticket = self.tickets().get(&request.into_inner().ticket_id).cloned();
        ticket.map(Response::new).ok_or_else(|| Status::not_found("there is no such ticket"))
    }

    async fn cancel_ticket(&self, request: Request<pb::CancelTicketRequest>) -> Answer<pb::Ticket> {
        let id = request.into_inner().ticket_id;
        let ticket = self.ticket(&id);
        if ticket.state() != pb::TicketState::Queued {
            return Ok(Response::new(ticket));
        }
        Ok(Response::new(self.change(&id, |ticket| ticket.state = pb::TicketState::Cancelled.into())))
    }

    type WatchTicketsStream = Events<pb::TicketEvent>;

    async fn watch_tickets(&self, request: Request<pb::WatchTicketsRequest>) -> Answer<Self::WatchTicketsStream> {
        self.log.follow(request.into_inner().cursor)
    }

    async fn list_queues(&self, _request: Request<pb::ListQueuesRequest>) -> Answer<pb::ListQueuesResponse> {
        let queue = pb::QueueStatus { name: "duel".into(), teams: 2, players_per_team: 1, ..Default::default() };
        Ok(Response::new(pb::ListQueuesResponse { queues: vec![queue], ..Default::default() }))
    }

    type WatchQueuesStream = Events<pb::ListQueuesResponse>;

    async fn watch_queues(&self, _request: Request<pb::WatchQueuesRequest>) -> Answer<Self::WatchQueuesStream> {
        Err(Status::unimplemented("metagame watches no queues"))
    }
}

/// The allocator.
#[derive(Clone)]
pub(crate) struct FakeAllocator {
    log: Log<pb::MatchEvent>,
    /// How often an audit is still answered "not yet".
    unsettled: Arc<Mutex<u32>>,
    keys: Arc<Mutex<KeySet>>,
}

impl FakeAllocator {
    pub(crate) fn new() -> Self {
        Self {
            log: Log::new(),
            unsettled: Arc::default(),
            keys: Arc::new(Mutex::new(testkit::tokens::allocator_keys())),
        }
    }

    /// Answers the next audits with UNAVAILABLE.
    pub(crate) fn unsettle(&self, audits: u32) {
        *self.unsettled.lock().expect("no panic under the lock") = audits;
    }

    /// Starts without the key that signs certificates.
    pub(crate) fn set_keys(&self, keys: KeySet) {
        *self.keys.lock().expect("no panic under the lock") = keys;
    }

    pub(crate) fn report(&self, match_id: MatchId, kind: pb::MatchEventKind) {
        self.log.append(|cursor| pb::MatchEvent {
            cursor,
            log_id: "log".into(),
            match_id: match_id.to_string(),
            kind: kind.into(),
            reason: "told so".into(),
            at_ms: service::clock::unix_ms(),
            ..Default::default()
        });
    }

    /// Serves until shutdown.
    pub(crate) async fn serve(&self, address: SocketAddr, key: &SigningKey, shutdown: Shutdown) -> SocketAddr {
        let gate = service::token::require(keys(key), ALLOCATOR_AUDIENCE, &["metagame"]);
        let server = AllocatorServer::with_interceptor(self.clone(), gate);
        serve_alone(address, tonic::transport::Server::builder().add_service(server), shutdown).await
    }
}

#[tonic::async_trait]
impl Allocator for FakeAllocator {
    async fn allocate(&self, _request: Request<pb::AllocateRequest>) -> Answer<pb::AllocateResponse> {
        Err(Status::unimplemented("metagame never allocates"))
    }

    async fn mint_join_token(&self, request: Request<pb::MintJoinTokenRequest>) -> Answer<pb::MintJoinTokenResponse> {
        let request = request.into_inner();
        let match_id: MatchId = request.match_id.parse().expect("a match id");
        let expires_at_s = service::clock::unix_s() + 60;
        let join_token = format!("token of {}", request.player_id);
        Ok(Response::new(pb::MintJoinTokenResponse {
            join_token,
            expires_at_s,
            assignment: Some(assignment(match_id)),
        }))
    }

    async fn release_match(&self, _request: Request<pb::ReleaseMatchRequest>) -> Answer<pb::ReleaseMatchResponse> {
        Err(Status::unimplemented("metagame never releases"))
    }

    async fn get_keys(&self, _request: Request<pb::GetKeysRequest>) -> Answer<pb::GetKeysResponse> {
        Ok(Response::new(pb::GetKeysResponse { jwks: self.keys.lock().expect("no panic under the lock").to_json() }))
    }

    type WatchMatchesStream = Events<pb::MatchEvent>;

    async fn watch_matches(&self, request: Request<pb::WatchMatchesRequest>) -> Answer<Self::WatchMatchesStream> {
        self.log.follow(request.into_inner().cursor)
    }

    /// Knows the matches of its log alone.
    async fn audit_matches(&self, request: Request<pb::AuditMatchesRequest>) -> Answer<pb::AuditMatchesResponse> {
        {
            let mut unsettled = self.unsettled.lock().expect("no panic under the lock");
            if *unsettled > 0 {
                *unsettled -= 1;
                return Err(Status::unavailable("not yet"));
            }
        }
        let known: Vec<_> = {
            let events = self.log.events.lock().expect("no panic under the lock");
            events.iter().map(|event| event.match_id.clone()).collect()
        };
        let unknown = request.into_inner().match_ids.into_iter().filter(|id| !known.contains(id));
        let unknown: Vec<MatchId> = unknown.map(|id| id.parse().expect("a match id")).collect();
        unknown.iter().for_each(|id| self.report(*id, pb::MatchEventKind::Lost));
        Ok(Response::new(pb::AuditMatchesResponse { lost: unknown.len() as u32 }))
    }

    async fn get_pool(&self, _request: Request<pb::GetPoolRequest>) -> Answer<pb::GetPoolResponse> {
        Ok(Response::new(pb::GetPoolResponse::default()))
    }

    type WatchPoolStream = Events<pb::GetPoolResponse>;

    async fn watch_pool(&self, _request: Request<pb::WatchPoolRequest>) -> Answer<Self::WatchPoolStream> {
        Err(Status::unimplemented("metagame does not watch the pool"))
    }
}
