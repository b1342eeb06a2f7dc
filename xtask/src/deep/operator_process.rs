//! The operator as a process of this machine, with an account of its own: what it asks of the API server can be counted.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::e2e::kubectl::{apply, kubectl};

/// From one look at the process's memory to the next.
const LOOK: Duration = Duration::from_millis(500);

/// A running program and the most memory that it was seen with.
pub(super) struct Process {
    child: Child,
    rss_kib_max: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    watcher: Option<JoinHandle<()>>,
}

impl Process {
    /// Starts it; what it says goes to `log`.
    pub(super) fn start(mut command: Command, log: &Path) -> anyhow::Result<Self> {
        let log = std::fs::File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let program = command.get_program().display().to_string();
        let child = command.spawn().with_context(|| format!("cannot start {program}"))?;
        let (rss_kib_max, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (seen, ended, pid) = (Arc::clone(&rss_kib_max), Arc::clone(&stop), child.id());
        let watcher = std::thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                seen.fetch_max(rss_kib(pid), Ordering::Relaxed);
                std::thread::sleep(LOOK);
            }
        });
        Ok(Self { child, rss_kib_max, stop, watcher: Some(watcher) })
    }

    /// Most resident memory so far, in MB (10^6 bytes).
    pub(super) fn rss_mb_max(&self) -> f64 {
        self.rss_kib_max.load(Ordering::Relaxed) as f64 * 1_024.0 / 1e6
    }

    /// Resident memory now, in MB.
    pub(super) fn rss_mb(&self) -> f64 {
        rss_kib(self.child.id()) as f64 * 1_024.0 / 1e6
    }

    /// Fails when the program has ended.
    pub(super) fn lives(&mut self, log: &Path) -> anyhow::Result<()> {
        let ended = self.child.try_wait()?;
        ensure!(ended.is_none(), "a program ended by itself ({ended:?}); {} says why", log.display());
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // By SIGTERM: the stand-in takes its webhook back.
        Command::new("kill").arg(self.child.id().to_string()).status().ok();
        let asked = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if asked.elapsed() > Duration::from_secs(20) {
                self.child.kill().ok();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        self.watcher.take().map(JoinHandle::join);
    }
}

fn rss_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// An account with a flow schema of its own: the API server counts the requests of each schema.
pub(super) struct Account<'a> {
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
}

impl Account<'_> {
    /// Makes both, and writes a kubeconfig for the account.
    pub(super) fn make(&self, kubeconfig: &Path) -> anyhow::Result<()> {
        let Self { namespace, name } = self;
        apply(&format!(
            r#"
apiVersion: v1
kind: ServiceAccount
metadata: {{name: {name}, namespace: {namespace}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: {name}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}}
subjects: [{{kind: ServiceAccount, name: {name}, namespace: {namespace}}}]
---
apiVersion: flowcontrol.apiserver.k8s.io/v1
kind: FlowSchema
metadata: {{name: {name}}}
spec:
  # Before the schema of all service accounts, at the same level.
  matchingPrecedence: 850
  priorityLevelConfiguration: {{name: workload-low}}
  rules:
  - subjects: [{{kind: ServiceAccount, serviceAccount: {{name: {name}, namespace: {namespace}}}}}]
    resourceRules: [{{verbs: ["*"], apiGroups: ["*"], resources: ["*"], clusterScope: true, namespaces: ["*"]}}]
    nonResourceRules: [{{verbs: ["*"], nonResourceURLs: ["*"]}}]
"#
        ))?;
        let token = kubectl(&["-n", namespace, "create", "token", name, "--duration=24h"])?;
        let shown = kubectl(&["config", "view", "--raw", "--minify", "-o", "json"])?;
        let mut config: Value = serde_json::from_str(&shown).context("kubectl config view printed no JSON")?;
        config["users"][0]["user"] = json!({ "token": token.trim() });
        std::fs::write(kubeconfig, config.to_string()).context("cannot write the operator's kubeconfig")
    }

    /// Requests of the account that the API server has let through so far; a watch counts once.
    pub(super) fn requests(&self) -> anyhow::Result<f64> {
        let wanted = format!("flow_schema=\"{}\"", self.name);
        let page = kubectl(&["get", "--raw", "/metrics"])?;
        let lines = page.lines().filter(|line| {
            line.starts_with("apiserver_flowcontrol_dispatched_requests_total{") && line.contains(&wanted)
        });
        Ok(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
    }

    /// Takes away what is not in the namespace.
    pub(super) fn remove(&self) {
        for kind in ["clusterrolebinding", "flowschema"] {
            kubectl(&["delete", kind, self.name, "--ignore-not-found"]).ok();
        }
    }
}
