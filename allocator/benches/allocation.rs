//! How fast matches find a server: a real allocator over gRPC on loopback, scripted game servers on their control links,
//! callers that ask one after another. `cargo bench -p allocator --bench allocation [-- SECONDS]`.
//!
//! A call is answered when its server has said Joinable. Each server ends its match at once, so the pool never fills
//! and the rate is a sustained one. Everything shares this process and its two runtime threads.
#![expect(clippy::print_stdout, reason = "a bench speaks on stdout")]
#![expect(clippy::unwrap_used, reason = "a bench ends at the first fault")]

#[path = "../tests/fake_server/mod.rs"]
#[allow(dead_code, reason = "the tests use the rest of it")]
mod fake_server;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use allocator::{Config, Limits, Timing};
use fake_server::FakeServer;
use hdrhistogram::Histogram;
use protocol::id::{MatchId, PlayerId};
use protocol::jwt::{KeySet, SigningKey};
use protocol::pb::allocator_client::AllocatorClient;
use protocol::pb::allocator_message::Message as Order;
use protocol::pb::{self, MatchPhase};
use protocol::token::ALLOCATOR_AUDIENCE;
use service::Shutdown;
use service::token::{ServiceTokens, TokenInterceptor, with_token};
use tokio::task::JoinSet;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;

const SERVERS: u8 = 16;
/// Matches of one server at once.
const CAPACITY: u32 = 32;
const CALLERS: [usize; 2] = [1, 50];
const SECONDS: u64 = 8;
const WARM_UP: Duration = Duration::from_secs(1);

type Client = AllocatorClient<InterceptedService<Channel, TokenInterceptor>>;

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
    let key = Arc::new(SigningKey::from_seed(&[0x51; 32]));
    let any = "127.0.0.1:0".parse().unwrap();
    let config = Config {
        address: any,
        admin_address: any,
        signing_key: Arc::new(testkit::tokens::allocator_key()),
        service_keys: Arc::new(KeySet::new([key.public_key()])),
        epoch: 1,
        expected: None,
        agones: None,
        timing: Timing::default(),
        limits: Limits::default(),
    };
    let shutdown = Shutdown::new();
    let running = allocator::start(config, shutdown.clone()).await.unwrap();
    let url = format!("http://{}", running.address);
    let mut servers = JoinSet::new();
    for number in 1..=SERVERS {
        let registration = fake_server::registration(number, CAPACITY);
        servers.spawn(serve(FakeServer::register(&url, &key, registration).await));
    }
    println!("{SERVERS} servers, {length:?} each");
    println!("| callers | allocations/s | p50 ms | p99 ms | max ms | failed |");
    println!("|---:|---:|---:|---:|---:|---:|");
    let numbers = Arc::new(AtomicU64::new(1));
    for callers in CALLERS {
        let tokens = with_token(ServiceTokens::new(key.clone(), "matchmaker"), ALLOCATOR_AUDIENCE);
        let client = AllocatorClient::with_interceptor(service::grpc::channel(&url).unwrap(), tokens);
        measure(&client, callers, WARM_UP, &numbers).await;
        let (histogram, failed, seconds) = measure(&client, callers, length, &numbers).await;
        let ms = |share| histogram.value_at_quantile(share) as f64 / 1_000.0;
        let rate = histogram.len() as f64 / seconds;
        println!("| {callers} | {rate:.0} | {:.2} | {:.2} | {:.2} | {failed} |", ms(0.5), ms(0.99), ms(1.0));
    }
    servers.abort_all();
    shutdown.trigger();
    let _ = running.wait().await;
}

/// Accepts every match and ends it at once.
async fn serve(mut server: FakeServer) {
    let mut number = 0;
    loop {
        if let Order::Assign(assign) = server.order().await {
            number += 1;
            server.joinable(&assign).await;
            server.update(assign.match_id.parse().unwrap(), MatchPhase::Closed, number).await;
        }
    }
}

/// So many callers, each with one call at a time; microseconds per call, failed calls, and how long it all took.
async fn measure(
    client: &Client,
    callers: usize,
    length: Duration,
    numbers: &Arc<AtomicU64>,
) -> (Histogram<u64>, u64, f64) {
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..callers {
        let (mut client, numbers) = (client.clone(), numbers.clone());
        tasks.spawn(async move {
            let (mut times, mut failed) = (Vec::new(), 0u64);
            while start.elapsed() < length {
                let request = request(numbers.fetch_add(1, Ordering::Relaxed));
                let begun = Instant::now();
                match client.allocate(request).await {
                    Ok(_) => times.push(begun.elapsed()),
                    Err(_) => failed += 1,
                }
            }
            (times, failed)
        });
    }
    let mut histogram = Histogram::new(3).unwrap();
    let mut failures = 0;
    while let Some(done) = tasks.join_next().await {
        let (times, failed) = done.unwrap();
        times.iter().for_each(|time| histogram.record(time.as_micros() as u64).unwrap());
        failures += failed;
    }
    (histogram, failures, start.elapsed().as_secs_f64())
}

fn request(number: u64) -> pb::AllocateRequest {
    let id = |kind: u8, seat: u8| {
        let mut bytes = [0; 16];
        bytes[0] = kind;
        bytes[1] = seat;
        bytes[8..].copy_from_slice(&number.to_be_bytes());
        bytes
    };
    let entry = |team: u8| pb::RosterEntry {
        player_id: PlayerId::from_entropy(id(2, team)).to_string(),
        team: u32::from(team),
        name: format!("player {team}"),
        party_id: String::new(),
    };
    pb::AllocateRequest {
        match_id: MatchId::from_entropy(id(1, 0)).to_string(),
        attempt: 1,
        fleet: "arena".into(),
        roster: (0..2).map(entry).collect(),
        settings_json: "{}".into(),
        trace_id: "0123456789abcdef0123456789abcdef".into(),
        wait_ms: 5_000,
        queue: "duel".into(),
        ..Default::default()
    }
}
