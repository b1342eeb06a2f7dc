//! Agones as it is found on the cluster, or the stand-in that plays it.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::images::STANDIN_IMAGE;
use super::kubectl::{apply, kubectl, wait};
use super::stage::PATIENCE;
use crate::command::root;

/// Account of game-server pods, as Agones names it.
const ACCOUNT: &str = "agones-sdk";

/// The stand-in takes its webhook back within this time.
const END_TIMEOUT: Duration = Duration::from_secs(10);

/// Who plays Agones for as long as this lives.
#[derive(Debug)]
pub(crate) struct Agones {
    /// For the report.
    pub(crate) name: &'static str,
    standin: Option<Child>,
}

impl Agones {
    /// The cluster's own, or the stand-in for these namespaces.
    pub(crate) fn find_or_play(namespaces: &[&str], release: bool) -> anyhow::Result<Self> {
        let webhook = kubectl(&["get", "mutatingwebhookconfigurations", "-o", "name"])?;
        if webhook.lines().any(|name| name.ends_with("/agones-mutation-webhook")) {
            namespaces.iter().try_for_each(|namespace| give_account(namespace))?;
            return Ok(Self { name: "real", standin: None });
        }
        let log = root().join("target/e2e/standin.log");
        std::fs::create_dir_all(root().join("target/e2e"))?;
        let log = std::fs::File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = Command::new(crate::image::standin(release));
        command.args(["controller", "--namespaces", &namespaces.join(","), "--sidecar-image", STANDIN_IMAGE]);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let standin = command.spawn().context("cannot start the Agones stand-in")?;
        let agones = Self { name: "stand-in", standin: Some(standin) };
        for namespace in namespaces {
            let account = ["-n", namespace, "get", "serviceaccount", ACCOUNT, "-o", "name"];
            let there = || Ok(kubectl(&account).map(drop).map_err(|error| format!("{error:#}")));
            wait("the stand-in's account for game servers", PATIENCE, there)?;
        }
        Ok(agones)
    }
}

/// Agones' chart gives game-server pods their account only in the namespaces that it was told of when it was installed.
fn give_account(namespace: &str) -> anyhow::Result<()> {
    apply(&format!(
        "apiVersion: v1
kind: ServiceAccount
metadata: {{name: {ACCOUNT}, namespace: {namespace}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: agones-sdk-access, namespace: {namespace}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {ACCOUNT}}}
subjects: [{{kind: ServiceAccount, name: {ACCOUNT}, namespace: {namespace}}}]
"
    ))
}

impl Drop for Agones {
    fn drop(&mut self) {
        if let Some(standin) = &mut self.standin {
            end(standin);
        }
    }
}

/// By SIGTERM: killed, it would leave its create webhook behind, and the namespaces would refuse every new Fleet.
fn end(standin: &mut Child) {
    Command::new("kill").arg(standin.id().to_string()).status().ok();
    let asked = Instant::now();
    while matches!(standin.try_wait(), Ok(None)) {
        if asked.elapsed() > END_TIMEOUT {
            standin.kill().ok();
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
