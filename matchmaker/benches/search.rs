//! One search pass over a full queue: `cargo bench -p matchmaker`.

#![allow(missing_docs, reason = "divan's macros")]

use std::sync::Arc;

use matchmaker::Queues;
use matchmaker::core::matchmaker::Matchmaker;
use matchmaker::core::ticket::{NewTicket, Player};
use protocol::id::{PlayerId, TicketId};

fn main() {
    divan::main();
}

const REGIONS: usize = 8;

/// 5 against 5 in 8 regions; `window` is the rating window, small enough to leave everyone waiting or wide.
fn queues(window: f64) -> Queues {
    let regions: Vec<String> = (0..REGIONS).map(|n| format!("\"r{n}\"")).collect();
    let text = format!(
        "[[queue]]\nname = \"q\"\nteams = 2\nplayers_per_team = 5\nfleet = \"f\"\ncapacity = 200000\nregions = [{}]\n\
         rating = {{ window_start = {window}, window_growth_per_s = 0, window_max = {window} }}\n",
        regions.join(", ")
    );
    Queues::parse("bench", &text).expect("good queues")
}

/// A queue in which so many tickets wait: parties of 1 to 5 (mean 1.8), ratings about 25 ± 8, near one region.
fn full(tickets: u64, window: f64) -> Matchmaker {
    let mut matchmaker = Matchmaker::new(&queues(window), 0, 0);
    let mut state = 1u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let mut players = 0u64;
    for n in 0..tickets {
        let size = [1, 1, 1, 1, 1, 1, 2, 2, 3, 5][(random() % 10) as usize];
        let home = random() as usize % REGIONS;
        let rtt = |region: usize| 15 + 40 * (region.abs_diff(home).min(REGIONS - region.abs_diff(home))) as u32;
        let rating = 25.0 + 8.0 * ((0..6).map(|_| (random() % 1_000) as f64 / 1_000.0).sum::<f64>() - 3.0);
        // No two alike, so that a window of 0 lets nobody meet.
        let rating = rating + n as f64 * 1e-7;
        let player = |n: u64| {
            let mut bytes = [0; 16];
            bytes[8..].copy_from_slice(&n.to_be_bytes());
            Player { id: PlayerId::from_bytes(bytes), name: String::new(), rating, uncertainty: 1.0 }
        };
        let mut id = [0; 16];
        id[8..].copy_from_slice(&n.to_be_bytes());
        let ticket = NewTicket {
            id: TicketId::from_bytes(id),
            queue: "q".into(),
            players: (players..players + size).map(player).collect(),
            party: None,
            region_rtts: (0..REGIONS).map(|region| (format!("r{region}"), rtt(region))).collect::<Arc<[_]>>(),
            build: String::new(),
            trace_id: String::new(),
        };
        players += size;
        matchmaker.create(ticket, 0).expect("room");
    }
    matchmaker.take_events();
    matchmaker
}

/// Everyone can be matched: search and commit of all matches.
#[divan::bench(args = [1_000, 10_000, 100_000], max_time = 5)]
fn match_everyone(bencher: divan::Bencher<'_, '_>, tickets: u64) {
    bencher.with_inputs(|| full(tickets, 5.0)).bench_local_refs(|queue| {
        let mut state = 0;
        queue.pass(1_000, usize::MAX, &mut move || {
            state += 1;
            state
        })
    });
}

/// As the running matchmaker does it: at most 256 matches a pass.
#[divan::bench(args = [1_000, 10_000, 100_000], max_time = 5)]
fn match_256(bencher: divan::Bencher<'_, '_>, tickets: u64) {
    bencher.with_inputs(|| full(tickets, 5.0)).bench_local_refs(|queue| {
        let mut state = 0;
        queue.pass(1_000, 256, &mut move || {
            state += 1;
            state
        })
    });
}

/// Nobody can be matched: what a pass costs while all wait.
#[divan::bench(args = [1_000, 10_000, 100_000], max_time = 5)]
fn match_nobody(bencher: divan::Bencher<'_, '_>, tickets: u64) {
    bencher.with_inputs(|| full(tickets, 0.0)).bench_local_refs(|queue| queue.pass(1_000, usize::MAX, &mut || 0));
}
