//! Load on the warm pool of an allocator on a real cluster. The allocator is a process of its own, started as
//! `muster allocator --kubernetes` starts it: Lease, watches, tokens that the cluster mints, logs. Here are its game servers,
//! real GameServers that play no game; its callers; those who follow its log and its pool in every installation; and the
//! books that say afterwards whether any match was placed twice.

mod callers;
mod figures;
mod ledger;
mod process;
mod servers;
mod shown;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{ObjectMeta, PostParams};
use protocol::pb;
use protocol::pb::allocator_client::AllocatorClient;
use service::leader::leader_channel;
use service::token::with_token;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::Streaming;

use self::callers::{Client, Desk};
pub(crate) use self::figures::Figures;
use self::ledger::Ledger;
use self::process::Meter;
use self::servers::Rules;
use self::shown::Shown;
use crate::cluster_stage::{AUDIENCE, Stage};

/// Programs of an installation that call the allocator: who places matches, and who follows the log or the pool.
const PROGRAMS: [&str; 3] = ["muster-matchmaker", "muster-metagame", "muster-operator"];
/// The allocator as a process of its own.
pub(crate) const ALLOCATOR: &str = env!("CARGO_BIN_EXE_kubernetes_allocator");
/// The longest message of a picture of the pool, as the operator has it.
const PICTURE_BYTES_MAX: usize = 64 << 20;

/// What to measure.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) servers: u8,
    /// Rooms of each server.
    pub(crate) capacity: u32,
    pub(crate) callers: usize,
    /// New matches per second, of all callers together.
    pub(crate) rate: f64,
    /// How long a match lasts.
    pub(crate) play: Duration,
    pub(crate) warm_up: Duration,
    pub(crate) length: Duration,
    /// How long the callers then ask without a pace; zero: not at all.
    pub(crate) flat_out: Duration,
    /// The program [`ALLOCATOR`], or another build of it.
    pub(crate) allocator: PathBuf,
}

/// Sets the stage, measures, and clears it away.
pub(crate) async fn run(plan: Plan) -> Figures {
    let stage = Stage::new("pool").await;
    for program in &PROGRAMS[1..] {
        let metadata = ObjectMeta { name: Some((*program).to_owned()), ..ObjectMeta::default() };
        let object = ServiceAccount { metadata, ..ServiceAccount::default() };
        stage.api().create(&PostParams::default(), &object).await.expect("an account");
    }
    let logs = tempfile::tempfile().expect("a file");
    let (mut allocator, url) = allocator(&plan.allocator, &stage.namespace, logs).await;
    let end = CancellationToken::new();
    let (ledger, refused) = (Arc::new(Ledger::default()), Arc::new(AtomicU64::new(0)));
    let rules =
        Rules { capacity: plan.capacity, play: plan.play, ledger: ledger.clone(), refused: refused.clone(), end };
    let started = (1..=plan.servers).map(|number| servers::start(&stage, &url, number, rules.clone()));
    let mut servers = JoinSet::new();
    for server in join_all(started).await {
        servers.spawn(server.serve());
    }
    let names: BTreeMap<_, _> = (1..=plan.servers).map(|number| (servers::name(number), servers::id(number))).collect();
    let shown = Arc::new(Shown::new(names));
    shown.follow(stage.api(), rules.end.clone());
    let followers = Followers::start(&stage, &url, &rules.end).await;
    let mut clients = Vec::new();
    for _ in 0..plan.callers {
        clients.push(client(&stage, &url, PROGRAMS[0]).await);
    }
    let desk = Desk { ledger: ledger.clone(), shown: shown.clone(), numbers: Arc::default() };
    callers::run(&clients, &desk, Some(plan.rate), plan.warm_up).await;
    shown.take();
    let (events, pictures) = followers.counts();
    let meter = Meter::start(allocator.id());
    let measured = callers::run(&clients, &desk, Some(plan.rate), plan.length).await;
    let shares = meter.stop();
    let load_average = process::load_average();
    let (lags, unseen) = shown.take();
    let counts = followers.counts();
    let flat_out = match plan.flat_out {
        Duration::ZERO => None,
        length => Some(callers::run(&clients, &desk, None, length).await),
    };
    // What is acknowledged by now was taken before.
    let verdict = ledger.verdict();
    servers.shutdown().await;
    rules.end.cancel();
    drop(allocator.stdin.take());
    allocator.wait().await.expect("the allocator ends");
    stage.end().await;
    Figures {
        plan,
        measured,
        flat_out,
        lags,
        unseen,
        verdict,
        refused_by_servers: refused.load(Ordering::Relaxed),
        events: counts.0 - events,
        pictures: counts.1 - pictures,
        shares,
        load_average,
    }
}

/// Starts the allocator as a process and waits until it leads; where it serves.
async fn allocator(program: &Path, namespace: &str, logs: std::fs::File) -> (Child, String) {
    let callers = PROGRAMS.map(|program| format!("{namespace}:{program}")).join(",");
    let mut child = Command::new(program)
        .args([namespace, &callers])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(logs)
        .kill_on_drop(true)
        .spawn()
        .expect("the allocator starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let address = lines.next_line().await.expect("readable").expect("the allocator leads");
    (child, format!("http://{address}"))
}

/// A client with a connection and a token of its own.
async fn client(stage: &Stage, url: &str, program: &str) -> Client {
    let token = stage.token(program, AUDIENCE, None).await;
    let channel = leader_channel(url).expect("an address");
    AllocatorClient::with_interceptor(channel, with_token(token, AUDIENCE)).max_decoding_message_size(PICTURE_BYTES_MAX)
}

/// Those who follow in every installation: metagame and the operator the log, the operator also the pool.
#[derive(Default)]
struct Followers {
    events: Arc<AtomicU64>,
    pictures: Arc<AtomicU64>,
}

impl Followers {
    async fn start(stage: &Stage, url: &str, end: &CancellationToken) -> Self {
        let followers = Self::default();
        for program in &PROGRAMS[1..] {
            let mut client = client(stage, url, program).await;
            let log = client.watch_matches(pb::WatchMatchesRequest { cursor: 0 }).await.expect("the log");
            count(log.into_inner(), &followers.events, end);
        }
        let mut operator = client(stage, url, "muster-operator").await;
        let pool = operator.watch_pool(pb::WatchPoolRequest {}).await.expect("the pool");
        count(pool.into_inner(), &followers.pictures, end);
        followers
    }

    fn counts(&self) -> (u64, u64) {
        (self.events.load(Ordering::Relaxed), self.pictures.load(Ordering::Relaxed))
    }
}

fn count<T: Send + 'static>(mut stream: Streaming<T>, counter: &Arc<AtomicU64>, end: &CancellationToken) {
    let counter = counter.clone();
    tokio::spawn(end.clone().run_until_cancelled_owned(async move {
        while let Ok(Some(_)) = stream.message().await {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }));
}
