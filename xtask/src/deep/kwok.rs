//! `deep --only kwok`: a large fleet on a real API server, where nodes and game servers are nothing but objects.
//!
//! Game servers have the annotation `agones.dev/dev-address`, with which Agones makes them Ready without a pod; the stand-in
//! plays it. Nodes are kept alive by kwok where that program is found, and are bare objects elsewhere.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::operator_process::{Account, Process};
use crate::command::{cargo, root, step};
use crate::e2e::kubectl::{apply, get, kubectl, reachable, wait};

/// Everything of this run is here, but for nodes.
const NAMESPACE: &str = "muster-kwok";
/// The operator's account and flow schema.
const OPERATOR: Account<'static> = Account { namespace: NAMESPACE, name: "muster-kwok-operator" };
/// Label of the nodes.
const NODES: &str = "muster.dev/kwok=true";
/// Nodes of one `kubectl apply`.
const BATCH: u32 = 250;
/// How long the operator is watched while nothing happens.
const IDLE: Duration = Duration::from_secs(30);
/// The goal for the operator's memory.
const RSS_MB_MAX: f64 = 200.0;
/// The goal for its requests: reads and writes per second over a rollout, whatever the fleet's size.
const REQUESTS_PER_S_MAX: f64 = 20.0;

/// How large.
pub(super) struct Size {
    pub(super) nodes: u32,
    pub(super) servers: u32,
}

/// Fills the fleet, rolls it out to a new revision, and removes everything. Fails when the operator needs too much.
pub(super) fn run(size: &Size, release: bool) -> anyhow::Result<()> {
    reachable().context("this needs a cluster: set KUBECONFIG to one that may be changed")?;
    let programs = build(release)?;
    println!("== {} servers on {} nodes", size.servers, size.nodes);
    clear();
    let measured = measure(size, &programs);
    let removed = Instant::now();
    clear();
    println!("removed in {:.0} s", removed.elapsed().as_secs_f64());
    measured
}

/// The folder of the built programs.
fn build(release: bool) -> anyhow::Result<PathBuf> {
    for (package, program, features) in [("muster", "muster", ""), ("cluster", "agones-standin", "standin")] {
        let mut command = cargo();
        command.args(["build", "--quiet", "--package", package, "--bin", program, "--features", features]);
        if release {
            command.arg("--release");
        }
        step(&format!("build {program}"), &mut command)?;
    }
    Ok(root().join("target").join(if release { "release" } else { "debug" }))
}

fn measure(size: &Size, programs: &Path) -> anyhow::Result<()> {
    let folder = root().join("target/kwok");
    std::fs::create_dir_all(&folder)?;
    kubectl(&["create", "namespace", NAMESPACE])?;
    let crds = root().join("crds/yaml");
    kubectl(&["apply", "--server-side", "--force-conflicts", "-f", &crds.display().to_string()])?;
    let kubeconfig = folder.join("operator.kubeconfig");
    OPERATOR.make(&kubeconfig)?;
    let _kwok = kwok(&folder)?;
    let (began, nodes) = (Instant::now(), nodes(size.nodes));
    nodes?;
    tell("nodes made", began.elapsed(), "");
    let mut standin = Command::new(programs.join("agones-standin"));
    standin.args(["controller", "--namespaces", NAMESPACE, "--dev-address", "192.0.2.1"]).env("RUST_LOG", "error");
    standin.args(["--port-min", "10000", "--port-max", "60000"]);
    let standin_log = folder.join("standin.log");
    let mut standin = Process::start(standin, &standin_log)?;
    let account = ["-n", NAMESPACE, "get", "serviceaccount", "agones-sdk", "-o", "name"];
    wait("the stand-in", Duration::from_secs(60), || Ok(kubectl(&account).map(drop).map_err(|e| e.to_string())))?;
    let (mut services, services_log) = (services(programs, &folder)?, folder.join("matchmaker.log"));
    let log = folder.join("operator.log");
    let mut operator = Process::start(operator(programs, &kubeconfig), &log)?;

    let mut phase = Phase::begin("filled")?;
    apply(&fleet(size.servers, 1))?;
    let limit = Duration::from_secs(120) + Duration::from_millis(200) * size.servers;
    let full = |status: &Value| status["servers"].as_u64() == Some(u64::from(size.servers)) && holds(status, "Ready");
    let first = until("a full fleet", limit, full)?["stable"].as_str().unwrap_or_default().to_owned();
    phase.end(&operator, size)?;

    let idle = Phase::begin("idle")?;
    std::thread::sleep(IDLE);
    let at_rest = idle.end(&operator, size)?;

    phase = Phase::begin("rolled out")?;
    apply(&fleet(size.servers, 2))?;
    let over = |status: &Value| {
        let revisions = status["revisions"].as_array().map_or(0, Vec::len);
        full(status) && revisions == 1 && status["stable"] != first.as_str() && status["canary"].is_null()
    };
    until("the new revision alone", limit * 3, over)?;
    let rate = phase.end(&operator, size)?;
    for (process, log) in [(&mut operator, &log), (&mut standin, &standin_log), (&mut services, &services_log)] {
        process.lives(log)?;
    }
    let (most, now) = (operator.rss_mb_max(), operator.rss_mb());
    println!("operator: {most:.0} MB at most, {now:.0} MB in the end; stand-in: {:.0} MB", standin.rss_mb_max());
    println!("machine: {}", load());
    ensure!(most < RSS_MB_MAX, "the operator had {most:.0} MB, more than {RSS_MB_MAX} MB");
    for (what, rate) in [("the rollout", rate), ("idle time", at_rest)] {
        ensure!(rate < REQUESTS_PER_S_MAX, "the operator sent {rate:.1} requests per second in {what}");
    }
    Ok(())
}

/// A stretch of time and the operator's requests in it.
struct Phase {
    name: &'static str,
    began: Instant,
    requests: f64,
}

impl Phase {
    fn begin(name: &'static str) -> anyhow::Result<Self> {
        Ok(Self { name, requests: OPERATOR.requests()?, began: Instant::now() })
    }

    /// Tells of it; the requests per second.
    fn end(&self, operator: &Process, size: &Size) -> anyhow::Result<f64> {
        let (took, requests) = (self.began.elapsed(), OPERATOR.requests()? - self.requests);
        let rate = requests / took.as_secs_f64();
        let per_server = requests / f64::from(size.servers);
        let rss = operator.rss_mb();
        tell(
            self.name,
            took,
            &format!(", operator: {requests:.0} requests ({rate:.2}/s, {per_server:.3} per server), {rss:.0} MB"),
        );
        Ok(rate)
    }
}

fn tell(what: &str, took: Duration, more: &str) {
    println!("{what} in {:.1} s{more}", took.as_secs_f64());
}

/// kwok for the nodes, where it is installed: `go install sigs.k8s.io/kwok/cmd/kwok@latest`.
fn kwok(folder: &Path) -> anyhow::Result<Option<Process>> {
    let asked = Command::new("kwok").arg("--version").output();
    if !asked.is_ok_and(|output| output.status.success()) {
        println!("kwok is not installed: nodes are objects that nobody keeps alive");
        return Ok(None);
    }
    let mut command = Command::new("kwok");
    command.arg(format!("--manage-nodes-with-label-selector={NODES}"));
    command.arg("--manage-all-nodes=false");
    if let Some(kubeconfig) = std::env::var_os("KUBECONFIG") {
        command.arg("--kubeconfig").arg(kubeconfig);
    }
    Process::start(command, &folder.join("kwok.log")).map(Some)
}

fn nodes(count: u32) -> anyhow::Result<()> {
    let (key, value) = NODES.split_once('=').context("a label has a value")?;
    for first in (0..count).step_by(BATCH as usize) {
        // No real pod is meant for them.
        let node = |number: u32| {
            format!(
                "apiVersion: v1\nkind: Node\nmetadata:\n  name: kwok-{number}\n  labels: {{{key}: \"{value}\"}}\n  \
                 annotations: {{kwok.x-k8s.io/node: fake}}\nspec:\n  taints: [{{key: kwok.x-k8s.io/node, value: fake, effect: \
                 NoSchedule}}]\n---\n"
            )
        };
        apply(&(first..count.min(first + BATCH)).map(node).collect::<String>())?;
    }
    Ok(())
}

/// The matchmaker, whose queues the operator asks for: without it a fleet keeps the size that it has.
fn services(programs: &Path, folder: &Path) -> anyhow::Result<Process> {
    let mut command = Command::new(programs.join("muster"));
    let data = format!("--data={}", folder.join("data").display());
    command.args(["matchmaker", "--listen=127.0.0.1:17120", "--admin=127.0.0.1:17121", "--log=error", &data]);
    Process::start(command, &folder.join("matchmaker.log"))
}

fn operator(programs: &Path, kubeconfig: &Path) -> Command {
    let mut command = Command::new(programs.join("muster"));
    let namespaces = [format!("--namespace={NAMESPACE}"), format!("--game-namespaces={NAMESPACE}")];
    command.args(["operator", "--admin=127.0.0.1:17141", "--no-tls", "--log=warn"]).args(namespaces);
    command.args(["--matchmaker=http://127.0.0.1:17120", "--allocator=http://127.0.0.1:17110"]);
    let tokens = format!("--tokens={}", kubeconfig.with_file_name("tokens").display());
    command.arg(tokens).env("KUBECONFIG", kubeconfig);
    command
}

/// Pool `Agones`: its servers are Ready as Agones makes them so.
fn fleet(servers: u32, edition: u32) -> String {
    format!(
        r#"
apiVersion: muster.dev/v1alpha1
kind: GameFleet
metadata: {{name: large, namespace: {NAMESPACE}}}
spec:
  build: "1"
  poolKind: Agones
  template:
    image: localhost/none:1
    env: [{{name: EDITION, value: "{edition}"}}]
    ports: [{{name: game, containerPort: 7777, protocol: UDP}}]
  warmPool: {{minimum: {servers}, maximum: {servers}, buffer: 0}}
  scaling: {{scaleDownDelaySeconds: 0}}
  drain: {{deadlineSeconds: 30}}
  rollout:
    steps:
    - {{weight: 10, pauseSeconds: 1, minimumSessions: 0}}
    - {{weight: 50, pauseSeconds: 1, minimumSessions: 0}}
    - {{weight: 100, pauseSeconds: 1, minimumSessions: 0}}
"#
    )
}

fn until(what: &str, limit: Duration, good: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
    let look = || {
        let status = get(&["-n", NAMESPACE, "gamefleet", "large"])?["status"].take();
        Ok(if good(&status) { Ok(status) } else { Err(status.to_string()) })
    };
    wait(what, limit, look).map(|(status, _)| status)
}

fn holds(status: &Value, kind: &str) -> bool {
    let all = status["conditions"].as_array().cloned().unwrap_or_default();
    all.iter().any(|condition| condition["type"] == kind && condition["status"] == "True")
}

/// What the machine is busy with, for whoever reads the figures.
fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: Vec<&str> = load.split_whitespace().take(3).collect();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("load {} on {cores} cores", load.join(" "))
}

/// Whatever a run left. Nobody plays there, so finalizers may go; without Agones nobody else takes them.
fn clear() {
    OPERATOR.remove();
    let kinds = ["gamefleets.muster.dev", "fleets.agones.dev", "gameserversets.agones.dev", "gameservers.agones.dev"];
    if kubectl(&["get", "namespace", NAMESPACE]).is_ok() {
        for kind in kinds {
            kubectl(&["-n", NAMESPACE, "delete", kind, "--all", "--wait=false"]).ok();
            free(kind).ok();
        }
        kubectl(&["delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=600s"]).ok();
    }
    kubectl(&["delete", "nodes", "-l", NODES, "--wait=false"]).ok();
}

/// Takes the finalizers off every object of a kind.
fn free(kind: &str) -> anyhow::Result<()> {
    let names = kubectl(&["-n", NAMESPACE, "get", kind, "-o", "name"])?;
    let names: Vec<&str> = names.lines().collect();
    for some in names.chunks(200) {
        let patch = [&["-n", NAMESPACE, "patch"], some, &["--type=merge", "-p", r#"{"metadata":{"finalizers":null}}"#]];
        kubectl(&patch.concat()).ok();
    }
    Ok(())
}
