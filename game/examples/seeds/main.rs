//! Simulates many matches, each from its own seed, and prints the seed of any that fails:
//! `cargo run --release -p game --example seeds -- 200 60` for 200 seeds of 60 seconds.
#![expect(clippy::print_stdout, reason = "a program for people")]

mod swarm;

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use game::Settings;
use game::simulation::{BotTurn, SimConfig, SimFailure, SimReport, simulate};
use swarm::{Swarm, THRUST, TURN};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).map_while(|argument| argument.parse::<u64>().ok());
    let seeds = arguments.next().unwrap_or(200);
    let seconds = arguments.next().unwrap_or(60) as u32;
    let first = arguments.next().unwrap_or(1);
    let config = SimConfig {
        players: 4,
        teams: 2,
        tick_rate_hz: 60,
        seconds,
        entities_max: 32,
        settings: Settings::new(),
        conditions: None,
        mishaps: true,
    };
    let started = Instant::now();
    let results = run(first, seeds, &config);
    let (mut verified, mut bytes) = (0, 0);
    let mut failed = 0;
    for result in &results {
        match result {
            Ok(report) => {
                verified += report.snapshots_verified;
                bytes += report.snapshot_bytes;
            }
            Err(failure) => {
                failed += 1;
                println!("{failure}");
            }
        }
    }
    let client_seconds = (results.len() as u64 * u64::from(seconds) * 4).max(1);
    println!(
        "{} seeds × {seconds} s: {failed} failed, {verified} snapshots verified, {} bytes per client and second, {:.1} s",
        results.len(),
        bytes / client_seconds,
        started.elapsed().as_secs_f64()
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Every seed once; every tenth twice, which must give the same report.
fn run(first: u64, seeds: u64, config: &SimConfig) -> Vec<Result<SimReport, SimFailure>> {
    let next = AtomicU64::new(first);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let work = || {
        let mut results = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + seeds {
                return results;
            }
            let result = simulate::<Swarm>(seed, config, &mut wander);
            if seed.is_multiple_of(10) {
                assert_eq!(simulate::<Swarm>(seed, config, &mut wander), result, "seed {seed} gives two reports");
            }
            results.push(result);
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a worker panicked")).collect()
    })
}

fn wander(turn: &mut BotTurn<'_>) {
    if turn.random.chance(0.05) {
        turn.input.set_int(TURN, turn.random.below(7) as i64 - 3);
        turn.input.set_int(THRUST, turn.random.below(4) as i64);
    }
}
