//! Bots as pods: `muster bots` in a Job, so that they reach metagame and the nodes' ports as any pod does.

use std::time::Duration;

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::Value;

use super::kubectl::{apply, kubectl, wait};
use super::stage::{RELEASE, SYSTEM};

/// How long bots may take beyond their time: the last match, and its results.
const PATIENCE: Duration = Duration::from_secs(180);

/// The allocator, as pods reach it.
const ALLOCATOR: &str = "http://muster-allocator.muster-system:7110";
/// Secret with a token that the allocator takes.
const TOKEN: &str = "witness";

/// A crowd.
#[derive(Debug, Clone)]
pub(crate) struct Crowd<'a> {
    /// Name of the Job.
    pub(crate) name: &'a str,
    /// Namespace of the Job.
    pub(crate) namespace: &'a str,
    /// Image of `muster`.
    pub(crate) image: &'a str,
    /// The metagame API.
    pub(crate) url: String,
    /// The queue.
    pub(crate) queue: &'a str,
    /// Bots.
    pub(crate) players: u32,
    /// How long they queue.
    pub(crate) seconds: u64,
    /// Share that begins on native UDP.
    pub(crate) udp_share: f64,
    /// Seed.
    pub(crate) seed: u64,
    /// Write down what the bots and the allocator see; [`Crowd::history`] reads it.
    pub(crate) history: bool,
}

/// What came of a crowd, as `muster bots -o json` says it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Played {
    /// Name of the crowd.
    #[serde(skip)]
    pub(crate) name: String,
    /// Matches that bots saw end.
    pub(crate) matches_ended: u64,
    /// Times that a bot was told that its match is lost.
    pub(crate) games_lost: u64,
    /// Sessions that ended before their match.
    pub(crate) disconnects: u64,
    /// Joins that failed.
    pub(crate) join_failures: u64,
    /// Games that are not in their player's history, or twice.
    pub(crate) games_missing: u64,
    /// Bots that played over native UDP.
    pub(crate) udp_clients: u64,
    /// Bots that played over QUIC.
    pub(crate) quic_clients: u64,
    /// 95th percentile of the time from ticket to match.
    pub(crate) time_to_match_ms_p95: f64,
    /// Matches may be lost here: their servers are killed on purpose.
    #[serde(skip)]
    pub(crate) may_lose: bool,
}

impl Crowd<'_> {
    /// Sends them.
    pub(crate) fn start(&self) -> anyhow::Result<()> {
        let Self { name, namespace, image, url, queue, players, seconds, udp_share, seed, history } = self;
        let witness = if *history {
            lend_token(namespace)?;
            format!(", --history, /dev/stdout, --allocator, \"{ALLOCATOR}\", --allocator-token, /token/token")
        } else {
            String::new()
        };
        apply(&format!(
            r#"
apiVersion: batch/v1
kind: Job
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  backoffLimit: 0
  template:
    metadata: {{labels: {{app.kubernetes.io/name: e2e-bots}}}}
    spec:
      restartPolicy: Never
      automountServiceAccountToken: false
      containers:
      - name: bots
        image: {image}
        imagePullPolicy: IfNotPresent
        args: [bots, --url, "{url}", --queue, "{queue}", --players, "{players}", --seconds, "{seconds}", --udp-share, "{udp_share}", --seed, "{seed}", --log, "warn,loadtest=info", -o, json{witness}]
        volumeMounts: [{{name: token, mountPath: /token, readOnly: true}}]
      volumes: [{{name: token, secret: {{secretName: {TOKEN}, optional: true}}}}]
"#
        ))
    }

    /// Waits until they have played, and reads what came of it.
    pub(crate) fn finish(&self) -> anyhow::Result<Played> {
        let limit = Duration::from_secs(self.seconds) + PATIENCE;
        let job = format!("job/{}", self.name);
        let ended = || {
            let status =
                kubectl(&["-n", self.namespace, "get", &job, "-o", "jsonpath={.status.succeeded}/{.status.failed}"])?;
            Ok(if status == "/" { Err(self.last_words()) } else { Ok(()) })
        };
        wait(&format!("the bots {}", self.name), limit, ended)?;
        let log = kubectl(&["-n", self.namespace, "logs", &job, "--tail=-1"])?;
        let summary = log.lines().rev().find(|line| line.starts_with('{'));
        let summary =
            summary.with_context(|| format!("the bots {} gave no summary: {}", self.name, self.last_words()))?;
        let value: Value = serde_json::from_str(summary).context("the bots' summary")?;
        let mut played: Played = serde_json::from_value(value).context("the bots' summary")?;
        played.name = self.name.to_owned();
        eprintln!("   {}: {summary}", self.name);
        for fault in log.lines().filter(|line| line.starts_with("fault: ")) {
            eprintln!("   {}: {fault}", self.name);
        }
        Ok(played)
    }

    /// What the bots and the allocator saw, as lines of JSON.
    pub(crate) fn history(&self) -> anyhow::Result<Vec<Value>> {
        let log = kubectl(&["-n", self.namespace, "logs", &format!("job/{}", self.name), "--tail=-1"])?;
        let entries = log.lines().filter(|line| line.starts_with("{\"at_ms\""));
        entries.map(|line| serde_json::from_str(line).context("an entry of the history")).collect()
    }

    fn last_words(&self) -> String {
        let log = kubectl(&["-n", self.namespace, "logs", &format!("job/{}", self.name), "--tail=4"]);
        log.unwrap_or_else(|error| format!("{error:#}")).trim().replace('\n', " | ")
    }
}

/// A token of the operator's account, for whoever writes down what the allocator says.
fn lend_token(namespace: &str) -> anyhow::Result<()> {
    let token = kubectl(&[
        "-n",
        SYSTEM,
        "create",
        "token",
        &format!("{RELEASE}-operator"),
        "--audience=muster-allocator",
        "--duration=1h",
    ])?;
    apply(&format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: {TOKEN}, namespace: {namespace}}}\nstringData: {{token: \"{}\"}}\n",
        token.trim()
    ))
}

impl Played {
    /// What must not happen, whatever the scenario.
    pub(crate) fn fault(&self) -> Option<String> {
        let lost = if self.may_lose { 0 } else { self.games_lost };
        let hurt = if self.may_lose { 0 } else { self.disconnects + self.join_failures } + self.games_missing + lost;
        (hurt > 0 || self.matches_ended == 0).then(|| {
            format!(
                "crowd {}: {} matches ended, {lost} lost, {} disconnects, {} join failures, {} games missing",
                self.name, self.matches_ended, self.disconnects, self.join_failures, self.games_missing
            )
        })
    }
}
