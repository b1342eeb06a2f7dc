//! The allocator over real sockets: a scripted game server on the control link, callers with service tokens.

#[allow(dead_code, reason = "other tests use the rest of it")]
mod fake_server;

use std::sync::Arc;
use std::time::Duration;

use allocator::{Config, Limits, Running, Timing};
use fake_server::FakeServer;
use protocol::certificate::{CERTIFICATE_TYP, CertificateClaims, roster_hash};
use protocol::id::{MatchId, PlayerId, ServerId};
use protocol::jwt::{Expect, KeySet, SigningKey};
use protocol::pb::allocator_client::AllocatorClient;
use protocol::pb::{self, MatchEventKind, MatchPhase, RefusalReason};
use protocol::token::{ALLOCATOR_AUDIENCE, JoinClaims};
use service::Shutdown;
use service::token::{ServiceTokens, TokenInterceptor, with_token};
use testkit::wait::{PATIENCE, until};
use tonic::Code;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;

struct Platform {
    running: Option<Running>,
    url: String,
    admin: String,
    service_key: Arc<SigningKey>,
    shutdown: Shutdown,
}

type Client = AllocatorClient<InterceptedService<Channel, TokenInterceptor>>;

impl Platform {
    async fn start() -> Self {
        Self::start_with(Limits::default(), Timing::default()).await
    }

    async fn start_with(limits: Limits, timing: Timing) -> Self {
        let service_key = Arc::new(SigningKey::from_seed(&[0x51; 32]));
        let any = "127.0.0.1:0".parse().expect("an address");
        let config = Config {
            address: any,
            admin_address: any,
            signing_key: Arc::new(testkit::tokens::allocator_key()),
            service_keys: Arc::new(KeySet::new([service_key.public_key()])),
            epoch: 1,
            expected: None,
            agones: None,
            timing,
            limits,
        };
        let shutdown = Shutdown::new();
        let running = allocator::start(config, shutdown.clone()).await.expect("the allocator starts");
        let (url, admin) = (format!("http://{}", running.address), format!("http://{}", running.admin_address));
        Self { running: Some(running), url, admin, service_key, shutdown }
    }

    fn client(&self, caller: &str) -> Client {
        let tokens = ServiceTokens::new(self.service_key.clone(), caller);
        let channel = service::grpc::channel(&self.url).expect("an address");
        AllocatorClient::with_interceptor(channel, with_token(tokens, ALLOCATOR_AUDIENCE))
    }

    async fn server(&self, byte: u8, capacity: u32) -> FakeServer {
        FakeServer::register(&self.url, &self.service_key, fake_server::registration(byte, capacity)).await
    }
}

fn match_id(byte: u8) -> MatchId {
    MatchId::from_entropy([byte; 16])
}

fn player(byte: u8) -> PlayerId {
    PlayerId::from_entropy([byte; 16])
}

fn request(byte: u8) -> pb::AllocateRequest {
    let entry = |id: u8, team| pb::RosterEntry {
        player_id: player(id).to_string(),
        team,
        name: format!("player {id}"),
        party_id: String::new(),
    };
    pb::AllocateRequest {
        match_id: match_id(byte).to_string(),
        attempt: 1,
        fleet: "arena".into(),
        roster: vec![entry(1, 0), entry(2, 1)],
        settings_json: r#"{"mode":"teams"}"#.into(),
        trace_id: "0123456789abcdef0123456789abcdef".into(),
        wait_ms: 5_000,
        queue: "duel".into(),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_match_goes_from_allocate_to_closed() {
    let platform = Platform::start().await;
    let mut server = platform.server(1, 1).await;
    let mut matchmaker = platform.client("matchmaker");
    let call = tokio::spawn(async move { matchmaker.allocate(request(9)).await });
    let assign = server.assign().await;
    assert_eq!((assign.epoch, assign.attempt, assign.queue.as_str()), (1, 1, "duel"));
    assert_eq!(assign.settings_json, r#"{"mode":"teams"}"#);
    let keys = testkit::tokens::allocator_keys();
    let expect = Expect { typ: CERTIFICATE_TYP, audience: None, now_unix_s: service::clock::unix_s() };
    let claims: CertificateClaims = keys.verify(&assign.certificate, expect).expect("a good certificate");
    assert_eq!(claims.roster, roster_hash([(player(1), 0), (player(2), 1)]));
    assert_eq!(claims.jkt, fake_server::result_key(1).kid());

    server.joinable(&assign).await;
    let answer = call.await.expect("no panic").expect("allocated").into_inner();
    let assignment = answer.assignment.expect("an assignment");
    assert_eq!((assignment.address.as_str(), assignment.server_id.clone()), ("127.0.0.1:7777", server.id()));

    let mut metagame = platform.client("metagame");
    let mint = |player: PlayerId| pb::MintJoinTokenRequest {
        match_id: match_id(9).to_string(),
        player_id: player.to_string(),
    };
    let minted = metagame.mint_join_token(mint(player(2))).await.expect("on the roster").into_inner();
    let server_id: ServerId = server.id().parse().expect("an id");
    let claims = JoinClaims::verify(&keys, &minted.join_token, server_id, service::clock::unix_s()).expect("good");
    assert_eq!((claims.mid, claims.sub, claims.team), (match_id(9), player(2), 1));
    assert_eq!(claims.exp, minted.expires_at_s);
    let stranger = metagame.mint_join_token(mint(player(3))).await.expect_err("not on the roster");
    assert_eq!(stranger.code(), Code::PermissionDenied);

    let mut events =
        metagame.watch_matches(pb::WatchMatchesRequest { cursor: 0 }).await.expect("a stream").into_inner();
    for (number, phase) in [(1, MatchPhase::Playing), (2, MatchPhase::Ended), (3, MatchPhase::Closed)] {
        server.update(match_id(9), phase, number).await;
        server.acknowledged(number).await;
    }
    use MatchEventKind::{Closed, Ended, Joinable, Playing};
    for (cursor, kind) in (1..).zip([Joinable, Playing, Ended, Closed]) {
        let event = tokio::time::timeout(PATIENCE, events.message())
            .await
            .expect("in time")
            .expect("no fault")
            .expect("an event");
        assert_eq!((event.cursor, event.kind(), event.roster.len()), (cursor, kind, 2));
        assert_eq!(event.trace_id, "0123456789abcdef0123456789abcdef");
    }
    let over = metagame.mint_join_token(mint(player(2))).await.expect_err("over");
    assert_eq!(over.code(), Code::NotFound);
}

#[tokio::test]
async fn the_pool_names_each_servers_admin_address_and_where_each_match_runs() {
    let platform = Platform::start().await;
    let mut server = platform.server(1, 1).await;
    let mut matchmaker = platform.client("matchmaker");
    let call = tokio::spawn(async move { matchmaker.allocate(request(9)).await });
    let assign = server.assign().await;
    server.joinable(&assign).await;
    call.await.expect("no panic").expect("allocated");

    let mut console = platform.client("muster");
    let pool = console.get_pool(pb::GetPoolRequest {}).await.expect("an answer").into_inner();
    let [listed] = &pool.servers[..] else { panic!("one server: {:?}", pool.servers) };
    assert_eq!((listed.server_id.as_str(), listed.admin_address.as_str()), (server.id().as_str(), "127.0.0.1:7778"));
    let [running] = &pool.matches[..] else { panic!("one match: {:?}", pool.matches) };
    assert_eq!((running.match_id.clone(), running.server_id.clone()), (match_id(9).to_string(), server.id()));
}

#[tokio::test]
async fn each_method_has_its_callers() {
    let platform = Platform::start().await;
    let release = || pb::ReleaseMatchRequest { match_id: match_id(1).to_string(), reason: String::new() };
    let mint = || pb::MintJoinTokenRequest { match_id: match_id(1).to_string(), player_id: player(1).to_string() };
    let code = |status: tonic::Status| status.code();
    for caller in ["metagame", "operator", "muster"] {
        let mut client = platform.client(caller);
        assert_eq!(client.allocate(request(1)).await.map_err(code).err(), Some(Code::PermissionDenied), "{caller}");
        let refused = client.release_match(release()).await.map_err(code).err();
        assert_eq!(refused, Some(Code::PermissionDenied), "{caller}");
        assert!(client.get_keys(pb::GetKeysRequest {}).await.is_ok(), "{caller}");
    }
    let refused = platform.client("matchmaker").mint_join_token(mint()).await.map_err(code).err();
    assert_eq!(refused, Some(Code::PermissionDenied));
    let refused = platform.client("metagame").get_pool(pb::GetPoolRequest {}).await.map_err(code).err();
    assert_eq!(refused, Some(Code::PermissionDenied));
    let pool = platform.client("operator").get_pool(pb::GetPoolRequest {}).await.expect("allowed").into_inner();
    assert_eq!((pool.epoch, pool.servers.len()), (1, 0));
    // A game server may not allocate, a caller may not open a control link, and without a token nothing is reached.
    let refused = platform.client("gameserver").get_keys(pb::GetKeysRequest {}).await.map_err(code).err();
    assert_eq!(refused, Some(Code::PermissionDenied));
    let channel = service::grpc::channel(&platform.url).expect("an address");
    let refused = AllocatorClient::new(channel).get_keys(pb::GetKeysRequest {}).await.map_err(code).err();
    assert_eq!(refused, Some(Code::Unauthenticated));
    let stranger = Arc::new(SigningKey::from_seed(&[9; 32]));
    let first = fake_server::registration(1, 1);
    assert_eq!(FakeServer::refused(&platform.url, &stranger, "gameserver", first.clone()).await, Code::Unauthenticated);
    let key = &platform.service_key;
    assert_eq!(FakeServer::refused(&platform.url, key, "matchmaker", first).await, Code::PermissionDenied);
}

#[tokio::test]
async fn who_watches_the_pool_sees_it_at_once_and_after_each_change() {
    let platform = Platform::start().await;
    let _first = platform.server(1, 2).await;
    let mut operator = platform.client("operator");
    let mut pool = operator.watch_pool(pb::WatchPoolRequest {}).await.expect("a stream").into_inner();
    let mut next = async || {
        let picture = tokio::time::timeout(testkit::wait::PATIENCE, pool.message()).await.expect("a picture");
        picture.expect("no fault").expect("no end")
    };
    let names = |picture: &pb::GetPoolResponse| picture.servers.iter().map(|s| s.name.clone()).collect::<Vec<_>>();
    let picture = next().await;
    assert_eq!((names(&picture), picture.servers[0].revision.as_str()), (vec!["server-1".into()], "revision1"));
    let second = platform.server(2, 2).await;
    let mut picture = next().await;
    assert_eq!(names(&picture), ["server-1", "server-2"]);
    drop(second);
    while picture.servers[1].link != "suspect" {
        picture = next().await;
    }
    let status = platform.client("matchmaker").watch_pool(pb::WatchPoolRequest {}).await.expect_err("refused");
    assert_eq!(status.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn bad_requests_are_named_and_reach_nothing() {
    let platform = Platform::start().await;
    let mut matchmaker = platform.client("matchmaker");
    let good = || request(9);
    let twice = vec![good().roster[0].clone(), good().roster[0].clone()];
    let bad = [
        pb::AllocateRequest { match_id: "nine".into(), ..good() },
        pb::AllocateRequest { attempt: 0, ..good() },
        pb::AllocateRequest { fleet: String::new(), ..good() },
        pb::AllocateRequest { fleet: "x".repeat(65), ..good() },
        pb::AllocateRequest { build: "two words".into(), ..good() },
        pb::AllocateRequest { roster: vec![], ..good() },
        pb::AllocateRequest { roster: twice, ..good() },
        pb::AllocateRequest { settings_json: "[1]".into(), ..good() },
        pb::AllocateRequest { settings_json: "{".into(), ..good() },
        pb::AllocateRequest { trace_id: "xyz".into(), ..good() },
        pb::AllocateRequest { regions: vec![String::new()], ..good() },
    ];
    for request in bad {
        let status = matchmaker.allocate(request).await.expect_err("bad");
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    }
    let key = &platform.service_key;
    let good = || fake_server::registration(1, 1);
    let bad = [
        pb::Register { server_id: "one".into(), ..good() },
        pb::Register { capacity: 0, ..good() },
        pb::Register { capacity: 1_000_000, ..good() },
        pb::Register { server_key: vec![1; 31], ..good() },
        pb::Register { transport: pb::Transport::Foreign.into(), ..good() },
        pb::Register { joinable_within_ms: 8_001, ..good() },
        pb::Register { result_key: vec![], ..good() },
        pb::Register { name: String::new(), ..good() },
        pb::Register { routing_token: vec![0; 4], ..good() },
        pb::Register { region: "\n".into(), ..good() },
    ];
    for register in bad {
        assert_eq!(FakeServer::refused(&platform.url, key, "gameserver", register).await, Code::InvalidArgument);
    }
    let stale = pb::Register { epoch_seen: 2, ..good() };
    assert_eq!(FakeServer::refused(&platform.url, key, "gameserver", stale).await, Code::FailedPrecondition);
}

#[tokio::test]
async fn a_stream_that_does_not_register_is_ended() {
    let timing = Timing { register_timeout: Duration::from_millis(50), ..Timing::default() };
    let platform = Platform::start_with(Limits::default(), timing).await;
    let code = FakeServer::silent(&platform.url, &platform.service_key).await;
    assert_eq!(code, Code::DeadlineExceeded);
}

#[tokio::test]
async fn refusals_and_broken_links_lead_to_the_next_server() {
    let platform = Platform::start().await;
    let mut one = platform.server(1, 1).await;
    let mut two = platform.server(2, 1).await;
    let mut three = platform.server(3, 1).await;
    let mut matchmaker = platform.client("matchmaker");
    let call = tokio::spawn(async move { matchmaker.allocate(request(9)).await });
    let assign = one.assign().await;
    one.refuse(&assign, RefusalReason::Full).await;
    let assign = two.assign().await;
    drop(two);
    let last = three.assign().await;
    assert!(last.attempt > assign.attempt);
    three.joinable(&last).await;
    let assignment = call.await.expect("no panic").expect("allocated").into_inner().assignment.expect("one");
    assert_eq!(assignment.server_id, three.id());
}

#[tokio::test]
async fn a_caller_that_hangs_up_leaves_nothing_in_line() {
    let platform = Platform::start_with(Limits { waiting_max: 1, ..Limits::default() }, Timing::default()).await;
    let mut matchmaker = platform.client("matchmaker");
    // Again and again: the probe below may hold the one place when the call arrives.
    let waiting = tokio::spawn(async move { while matchmaker.allocate(request(9)).await.is_err() {} });
    let probe = async || {
        let probe = pb::AllocateRequest { wait_ms: 1, ..request(7) };
        platform.client("matchmaker").allocate(probe).await.expect_err("there is no server").message().to_owned()
    };
    until("the call waits", async || probe().await.contains("too many").then_some(())).await;
    waiting.abort();
    let page = format!("{}/metrics", platform.admin);
    let counted = async || reqwest::get(&page).await.ok()?.text().await.ok()?.contains("\"cancelled\"").then_some(());
    until("the allocator notices", counted).await;
    let mut server = platform.server(1, 1).await;
    let mut matchmaker = platform.client("matchmaker");
    let call = tokio::spawn(async move { matchmaker.allocate(request(8)).await });
    let assign = server.assign().await;
    assert_eq!(assign.match_id, match_id(8).to_string(), "match 9 is wanted by nobody");
    server.joinable(&assign).await;
    call.await.expect("no panic").expect("allocated");
}

#[tokio::test]
async fn a_server_that_does_not_read_is_dropped() {
    let long = Duration::from_secs(600);
    let timing = Timing { suspect_after: long, lost_after: long, ..Timing::default() };
    let platform = Platform::start_with(Limits::default(), timing).await;
    let _server = platform.server(1, 1).await;
    let handle = platform.running.as_ref().expect("running").handle();
    let link = async || handle.pool().await.expect("running").servers[0].link.clone();
    assert_eq!(link().await, "linked");
    let reason = "x".repeat(100_000);
    until("the link is dropped", async || {
        for _ in 0..64 {
            handle.drain("server-1", long, &reason).await.expect("known");
        }
        (link().await == "suspect").then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_embedding_program_retires_drains_and_tells_of_deaths() {
    use pb::allocator_message::Message;
    let platform = Platform::start().await;
    let mut one = platform.server(1, 1).await;
    let handle = platform.running.as_ref().expect("running").handle();
    handle.retire("server-1").await.expect("known");
    assert!(matches!(one.order().await, Message::Retire(pb::Retire { epoch: 1 })));
    handle.drain("server-1", Duration::from_secs(30), "rollout").await.expect("known");
    let Message::Drain(drain) = one.order().await else { panic!("expected Drain") };
    assert!((1..=30_000).contains(&drain.deadline_ms), "{drain:?}");
    assert!(handle.retire("server-7").await.is_err());
    assert_eq!(handle.pool().await.expect("running").servers[0].link, "leaving");
    handle.server_gone("server-1").await;
    assert_eq!(one.ended().await, Some(Code::Unavailable));
    assert!(handle.pool().await.expect("running").servers.is_empty());
}

#[tokio::test]
async fn a_cursor_resumes_and_a_forgotten_one_is_out_of_range() {
    let limits = Limits { events_max: 3, ..Limits::default() };
    let platform = Platform::start_with(limits, Timing::default()).await;
    let mut server = platform.server(1, 1).await;
    for number in 1..=5 {
        // Ends of matches that this leader never knew: an event each.
        server.update(match_id(u8::try_from(number).expect("small")), MatchPhase::Ended, number).await;
        server.acknowledged(number).await;
    }
    let mut console = platform.client("console");
    let mut first = async |cursor| {
        let stream = console.watch_matches(pb::WatchMatchesRequest { cursor }).await.expect("a stream");
        let mut stream = stream.into_inner();
        let event = tokio::time::timeout(PATIENCE, stream.message()).await.expect("an answer");
        event.map(|event| event.expect("an event").cursor).map_err(|status| status.code())
    };
    assert_eq!(first(3).await, Ok(4));
    assert_eq!(first(0).await, Ok(3));
    assert_eq!(first(1).await, Err(Code::OutOfRange));
    assert_eq!(first(99).await, Err(Code::OutOfRange));
}

#[tokio::test]
async fn keys_health_and_shutdown() {
    let mut platform = Platform::start().await;
    let mut server = platform.server(1, 1).await;
    let get = async |path: &str| reqwest::get(format!("{}{path}", platform.admin)).await.expect("an answer");
    assert_eq!(get("/readyz").await.status(), 200);
    let jwks = get("/.well-known/jwks.json").await.text().await.expect("text");
    assert_eq!(jwks, testkit::tokens::allocator_keys().to_json());
    assert_eq!(server.jwks, jwks);
    let metrics = async || get("/metrics").await.text().await.expect("text");
    until("the gauges are set", async || metrics().await.contains("muster_allocator_servers").then_some(())).await;
    for name in ["servers{link=\"linked\"}", "free_rooms", "matches{phase=\"playing\"}", "waiting_calls", "epoch"] {
        assert!(metrics().await.contains(&format!("muster_allocator_{name}")), "{name}");
    }

    let mut matchmaker = platform.client("matchmaker");
    let mut other = platform.client("matchmaker");
    let deciding = tokio::spawn(async move { matchmaker.allocate(request(8)).await });
    let assign = server.assign().await;
    let waiting = tokio::spawn(async move { other.allocate(request(9)).await });
    let handle = platform.running.as_ref().expect("running").handle();
    until("both calls arrived", async || (handle.pool().await.ok()?.servers[0].matches == 1).then_some(())).await;
    platform.shutdown.trigger();
    // Whoever waits is told at once; whoever's server is deciding gets its answer.
    let status = waiting.await.expect("no panic").expect_err("shutting down");
    assert_eq!(status.code(), Code::Unavailable);
    server.joinable(&assign).await;
    deciding.await.expect("no panic").expect("allocated");
    assert_eq!(server.ended().await, Some(Code::Unavailable));
    platform.running.take().expect("running").wait().await.expect("a clean end");
}

#[tokio::test]
async fn a_taken_port_and_epoch_zero_are_named() {
    let platform = Platform::start().await;
    let any = "127.0.0.1:0".parse().expect("an address");
    let config = Config {
        address: platform.url.trim_start_matches("http://").parse().expect("an address"),
        admin_address: any,
        signing_key: Arc::new(testkit::tokens::allocator_key()),
        service_keys: Arc::default(),
        epoch: 1,
        expected: None,
        agones: None,
        timing: Timing::default(),
        limits: Limits::default(),
    };
    let error = allocator::serve(config.clone(), Shutdown::new()).await.expect_err("the port is taken");
    assert!(error.to_string().contains("allocator gRPC"), "{error}");
    let error = allocator::serve(Config { epoch: 0, address: any, ..config }, Shutdown::new()).await;
    assert!(error.expect_err("no epoch").to_string().contains("epoch"));
}
