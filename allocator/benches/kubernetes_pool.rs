//! How fast matches find a server of the warm pool on the cluster of KUBECONFIG, for how long that holds, and how far behind
//! the API is. `cargo bench -p allocator --bench kubernetes_pool -- [SECONDS] [-o json] [--rate N] [--match-ms N]
//! [--servers N] [--rooms N] [--callers N] [--flat-out SECONDS] [--allocator PROGRAM]`: the last is another build of the
//! program `kubernetes_allocator`, to compare. Agones' and Muster's CRDs have to be
//! there, and Agones' controllers must not: no process runs in the pods, so they would call the servers Unhealthy.
//!
//! The allocator is a process of its own. Callers, scripted game servers, their SDK servers and those who follow log and pool
//! share this one. After a warm-up 50 callers ask together for so many matches per second; a call's time begins when it
//! is due, so nothing that waits goes uncounted. Then they ask for some seconds without a pace.
#![expect(clippy::print_stdout, reason = "a bench speaks on stdout")]

#[path = "../tests/cluster_stage/mod.rs"]
mod cluster_stage;
#[path = "../tests/fake_server/mod.rs"]
#[allow(dead_code, reason = "the tests use the rest of it")]
mod fake_server;
#[path = "../tests/pool_load/mod.rs"]
#[allow(dead_code, unused_imports, reason = "its own tests run with cluster_pool")]
mod pool_load;

use std::str::FromStr;
use std::time::Duration;

use pool_load::Plan;

const SECONDS: u64 = 60;
const WARM_UP: Duration = Duration::from_secs(5);
const FLAT_OUT_SECONDS: u64 = 10;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if !arguments.iter().any(|argument| argument == "--bench") {
        return;
    }
    let is_json = arguments.windows(2).any(|pair| pair == ["-o", "json"]);
    let plan = plan(&arguments);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let figures = runtime.expect("a runtime").block_on(pool_load::run(plan));
    if is_json {
        println!("{}", figures.json());
    } else {
        figures.lines().iter().for_each(|line| println!("{line}"));
    }
    let verdict = figures.verdict;
    assert_eq!(
        (verdict.double, verdict.misplaced),
        (0, 0),
        "matches were placed twice, or not where callers were told"
    );
}

fn plan(arguments: &[String]) -> Plan {
    let seconds = arguments.first().and_then(|first| first.parse().ok()).unwrap_or(SECONDS);
    let millis = |flag, default| Duration::from_millis(value(arguments, flag).unwrap_or(default));
    Plan {
        servers: value(arguments, "--servers").unwrap_or(48),
        capacity: value(arguments, "--rooms").unwrap_or(64),
        callers: value(arguments, "--callers").unwrap_or(50),
        rate: value(arguments, "--rate").unwrap_or(2_100.0),
        play: millis("--match-ms", 1_000),
        warm_up: WARM_UP,
        length: Duration::from_secs(seconds),
        flat_out: Duration::from_secs(value(arguments, "--flat-out").unwrap_or(FLAT_OUT_SECONDS)),
        allocator: value(arguments, "--allocator").unwrap_or_else(|| pool_load::ALLOCATOR.into()),
    }
}

fn value<T: FromStr>(arguments: &[String], flag: &str) -> Option<T> {
    let text = arguments.windows(2).find(|pair| pair[0] == flag)?[1].parse().ok();
    Some(text.unwrap_or_else(|| panic!("{flag} takes a number")))
}
