//! What the whole game server costs: one match of 64 clients at 60 Hz over loopback UDP, as in production, with the
//! I/O thread and the room's tick thread. `cargo bench -p gameserver --bench server [-- SECONDS]`.
//!
//! CPU is what the kernel counts for the two threads (`/proc/self/task/…/schedstat`), read once per tick. Bytes are
//! counted where they arrive, with 28 for the headers of IPv4 and UDP.
#![expect(clippy::print_stdout, reason = "a bench speaks on stdout")]
#![expect(clippy::unwrap_used, reason = "a bench ends at the first fault")]

mod cpu;
mod crowd;
#[path = "../../tests/support/mod.rs"]
mod support;
mod walkers;

use std::time::{Duration, Instant};

use gameserver::tick_timer::{Sleeper, monotonic_ns};
use netcode::endpoint::QuicClientConfig;
use protocol::id::MatchId;
use protocol::pb;
use service::Shutdown;

use cpu::ThreadCpu;
use crowd::{Counted, Crowd};
use support::{Stage, assign, player_id, token};
use walkers::Walkers;

const CLIENTS: u8 = 64;
const TICK_RATE_HZ: u32 = 60;
const ENTITIES: [u64; 3] = [64, 200, 1_000];
/// Handshakes, initial state and the first baselines are over by then.
const WARM_UP: Duration = Duration::from_secs(4);
const SECONDS: u64 = 10;
/// Headers of IPv4 and UDP.
const HEADER_BYTES: u64 = 28;

/// How the clients reach the server.
#[derive(Clone, Copy)]
enum Carrier {
    /// Muster's own packets.
    Native,
    /// The same packets as QUIC datagrams.
    Quic,
}

/// What one run measured.
struct Measured {
    io_us: Vec<f64>,
    room_us: Vec<f64>,
    whole_us: Vec<f64>,
    down: Counted,
    seconds: f64,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if !arguments.iter().any(|argument| argument == "--bench") {
        return;
    }
    let seconds = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(SECONDS);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    println!("{CLIENTS} clients at {TICK_RATE_HZ} Hz, {seconds} s each; CPU in µs per tick");
    println!(
        "| carrier | entities | tick p50 | tick p99 | room p50 | I/O p50 | B/client/s | snapshot B | snapshots/s |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|");
    for carrier in [Carrier::Native, Carrier::Quic] {
        for entities in ENTITIES {
            let measured = runtime.block_on(run(carrier, entities, Duration::from_secs(seconds)));
            print(carrier, entities, measured);
        }
    }
}

/// One match on a server of its own.
async fn run(carrier: Carrier, entities: u64, length: Duration) -> Measured {
    let mut stage = Stage::new("http://127.0.0.1:1").await;
    stage.config.tick_rate_hz = TICK_RATE_HZ;
    let running = gameserver::start::<Walkers>(stage.config.clone(), stage.shutdown.clone(), stage.hurry.clone());
    let running = running.await.unwrap();
    let (mut link, register) = stage.allocator.registered().await;
    let id = MatchId::from_entropy([entities.to_le_bytes()[0]; 16]);
    let players: Vec<u8> = (1..=CLIENTS).collect();
    link.assign(assign(&register, id, &players, &format!("{{\"walkers\":{entities}}}"))).await;
    let tokens = players.iter().map(|player| token(&running, id, player_id(*player))).collect();
    let stop = Shutdown::new();
    let quic = match carrier {
        Carrier::Native => None,
        Carrier::Quic => Some(QuicClientConfig { fingerprints: fingerprints(&register), base: Instant::now() }),
    };
    let crowd = Crowd::start(running.udp, running.server_key, quic, tokens, stop.clone());
    let (crowd, measured) = tokio::task::spawn_blocking(move || {
        std::thread::sleep(WARM_UP);
        assert_eq!(crowd.connected(), usize::from(CLIENTS), "every client joins");
        let measured = measure(&crowd, length);
        (crowd, measured)
    })
    .await
    .unwrap();
    stop.trigger();
    crowd.join();
    stage.shutdown.trigger();
    stage.hurry.trigger();
    support::ended(running).await;
    measured
}

fn fingerprints(register: &pb::Register) -> Vec<[u8; 32]> {
    register.quic_fingerprints.iter().map(|bytes| bytes.as_slice().try_into().unwrap()).collect()
}

/// Reads the threads' CPU once per tick.
fn measure(crowd: &Crowd, length: Duration) -> Measured {
    let mut io = ThreadCpu::of("game-io");
    let mut room = ThreadCpu::of("room-");
    let sleeper = Sleeper::for_this_thread();
    let (start, before) = (Instant::now(), crowd.counted());
    let (mut io_us, mut room_us) = (Vec::new(), Vec::new());
    let begun = monotonic_ns();
    let ticks = length.as_millis() as u64 * u64::from(TICK_RATE_HZ) / 1_000;
    for tick in 1..=ticks {
        sleeper.sleep_until(begun + tick * 1_000_000_000 / u64::from(TICK_RATE_HZ));
        io_us.push(io.since_last_us());
        room_us.push(room.since_last_us());
    }
    let down = crowd.counted().since(before);
    let whole_us = io_us.iter().zip(&room_us).map(|(io, room)| io + room).collect();
    Measured { io_us, room_us, whole_us, down, seconds: start.elapsed().as_secs_f64() }
}

fn print(carrier: Carrier, entities: u64, mut measured: Measured) {
    let per_client = measured.seconds * f64::from(CLIENTS);
    let down = measured.down;
    let wire = (down.bytes + HEADER_BYTES * down.datagrams) as f64 / per_client;
    let name = match carrier {
        Carrier::Native => "native",
        Carrier::Quic => "QUIC",
    };
    println!(
        "| {name} | {entities} | {:.0} | {:.0} | {:.0} | {:.0} | {wire:.0} | {:.0} | {:.1} |",
        quantile(&mut measured.whole_us, 0.5),
        quantile(&mut measured.whole_us, 0.99),
        quantile(&mut measured.room_us, 0.5),
        quantile(&mut measured.io_us, 0.5),
        down.bytes as f64 / down.datagrams.max(1) as f64,
        down.snapshots as f64 / per_client,
    );
}

/// The value below which this share of the samples lies.
fn quantile(samples: &mut [f64], share: f64) -> f64 {
    samples.sort_by(f64::total_cmp);
    let place = (samples.len() as f64 * share) as usize;
    samples.get(place.min(samples.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}
