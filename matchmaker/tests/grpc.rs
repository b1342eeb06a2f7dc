//! The matchmaker over real gRPC with a fake allocator behind it.

mod common;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{DUEL, player_id, queues, ticket_id};
use futures_util::StreamExt as _;
use matchmaker::{Config, QueueSource, Running};
use protocol::jwt::{KeySet, SigningKey};
use protocol::pb;
use protocol::pb::TicketState;
use protocol::pb::allocator_server::{Allocator, AllocatorServer};
use protocol::pb::matchmaker_client::MatchmakerClient;
use protocol::token::{ALLOCATOR_AUDIENCE, MATCHMAKER_AUDIENCE};
use service::token::{ServiceTokens, TokenInterceptor, require, with_token};
use service::{Listener, Shutdown};
use testkit::wait::until;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Server};
use tonic::{Code, Request, Response, Status};

/// Answers from a script, then always with an assignment.
#[derive(Default, Clone)]
struct Fake {
    script: Arc<Mutex<VecDeque<Code>>>,
    allocations: Arc<Mutex<Vec<pb::AllocateRequest>>>,
    releases: Arc<Mutex<Vec<String>>>,
}

type NoStream = tokio_stream::Empty<Result<pb::MatchEvent, Status>>;

#[tonic::async_trait]
impl Allocator for Fake {
    type WatchMatchesStream = NoStream;
    type WatchPoolStream = tokio_stream::Empty<Result<pb::GetPoolResponse, Status>>;

    async fn watch_pool(&self, _: Request<pb::WatchPoolRequest>) -> Result<Response<Self::WatchPoolStream>, Status> {
        Err(Status::unimplemented("the matchmaker does not watch the pool"))
    }

    async fn allocate(&self, request: Request<pb::AllocateRequest>) -> Result<Response<pb::AllocateResponse>, Status> {
        let request = request.into_inner();
        self.allocations.lock().expect("no panic while it was held").push(request.clone());
        if let Some(code) = self.script.lock().expect("no panic while it was held").pop_front() {
            return Err(Status::new(code, "scripted"));
        }
        let assignment = pb::Assignment {
            match_id: request.match_id,
            address: "127.0.0.1:7777".into(),
            server_key: vec![7; 32],
            region: request.regions.first().cloned().unwrap_or_default(),
            ..Default::default()
        };
        Ok(Response::new(pb::AllocateResponse { assignment: Some(assignment), allocation_us: 1 }))
    }

    async fn release_match(
        &self,
        request: Request<pb::ReleaseMatchRequest>,
    ) -> Result<Response<pb::ReleaseMatchResponse>, Status> {
        self.releases.lock().expect("no panic while it was held").push(request.into_inner().match_id);
        Ok(Response::new(pb::ReleaseMatchResponse {}))
    }

    async fn mint_join_token(
        &self,
        _: Request<pb::MintJoinTokenRequest>,
    ) -> Result<Response<pb::MintJoinTokenResponse>, Status> {
        Err(Status::unimplemented("the matchmaker mints no join tokens"))
    }

    async fn audit_matches(
        &self,
        _: Request<pb::AuditMatchesRequest>,
    ) -> Result<Response<pb::AuditMatchesResponse>, Status> {
        Err(Status::unimplemented("the matchmaker audits nothing"))
    }

    async fn get_keys(&self, _: Request<pb::GetKeysRequest>) -> Result<Response<pb::GetKeysResponse>, Status> {
        Err(Status::unimplemented("the matchmaker asks for no keys"))
    }

    async fn watch_matches(&self, _: Request<pb::WatchMatchesRequest>) -> Result<Response<NoStream>, Status> {
        Err(Status::unimplemented("the matchmaker watches no matches"))
    }

    async fn get_pool(&self, _: Request<pb::GetPoolRequest>) -> Result<Response<pb::GetPoolResponse>, Status> {
        Err(Status::unimplemented("the matchmaker reads no pool"))
    }
}

/// A fake allocator at `address` until `shutdown`; it demands the matchmaker's service token.
async fn allocator(fake: Fake, address: &str, shutdown: Shutdown) -> String {
    let listener = until("the allocator's port", || async {
        Listener::bind(address.parse().expect("an address"), "fake allocator").await.ok()
    })
    .await;
    let address = listener.local_addr();
    let keys = Arc::new(KeySet::new([key().public_key()]));
    let service = AllocatorServer::new(fake);
    let service = InterceptedService::new(service, require(keys, ALLOCATOR_AUDIENCE, &["matchmaker"]));
    let server = Server::builder().add_service(service);
    tokio::spawn(server.serve_with_incoming_shutdown(listener.into_incoming(), shutdown.wait_owned()));
    format!("http://{address}")
}

fn key() -> Arc<SigningKey> {
    Arc::new(SigningKey::from_seed(&[5; 32]))
}

const TEAMS: &str = r#"
[[queue]]
name = "pairs"
teams = 2
players_per_team = 2
fleet = "arena"
regions = ["eu", "us"]
settings = { seconds = 20 }
"#;

async fn matchmaker(allocator: &str, shutdown: &Shutdown) -> Running {
    let config = Config {
        listen: "127.0.0.1:0".parse().expect("an address"),
        admin: "127.0.0.1:0".parse().expect("an address"),
        allocator: allocator.to_owned(),
        queues: QueueSource::Given(queues(&format!("{DUEL}{TEAMS}"))),
        tokens: ServiceTokens::new(key(), "matchmaker"),
        callers: Arc::new(KeySet::new([key().public_key()])).into(),
        drain: Duration::from_secs(10),
    };
    matchmaker::start(config, shutdown.clone()).await.expect("it starts")
}

type Client = MatchmakerClient<InterceptedService<Channel, TokenInterceptor>>;

fn client(running: &Running, subject: &str) -> Client {
    let channel = service::grpc::channel(&format!("http://{}", running.address)).expect("an address");
    MatchmakerClient::with_interceptor(channel, with_token(ServiceTokens::new(key(), subject), MATCHMAKER_AUDIENCE))
}

fn request(id: u64, queue: &str, players: &[u64]) -> pb::CreateTicketRequest {
    let player = |n: &u64| pb::TicketPlayer {
        player_id: player_id(*n).to_string(),
        name: format!("p{n}"),
        rating: 25.0,
        uncertainty: 8.0,
    };
    let rtt = |region: &str, rtt_ms| pb::RegionRtt { region: region.into(), rtt_ms };
    pb::CreateTicketRequest {
        ticket_id: ticket_id(id).to_string(),
        queue: queue.into(),
        players: players.iter().map(player).collect(),
        region_rtts: vec![rtt("eu", 90), rtt("us", 20)],
        trace_id: format!("{id:032x}"),
        ..Default::default()
    }
}

async fn get(client: &Client, id: u64) -> pb::Ticket {
    let request = pb::GetTicketRequest { ticket_id: ticket_id(id).to_string() };
    client.clone().get_ticket(request).await.expect("a known ticket").into_inner()
}

/// The ticket once it is in `state`.
async fn in_state(client: &Client, id: u64, state: TicketState) -> pb::Ticket {
    until(state.as_str_name(), || async {
        let ticket = get(client, id).await;
        (ticket.state() == state).then_some(ticket)
    })
    .await
}

#[tokio::test]
async fn tickets_become_a_match_with_an_assignment_and_a_roster() {
    let (shutdown, fake) = (Shutdown::new(), Fake::default());
    let address = allocator(fake.clone(), "127.0.0.1:0", shutdown.child()).await;
    let running = matchmaker(&address, &shutdown).await;
    let mut client = client(&running, "metagame");
    let created = client.create_ticket(request(1, "pairs", &[1, 2])).await.expect("created").into_inner();
    assert_eq!((created.state(), created.queue.as_str()), (TicketState::Queued, "pairs"));
    client.create_ticket(request(2, "pairs", &[3])).await.expect("created");
    client.create_ticket(request(3, "pairs", &[4])).await.expect("created");
    let ticket = in_state(&client, 1, TicketState::Completed).await;
    let assignment = ticket.assignment.expect("an assignment");
    assert_eq!((assignment.address.as_str(), &assignment.match_id), ("127.0.0.1:7777", &ticket.match_id));
    assert_eq!((ticket.roster.len(), ticket.trace_id.as_str()), (4, format!("{:032x}", 1).as_str()));

    let asked = fake.allocations.lock().expect("no panic while it was held").clone();
    assert_eq!(asked.len(), 1);
    let asked = &asked[0];
    assert_eq!((asked.attempt, asked.fleet.as_str(), asked.queue.as_str()), (1, "arena", "pairs"));
    assert_eq!((asked.regions.join(","), asked.settings_json.as_str()), ("us,eu".into(), "{\"seconds\":20}"));
    assert_eq!((asked.trace_id.clone(), asked.roster.clone()), (format!("{:032x}", 1), ticket.roster));
    assert!((1..=10_000).contains(&asked.wait_ms));

    let page = metrics_page(&running).await;
    for line in [
        "muster_matchmaker_matches_made_total{queue=\"pairs\"}",
        "muster_matchmaker_wait_seconds_bucket{queue=\"pairs\"",
        "muster_matchmaker_allocation_attempts_total{call=\"allocate\",outcome=\"placed\"}",
        "muster_matchmaker_tickets_ended_total{queue=\"pairs\",state=\"completed\"}",
        "muster_matchmaker_search_pass_seconds",
        "muster_matchmaker_waiting_players{queue=\"duel\"} 0",
    ] {
        assert!(page.contains(line), "{line} is not in\n{page}");
    }
    shutdown.trigger();
    running.wait().await.expect("a clean end");
}

async fn metrics_page(running: &Running) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(running.admin_address).await.expect("the admin port");
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.expect("written");
    let mut page = String::new();
    stream.read_to_string(&mut page).await.expect("read");
    page
}

#[tokio::test]
async fn an_allocator_that_is_down_delays_the_match_and_nothing_else() {
    let shutdown = Shutdown::new();
    let port = Listener::bind("127.0.0.1:0".parse().expect("an address"), "a port").await.expect("free").local_addr();
    let running = matchmaker(&format!("http://{port}"), &shutdown).await;
    let mut client = client(&running, "metagame");
    client.create_ticket(request(1, "duel", &[1])).await.expect("created");
    client.create_ticket(request(2, "duel", &[2])).await.expect("created");
    let placing = in_state(&client, 1, TicketState::Placing).await;
    let cancel = pb::CancelTicketRequest { ticket_id: ticket_id(1).to_string(), reason: "bored".into() };
    let answer = client.cancel_ticket(cancel).await.expect("known").into_inner();
    assert_eq!((answer.state(), &answer.match_id), (TicketState::Placing, &placing.match_id), "past cancelling");
    let fake = Fake::default();
    allocator(fake.clone(), &port.to_string(), shutdown.child()).await;
    let ticket = in_state(&client, 1, TicketState::Completed).await;
    assert_eq!(ticket.created_at_ms, placing.created_at_ms);
    // Either a later attempt of the same match, or that match was released before the next one.
    let asked = fake.allocations.lock().expect("no panic while it was held").clone();
    let released = fake.releases.lock().expect("no panic while it was held").clone();
    let same = asked.iter().any(|asked| asked.match_id == placing.match_id && asked.attempt > 1);
    assert!(same || released.contains(&placing.match_id), "{asked:?} {released:?}");
    assert_eq!(get(&client, 2).await.match_id, ticket.match_id);
}

#[tokio::test]
async fn unknown_outcomes_are_retried_with_the_same_match_and_the_next_attempt() {
    let (shutdown, fake) = (Shutdown::new(), Fake::default());
    fake.script.lock().expect("no panic while it was held").extend([
        Code::Unavailable,
        Code::DeadlineExceeded,
        Code::FailedPrecondition,
    ]);
    let address = allocator(fake.clone(), "127.0.0.1:0", shutdown.child()).await;
    let running = matchmaker(&address, &shutdown).await;
    let mut client = client(&running, "metagame");
    client.create_ticket(request(1, "duel", &[1])).await.expect("created");
    client.create_ticket(request(2, "duel", &[2])).await.expect("created");
    let ticket = in_state(&client, 2, TicketState::Completed).await;
    let asked = fake.allocations.lock().expect("no panic while it was held").clone();
    assert_eq!(asked.iter().map(|asked| asked.attempt).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert!(asked.iter().all(|asked| asked.match_id == ticket.match_id));
    assert!(fake.releases.lock().expect("no panic while it was held").is_empty());
}

#[tokio::test]
async fn without_a_server_the_match_is_released_and_its_tickets_wait_again() {
    let (shutdown, fake) = (Shutdown::new(), Fake::default());
    fake.script.lock().expect("no panic while it was held").push_back(Code::ResourceExhausted);
    let address = allocator(fake.clone(), "127.0.0.1:0", shutdown.child()).await;
    let running = matchmaker(&address, &shutdown).await;
    let mut client = client(&running, "metagame");
    let created = client.create_ticket(request(1, "duel", &[1])).await.expect("created").into_inner();
    client.create_ticket(request(2, "duel", &[2])).await.expect("created");
    let ticket = in_state(&client, 1, TicketState::Completed).await;
    assert_eq!(ticket.created_at_ms, created.created_at_ms, "the original age is kept");
    let (asked, released) =
        (fake.allocations.lock().expect("no panic while it was held").clone(), fake.releases.lock().unwrap().clone());
    assert_eq!(released, [asked[0].match_id.clone()]);
    assert!(asked[1].match_id != asked[0].match_id && asked[1].attempt == 1);
}

#[tokio::test]
async fn a_stubborn_refusal_fails_the_tickets_with_its_reason() {
    let (shutdown, fake) = (Shutdown::new(), Fake::default());
    fake.script.lock().expect("no panic while it was held").extend([Code::FailedPrecondition; 5]);
    let address = allocator(fake.clone(), "127.0.0.1:0", shutdown.child()).await;
    let running = matchmaker(&address, &shutdown).await;
    let mut client = client(&running, "metagame");
    client.create_ticket(request(1, "duel", &[1])).await.expect("created");
    client.create_ticket(request(2, "duel", &[2])).await.expect("created");
    let ticket = in_state(&client, 1, TicketState::Failed).await;
    assert!(ticket.reason.contains("scripted"), "{ticket:?}");
    assert_eq!(fake.releases.lock().expect("no panic while it was held").len(), 1);
}

#[tokio::test]
async fn callers_without_the_right_token_reach_nothing() {
    let shutdown = Shutdown::new();
    let running = matchmaker("http://127.0.0.1:9", &shutdown).await;
    let channel = service::grpc::channel(&format!("http://{}", running.address)).expect("an address");
    let mut bare = MatchmakerClient::new(channel);
    let code = |result: Result<Response<pb::Ticket>, Status>| result.expect_err("refused").code();
    assert_eq!(code(bare.create_ticket(request(1, "duel", &[1])).await), Code::Unauthenticated);
    let watch = bare.watch_tickets(pb::WatchTicketsRequest::default()).await;
    assert_eq!(watch.err().map(|status| status.code()), Some(Code::Unauthenticated));
    let list = bare.list_queues(pb::ListQueuesRequest {}).await;
    assert_eq!(list.err().map(|status| status.code()), Some(Code::Unauthenticated));

    let mut console = client(&running, "console");
    assert_eq!(code(console.create_ticket(request(1, "duel", &[1])).await), Code::PermissionDenied);
    let get = pb::GetTicketRequest { ticket_id: ticket_id(1).to_string() };
    assert_eq!(code(console.get_ticket(get).await), Code::PermissionDenied);
    let queues = console.list_queues(pb::ListQueuesRequest {}).await.expect("allowed").into_inner().queues;
    assert_eq!(queues.iter().map(|queue| queue.name.as_str()).collect::<Vec<_>>(), ["duel", "pairs"]);
    let mut stranger = client(&running, "gameserver");
    assert_eq!(code(stranger.create_ticket(request(1, "duel", &[1])).await), Code::PermissionDenied);
}

#[tokio::test]
async fn bad_requests_get_the_code_and_the_reason() {
    let shutdown = Shutdown::new();
    let running = matchmaker("http://127.0.0.1:9", &shutdown).await;
    let mut client = client(&running, "metagame");
    client.create_ticket(request(1, "duel", &[1])).await.expect("created");
    client.create_ticket(request(1, "duel", &[1])).await.expect("the same again is the same");
    let rows = [
        (request(2, "duel", &[1]), Code::AlreadyExists, ticket_id(1).to_string()),
        (request(1, "duel", &[3]), Code::InvalidArgument, "other content".into()),
        (request(3, "chess", &[3]), Code::InvalidArgument, "duel, pairs".into()),
        (request(3, "duel", &[3, 4]), Code::InvalidArgument, "at most 1".into()),
        (request(3, "duel", &[]), Code::InvalidArgument, "players".into()),
    ];
    for (request, code, word) in rows {
        let status = client.create_ticket(request).await.expect_err("refused");
        assert_eq!(status.code(), code, "{status}");
        assert!(status.message().contains(&word), "{word}: {status}");
    }
    let missing = client.get_ticket(pb::GetTicketRequest { ticket_id: ticket_id(9).to_string() }).await;
    assert_eq!(missing.expect_err("unknown").code(), Code::NotFound);
    let huge = pb::CreateTicketRequest { build: "x".repeat(1 << 20), ..request(4, "duel", &[4]) };
    assert!(client.create_ticket(huge).await.is_err());
    assert_eq!(get(&client, 1).await.state(), TicketState::Queued, "it still works");
}

#[tokio::test]
async fn a_watch_resumes_after_its_cursor_and_a_foreign_cursor_is_refused() {
    let (shutdown, fake) = (Shutdown::new(), Fake::default());
    let address = allocator(fake, "127.0.0.1:0", shutdown.child()).await;
    let running = matchmaker(&address, &shutdown).await;
    let mut client = client(&running, "metagame");
    let watch = |queue: &str, cursor| pb::WatchTicketsRequest { queue: queue.into(), cursor };
    let mut live = client.watch_tickets(watch("", 0)).await.expect("a stream").into_inner();
    client.create_ticket(request(1, "duel", &[1])).await.expect("created");
    let first = live.next().await.expect("open").expect("an event");
    assert_eq!(
        first.ticket.as_ref().map(|ticket| (ticket.state(), ticket.cursor)),
        Some((TicketState::Queued, first.cursor))
    );
    drop(live);
    client.create_ticket(request(2, "duel", &[2])).await.expect("created");
    in_state(&client, 1, TicketState::Completed).await;
    client.create_ticket(request(3, "pairs", &[3])).await.expect("created");

    let mut resumed = client.watch_tickets(watch("duel", first.cursor)).await.expect("a stream").into_inner();
    let mut states = Vec::new();
    let mut cursor = first.cursor;
    for _ in 0..5 {
        let event = resumed.next().await.expect("open").expect("an event");
        assert!(event.cursor > cursor && event.log_id == first.log_id);
        cursor = event.cursor;
        states.push(event.ticket.expect("a ticket").state());
    }
    use TicketState::{Completed, Placing, Queued};
    assert_eq!(states, [Queued, Placing, Placing, Completed, Completed]);
    for foreign in [1, first.cursor - 100_000, cursor + 100] {
        let status = client.watch_tickets(watch("", foreign)).await.err().map(|status| status.code());
        assert_eq!(status, Some(Code::OutOfRange), "cursor {foreign}");
    }
    shutdown.trigger();
    running.wait().await.expect("a clean end");
    let last = resumed.next().await.expect("a last word").expect_err("the stream ends");
    assert_eq!(last.code(), Code::Unavailable);
}

#[tokio::test]
async fn a_watch_of_the_queues_tells_the_whole_picture_and_then_each_change() {
    let (shutdown, fake) = (Shutdown::new(), Fake::default());
    let address = allocator(fake, "127.0.0.1:0", shutdown.child()).await;
    let running = matchmaker(&address, &shutdown).await;
    let (mut metagame, mut operator) = (client(&running, "metagame"), client(&running, "operator"));
    let mut watch = operator.watch_queues(pb::WatchQueuesRequest {}).await.expect("a stream").into_inner();
    let first = watch.next().await.expect("open").expect("a picture");
    assert_eq!(first.queues.iter().map(|queue| queue.name.as_str()).collect::<Vec<_>>(), ["duel", "pairs"]);

    metagame.create_ticket(request(1, "duel", &[1])).await.expect("created");
    let waiting = watch.next().await.expect("open").expect("a picture");
    assert_eq!((waiting.queues[0].waiting_players, waiting.queues[1].waiting_players), (1, 0));
    metagame.create_ticket(request(2, "duel", &[2])).await.expect("created");
    loop {
        let duel = watch.next().await.expect("open").expect("a picture").queues.remove(0);
        if duel.matches_made == 1 {
            assert_eq!((duel.waiting_tickets, duel.placing_matches), (0, 0));
            break;
        }
    }

    let mut others = Vec::new();
    while let Ok(stream) = operator.watch_queues(pb::WatchQueuesRequest {}).await {
        others.push(stream);
        assert!(others.len() < 100, "watchers are bounded");
    }
    drop(others);
    until("room for a watcher", || async { operator.clone().watch_queues(pb::WatchQueuesRequest {}).await.ok() }).await;

    shutdown.trigger();
    running.wait().await.expect("a clean end");
    let last = loop {
        match watch.next().await.expect("a last word") {
            Ok(_) => {}
            Err(last) => break last,
        }
    };
    assert_eq!(last.code(), Code::Unavailable);
}

#[tokio::test]
async fn a_shutdown_tells_who_waits_and_finishes_what_is_being_placed() {
    let (shutdown, fake) = (Shutdown::new(), Fake::default());
    fake.script.lock().expect("no panic while it was held").push_back(Code::Unavailable);
    let port = Listener::bind("127.0.0.1:0".parse().expect("an address"), "a port").await.expect("free").local_addr();
    let running = matchmaker(&format!("http://{port}"), &shutdown).await;
    let mut client = client(&running, "metagame");
    let mut live = client.watch_tickets(pb::WatchTicketsRequest::default()).await.expect("a stream").into_inner();
    for n in 1..=3 {
        client.create_ticket(request(n, "duel", &[n])).await.expect("created");
    }
    in_state(&client, 1, TicketState::Placing).await;
    shutdown.trigger();
    // The match is released as soon as the allocator is there; then its tickets are cancelled too.
    allocator(fake.clone(), &port.to_string(), Shutdown::new()).await;
    running.wait().await.expect("a clean end");
    let mut last = std::collections::BTreeMap::new();
    while let Some(Ok(event)) = live.next().await {
        let ticket = event.ticket.expect("a ticket");
        last.insert(ticket.ticket_id.clone(), (ticket.state(), ticket.reason));
    }
    assert_eq!(last.len(), 3);
    for (ticket, (state, reason)) in last {
        assert!(
            state == TicketState::Completed || (state == TicketState::Cancelled && reason == "shutting down"),
            "{ticket} {state:?} {reason}"
        );
    }
}
