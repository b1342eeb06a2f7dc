//! How many players per second get from nothing into a match: a new account, a ticket, the wait for the match, a join
//! token, through metagame (HTTP), matchmaker and allocator (gRPC) on loopback with a database on disk.
//! `cargo bench -p loadtest --bench sessions [-- SECONDS]`.
//!
//! Game servers are scripted: they say Joinable at once and end their match when the join tokens are surely out. All of
//! it, the players too, shares this process.
#![expect(clippy::print_stdout, reason = "a bench speaks on stdout")]
#![expect(clippy::unwrap_used, reason = "a bench ends at the first fault")]

#[path = "../../allocator/tests/fake_server/mod.rs"]
#[allow(dead_code, reason = "the allocator's tests use the rest of it")]
mod fake_server;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fake_server::FakeServer;
use hdrhistogram::Histogram;
use loadtest::api::{Api, ApiError};
use loadtest::ticket::{self, Waited};
use matchmaker::{QueueSource, Queues};
use protocol::id::{MatchId, TicketId};
use protocol::jwt::{KeySet, SigningKey};
use protocol::pb::MatchPhase;
use protocol::pb::allocator_message::Message as Order;
use service::Shutdown;
use service::token::ServiceTokens;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const SERVERS: u8 = 16;
/// Matches of one server at once.
const CAPACITY: u32 = 200;
/// Players that are on their way at once.
const PLAYERS: usize = 200;
const SECONDS: u64 = 15;
const WARM_UP: Duration = Duration::from_secs(3);
/// How long a match of a scripted server lasts.
const MATCH: Duration = Duration::from_secs(2);
/// Two against two, everyone fits.
const QUEUE: &str = "[[queue]]\nname = \"q\"\nteams = 2\nplayers_per_team = 2\nfleet = \"arena\"\n\
                     regions = [\"local\"]\n";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if !arguments.iter().any(|argument| argument == "--bench") {
        return;
    }
    let seconds = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(SECONDS);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(run(Duration::from_secs(seconds)));
}

async fn run(length: Duration) {
    let folder = tempfile::tempdir().unwrap();
    let shutdown = Shutdown::new();
    let (url, servers) = platform(folder.path(), &shutdown).await;
    println!("{PLAYERS} players on their way at once, {length:?}");
    println!("| sessions/s | login→token p50 ms | p99 ms | of it login p50 ms | ticket→match p50 ms | failed |");
    println!("|---:|---:|---:|---:|---:|---:|");
    players(&url, WARM_UP).await;
    let start = Instant::now();
    let (mut whole, mut login, mut wait, mut failed) = (histogram(), histogram(), histogram(), 0u64);
    for session in players(&url, length).await {
        match session {
            Ok(times) => {
                whole.record(times.whole.as_micros() as u64).unwrap();
                login.record(times.login.as_micros() as u64).unwrap();
                wait.record(times.wait.as_micros() as u64).unwrap();
            }
            Err(_) => failed += 1,
        }
    }
    let rate = whole.len() as f64 / start.elapsed().as_secs_f64();
    let ms = |of: &Histogram<u64>, share| of.value_at_quantile(share) as f64 / 1_000.0;
    println!(
        "| {rate:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {failed} |",
        ms(&whole, 0.5),
        ms(&whole, 0.99),
        ms(&login, 0.5),
        ms(&wait, 0.5),
    );
    drop(servers);
    shutdown.trigger();
}

fn histogram() -> Histogram<u64> {
    Histogram::new(3).unwrap()
}

/// Allocator, matchmaker and metagame, with scripted servers; metagame's URL.
async fn platform(folder: &Path, shutdown: &Shutdown) -> (String, JoinSet<()>) {
    let key = Arc::new(SigningKey::from_seed(&[0x51; 32]));
    let keys = Arc::new(KeySet::new([key.public_key()]));
    let any = "127.0.0.1:0".parse().unwrap();
    let config = allocator::Config {
        address: any,
        admin_address: any,
        signing_key: Arc::new(SigningKey::from_seed(&[0xA1; 32])),
        service_keys: keys.clone(),
        epoch: 1,
        expected: None,
        agones: None,
        timing: allocator::Timing::default(),
        limits: allocator::Limits::default(),
    };
    let allocator = allocator::start(config, shutdown.child()).await.unwrap();
    let allocator_url = format!("http://{}", allocator.address);
    let mut servers = JoinSet::new();
    for number in 1..=SERVERS {
        let registration = fake_server::registration(number, CAPACITY);
        servers.spawn(serve(FakeServer::register(&allocator_url, &key, registration).await));
    }
    let config = matchmaker::Config {
        listen: any,
        admin: any,
        allocator: allocator_url.clone(),
        queues: QueueSource::Given(Queues::parse("bench", QUEUE).unwrap()),
        tokens: ServiceTokens::new(key.clone(), "matchmaker"),
        callers: keys.into(),
        drain: Duration::from_secs(1),
    };
    let matchmaker = matchmaker::start(config, shutdown.child()).await.unwrap();
    let config = metagame::Config {
        api_address: any,
        admin_address: any,
        database: metagame::DatabaseLocation::File(folder.join("metagame.db")),
        access_key_file: folder.join("access.key"),
        access_key_mounted: false,
        vault_key_file: folder.join("vault.key"),
        identity: Default::default(),
        tokens: ServiceTokens::new(key, "metagame"),
        matchmaker_url: format!("http://{}", matchmaker.address),
        allocator_url,
        limits: metagame::Limits {
            // All players come from one address.
            per_address: metagame::Rate { per_second: 1e6, burst: 1e6 },
            ..Default::default()
        },
        webhooks: Default::default(),
        servers: None,
        parts: Default::default(),
    };
    let metagame = metagame::start(config, shutdown.child()).await.unwrap();
    let url = format!("http://{}", metagame.address);
    servers.spawn(async { drop((allocator.wait().await, matchmaker.wait().await, metagame.wait().await)) });
    (url, servers)
}

/// Accepts every match and ends it a little later.
async fn serve(mut server: FakeServer) {
    let mut matches: VecDeque<(Instant, MatchId)> = VecDeque::new();
    let mut number = 0;
    loop {
        let order = server.order().await;
        if let Order::Assign(assign) = order {
            server.joinable(&assign).await;
            matches.push_back((Instant::now() + MATCH, assign.match_id.parse().unwrap()));
        }
        while let Some((_, id)) = matches.pop_front_if(|(at, _)| *at <= Instant::now()) {
            number += 1;
            server.update(id, MatchPhase::Closed, number).await;
        }
    }
}

/// How long the parts of one session took.
struct Times {
    whole: Duration,
    login: Duration,
    wait: Duration,
}

/// Players, each with one session after another.
async fn players(url: &str, length: Duration) -> Vec<Result<Times, ApiError>> {
    let start = Instant::now();
    let stop = CancellationToken::new();
    let at_the_end = stop.clone();
    tokio::spawn(async move {
        tokio::time::sleep(length).await;
        at_the_end.cancel();
    });
    let mut tasks = JoinSet::new();
    // One pool of connections for each player, as each has a machine of its own.
    for _ in 0..PLAYERS {
        let (url, stop) = (url.to_owned(), stop.clone());
        tasks.spawn(async move {
            let http = reqwest::Client::new();
            let mut sessions = Vec::new();
            while start.elapsed() < length {
                sessions.extend(session(&http, &url, &stop).await.transpose());
            }
            sessions
        });
    }
    let mut sessions = Vec::new();
    while let Some(done) = tasks.join_next().await {
        sessions.extend(done.unwrap());
    }
    sessions
}

/// A new account, from login to join token; none when the time was up before there was a match.
async fn session(http: &reqwest::Client, url: &str, stop: &CancellationToken) -> Result<Option<Times>, ApiError> {
    let start = Instant::now();
    let device: String = service::random::bytes::<16>().iter().map(|byte| format!("{byte:02x}")).collect();
    let mut api = Api::new(http.clone(), url, device, "bench".into(), 1);
    api.login().await?;
    let login = start.elapsed();
    let ticket = TicketId::from_entropy(service::random::bytes());
    api.create_ticket(ticket, "q", &[("local".into(), 10)]).await?;
    let Waited::Final(ticket) = ticket::wait(&mut api, ticket, stop).await? else { return Ok(None) };
    let Some(placed) = ticket.placed else { return Err(ApiError::Unreadable(ticket.state)) };
    let wait = start.elapsed() - login;
    api.join_token(placed.match_id).await?;
    Ok(Some(Times { whole: start.elapsed(), login, wait }))
}
