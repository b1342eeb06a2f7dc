//! How fast the stand-in for Agones' allocator gives out servers, beside what the API server itself can do, on the
//! cluster of KUBECONFIG. `cargo bench -p allocator --bench drop_in -- [-o json] [ROUNDS]`.
//!
//! A namespace with 2,000 Ready GameServers that are objects alone. Each round measures first the API server: 50 callers
//! who write the same merge patch with a resourceVersion, with nobody watching; then 50 callers of the service over
//! gRPC with certificates on both sides; then a single one of each. The two take turns because other work on the
//! machine comes and goes. After each run every GameServer is read and compared with what the callers were told.
#![expect(clippy::print_stdout, reason = "a bench speaks on stdout")]
#![expect(clippy::unwrap_used, reason = "a bench ends at the first fault")]

#[path = "../tests/agones_stage/mod.rs"]
#[allow(dead_code, reason = "the tests use the rest of it")]
mod agones_stage;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use agones_stage::{Certificates, Stage, client, request, start};
use hdrhistogram::Histogram;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use service::Shutdown;
use tokio::task::JoinSet;

const SERVERS: usize = 2_000;
const ROUNDS: usize = 6;
const CALLERS: usize = 50;
/// Servers that one run gives out.
const RUN: usize = 300;
const SINGLE_RUN: usize = 30;
/// Names a call on the server that it got.
const CALL: &str = "bench/call";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if !arguments.iter().any(|argument| argument == "--bench") {
        return;
    }
    let rounds = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(ROUNDS);
    let is_json = arguments.windows(2).any(|pair| pair == ["-o", "json"]);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(run(rounds, is_json));
}

/// What one kind of run came to, over all rounds.
struct Figures {
    count: usize,
    time: Duration,
    latency_us: Histogram<u64>,
    conflicts: u64,
    /// Rate of each round, per second.
    rates: Vec<f64>,
}

impl Figures {
    fn new() -> Self {
        Self { count: 0, time: Duration::ZERO, latency_us: Histogram::new(3).unwrap(), conflicts: 0, rates: Vec::new() }
    }

    fn add(&mut self, count: usize, time: Duration, latencies: &Mutex<Histogram<u64>>, conflicts: u64) {
        self.count += count;
        self.time += time;
        self.latency_us.add(&*latencies.lock().unwrap()).unwrap();
        self.conflicts += conflicts;
        self.rates.push(as_f64(count) / time.as_secs_f64());
    }

    fn rate(&self) -> f64 {
        as_f64(self.count) / self.time.as_secs_f64()
    }

    fn ms(&self, quantile: f64) -> f64 {
        Duration::from_micros(self.latency_us.value_at_quantile(quantile)).as_secs_f64() * 1_000.0
    }

    fn json(&self) -> Value {
        let round = |value: f64| (value * 10.0).round() / 10.0;
        json!({
            "rate_per_s": round(self.rate()),
            "rates_per_s": self.rates.iter().copied().map(round).collect::<Vec<_>>(),
            "p50_ms": round(self.ms(0.5)),
            "p99_ms": round(self.ms(0.99)),
            "conflicts": self.conflicts,
            "writes": self.count,
        })
    }
}

fn as_f64(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap())
}

async fn run(rounds: usize, is_json: bool) {
    let (stage, certificates) = (Stage::new().await, Certificates::new());
    let say = |text: &str| eprintln!("{text}");
    say(&format!("making {SERVERS} game servers in {}", stage.namespace));
    stage.game_servers(0, SERVERS).await;
    let kinds = [(CALLERS, RUN), (1, SINGLE_RUN)];
    let mut figures = [Figures::new(), Figures::new(), Figures::new(), Figures::new()];
    let mut double = 0;
    for round in 1..=rounds {
        for (index, (callers, count)) in kinds.into_iter().enumerate() {
            // By turns, so that neither always comes after the other's work.
            for turn in [round, round + 1] {
                if turn % 2 == 1 {
                    ceiling(&stage, callers, count, &mut figures[index * 2]).await;
                } else {
                    double += drop_in(&stage, &certificates, callers, count, &mut figures[index * 2 + 1]).await;
                }
                stage.free_all().await;
            }
        }
        say(&format!(
            "round {round} of {rounds}: API server {:.0}/s, service {:.0}/s",
            figures[0].rate(),
            figures[1].rate()
        ));
    }
    stage.remove().await;
    report(&figures, double, is_json);
    assert_eq!(double, 0, "servers were given out twice, or not as callers were told");
}

fn report(figures: &[Figures; 4], double: usize, is_json: bool) {
    let share = figures[1].rate() / figures[0].rate();
    if is_json {
        let report = json!({
            "servers": SERVERS,
            "callers": CALLERS,
            "api_server": figures[0].json(),
            "drop_in": figures[1].json(),
            "api_server_single": figures[2].json(),
            "drop_in_single": figures[3].json(),
            "share_of_ceiling": (share * 1_000.0).round() / 1_000.0,
            "wrong_allocations": double,
        });
        println!("{report}");
        return;
    }
    for (name, figures) in
        ["API server, 50 callers", "service, 50 callers", "API server, 1 caller", "service, 1 caller"]
            .iter()
            .zip(figures)
    {
        let (rate, p50, p99) = (figures.rate(), figures.ms(0.5), figures.ms(0.99));
        println!("{name:24} {rate:8.1}/s  p50 {p50:7.1} ms  p99 {p99:7.1} ms  conflicts {}", figures.conflicts);
    }
    println!("share of the API server's ceiling: {:.1} %; wrong allocations: {double}", share * 100.0);
}

/// The same write that gives a server out, by callers who know beforehand which server each one takes.
async fn ceiling(stage: &Stage, callers: usize, count: usize, figures: &mut Figures) {
    let known = stage.seen().await.into_iter().filter(|seen| seen.state == "Ready").take(count);
    let work = Arc::new(Mutex::new(known.map(|seen| (seen.name, seen.version)).collect::<Vec<_>>()));
    assert_eq!(work.lock().unwrap().len(), count);
    let kind = kube::core::ApiResource::from_gvk(&kube::core::GroupVersionKind::gvk("agones.dev", "v1", "GameServer"));
    let api: Api<kube::api::DynamicObject> = Api::namespaced_with(client().await, &stage.namespace, &kind);
    let (latencies, conflicts) = (Arc::new(Mutex::new(Histogram::new(3).unwrap())), Arc::new(AtomicU64::new(0)));
    let mut tasks = JoinSet::new();
    let began = Instant::now();
    for caller in 0..callers {
        let (work, api, latencies, conflicts) = (work.clone(), api.clone(), latencies.clone(), conflicts.clone());
        tasks.spawn(async move {
            loop {
                let next = work.lock().unwrap().pop();
                let Some((name, version)) = next else { return };
                let patch = json!({
                    "metadata": { "resourceVersion": version, "annotations": {
                        CALL: format!("{caller}-{name}"), "agones.dev/last-allocated": "2026-01-01T00:00:00.000000000Z",
                    } },
                    "status": { "state": "Allocated" },
                });
                let called = Instant::now();
                match api.patch(&name, &PatchParams::default(), &Patch::Merge(&patch)).await {
                    Ok(_) => latencies.lock().unwrap().record(micros(called)).unwrap(),
                    Err(kube::Error::Api(status)) if status.code == 409 => {
                        conflicts.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(error) => panic!("the API server: {error}"),
                }
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    figures.add(count, began.elapsed(), &latencies, conflicts.load(Ordering::Relaxed));
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap()
}

/// Callers of the service. Returns how many of its answers are not what the API shows.
async fn drop_in(
    stage: &Stage,
    certificates: &Certificates,
    callers: usize,
    count: usize,
    figures: &mut Figures,
) -> usize {
    let shutdown = Shutdown::new();
    let running = start(&stage.namespace, certificates.folder.path(), &shutdown).await;
    let address = running.grpc.unwrap();
    let mut connections = Vec::new();
    for _ in 0..callers {
        connections.push(certificates.connect(address).await.unwrap());
    }
    let conflicts_before = conflicts();
    let (left, latencies) =
        (Arc::new(AtomicU64::new(u64::try_from(count).unwrap())), Arc::new(Mutex::new(Histogram::new(3).unwrap())));
    let given = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = JoinSet::new();
    let began = Instant::now();
    for mut connection in connections {
        let (left, latencies, given) = (left.clone(), latencies.clone(), given.clone());
        let namespace = stage.namespace.clone();
        tasks.spawn(async move {
            let take = |left: u64| left.checked_sub(1);
            while let Ok(number) = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
                let call = format!("call-{number}");
                let called = Instant::now();
                let answer = connection.allocate(request(&namespace, (CALL, call.clone()))).await.unwrap().into_inner();
                latencies.lock().unwrap().record(micros(called)).unwrap();
                given.lock().unwrap().push((answer.game_server_name, call));
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    figures.add(count, began.elapsed(), &latencies, conflicts() - conflicts_before);
    shutdown.trigger();
    running.wait().await;
    let given = std::mem::take(&mut *given.lock().unwrap());
    wrong(stage, given).await
}

/// Answers that share a server, or whose server the API does not show as given to that call; and servers that are
/// given out though nobody was told.
async fn wrong(stage: &Stage, given: Vec<(String, String)>) -> usize {
    let seen: BTreeMap<_, _> = stage.seen().await.into_iter().map(|seen| (seen.name.clone(), seen)).collect();
    let told: BTreeMap<_, _> = given.iter().cloned().collect();
    let holds = |(server, call): &&(String, String)| {
        seen.get(server).is_some_and(|seen| seen.state == "Allocated" && seen.annotations.get(CALL) == Some(call))
    };
    let unheld = given.iter().filter(|answer| !holds(answer)).count();
    let untold = seen.values().filter(|seen| seen.state == "Allocated" && !told.contains_key(&seen.name)).count();
    (given.len() - told.len()) + unheld + untold
}

/// Writes that were refused because another writer was faster, of this process so far.
fn conflicts() -> u64 {
    let page = service::admin::recorder().render();
    let line = page.lines().find_map(|line| line.strip_prefix("muster_allocator_agones_conflicts_total "));
    line.and_then(|count| count.parse().ok()).unwrap_or(0)
}
