//! Two operators as real processes on a real API server, one of which is stopped for longer than its Lease stands.

mod common;

use std::panic::AssertUnwindSafe;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use common::muster;
use crds::GameFleet;
use crds::agones::Fleet;
use futures_util::FutureExt as _;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(90);

struct Operator {
    process: Child,
    admin: String,
}

impl Operator {
    fn start(namespace: &str, pod: &str) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound").port();
        let admin = format!("127.0.0.1:{port}");
        let mut command = muster();
        command.args(["operator", "--namespace", namespace, "--game-namespaces", namespace, "--pod", pod]);
        // Nobody answers there: what is written then needs no demand.
        command.args(["--allocator", "http://127.0.0.1:9", "--matchmaker", "http://127.0.0.1:9"]);
        command.args(["--admin", &admin, "--lease-seconds", "6", "--no-tls"]);
        Self { process: command.stderr(Stdio::null()).spawn().expect("it starts"), admin }
    }

    /// The sum of a metric's lines that contain this word.
    async fn metric(&self, name: &str, word: &str) -> Option<f64> {
        let page = reqwest::get(format!("http://{}/metrics", self.admin)).await.ok()?.text().await.ok()?;
        let lines = page.lines().filter(|line| line.starts_with(name) && line.contains(word));
        Some(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
    }

    async fn leads(&self) -> bool {
        self.metric("muster_operator_leader", "").await == Some(1.0)
    }

    async fn writes(&self) -> f64 {
        self.metric("muster_operator_writes_total", "done").await.expect("it answers")
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.process.id().cast_signed()).expect("a process id");
        kill_process(pid, signal).expect("it runs");
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn until<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < end, "never so: {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn make(client: &Client, namespace: &str, name: &str) {
    let game_fleet = json!({
        "apiVersion": "muster.dev/v1alpha1", "kind": "GameFleet", "metadata": { "name": name },
        "spec": { "build": "1", "template": { "image": "a:1" } }
    });
    let api: Api<GameFleet> = Api::namespaced(client.clone(), namespace);
    api.create(&PostParams::default(), &serde_json::from_value(game_fleet).expect("a fleet")).await.expect("made");
}

async fn until_made(client: &Client, namespace: &str, name: &str) {
    let fleets: Api<Fleet> = Api::namespaced(client.clone(), namespace);
    let of = ListParams::default().labels(&format!("{}={name}", crds::labels::GAME_FLEET));
    until(name, async || (!fleets.list(&of).await.expect("a list").items.is_empty()).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: KUBECONFIG"]
async fn a_leader_that_was_stopped_for_longer_than_its_lease_writes_nothing_when_it_goes_on() {
    let client = Client::try_default().await.expect("KUBECONFIG names a cluster");
    let namespace = format!("operator-{}", hex::encode(service::random::bytes::<4>()));
    let spaces: Api<Namespace> = Api::all(client.clone());
    let metadata = ObjectMeta { name: Some(namespace.clone()), ..ObjectMeta::default() };
    spaces.create(&PostParams::default(), &Namespace { metadata, ..Namespace::default() }).await.expect("made");
    let ended = AssertUnwindSafe(stopped(client.clone(), namespace.clone())).catch_unwind().await;
    let left: Api<GameFleet> = Api::namespaced(client, &namespace);
    for game_fleet in left.list(&ListParams::default()).await.map(|list| list.items).unwrap_or_default() {
        let free = Patch::Merge(json!({ "metadata": { "finalizers": [] } }));
        let _ = left.patch(&game_fleet.name_any(), &PatchParams::default(), &free).await;
    }
    spaces.delete(&namespace, &DeleteParams::background()).await.expect("the namespace goes");
    if let Err(panic) = ended {
        std::panic::resume_unwind(panic);
    }
}

async fn stopped(client: Client, namespace: String) {
    let one = Operator::start(&namespace, "one");
    until("one leads", async || one.leads().await.then_some(())).await;
    let two = Operator::start(&namespace, "two");
    make(&client, &namespace, "first").await;
    until_made(&client, &namespace, "first").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let written = one.writes().await;
    assert!(written > 0.0);

    one.signal(Signal::STOP);
    make(&client, &namespace, "second").await;
    until("two leads", async || two.leads().await.then_some(())).await;
    until_made(&client, &namespace, "second").await;

    // The first goes on, and hears of everything at once, with the second leader at work.
    one.signal(Signal::CONT);
    for name in ["third", "fourth", "fifth"] {
        make(&client, &namespace, name).await;
        until_made(&client, &namespace, name).await;
    }
    until("one knows", async || one.metric("muster_operator_leader", "").await.filter(|leads| *leads == 0.0)).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(one.writes().await, written, "a write without the Lease");
    assert!(two.leads().await && two.writes().await > 0.0);
}
