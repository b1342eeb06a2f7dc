//! Programs that reach the API server through the [`api_proxy`](super::api_proxy), one line for each.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::api_proxy::{Cut, Line, Way, api_server, reach};
use super::kubectl::{apply, get, kubectl, wait};
use super::stage::{PATIENCE, RELEASE, SYSTEM, Stage};

/// The programs that hold a Lease, by which a cut shows.
pub(crate) const PROGRAMS: [&str; 2] = ["allocator", "operator"];
/// Name of the ConfigMaps with kubeconfigs, and of the volume.
const NAME: &str = "e2e-api-proxy";
/// Where programs find theirs.
const FOLDER: &str = "/etc/e2e";
/// Only in a cut of this length the Lease says something.
const LONG: Duration = Duration::from_secs(6);
/// How long the Lease's holder may take to write again after a cut.
const BACK_WITHIN: Duration = Duration::from_secs(60);

/// Programs behind the proxy, until [`CutOff::undo`].
pub(crate) struct CutOff {
    lines: BTreeMap<&'static str, Arc<Line>>,
    /// Pod templates as the chart made them.
    templates: BTreeMap<&'static str, Value>,
}

impl CutOff {
    /// Puts the proxy between the API server and each of the programs.
    pub(crate) fn set(stage: &Stage) -> anyhow::Result<Self> {
        let (upstream, reach) = (api_server()?, reach(node_address()?)?);
        let mut lines = BTreeMap::new();
        for program in PROGRAMS {
            lines.insert(program, Line::open(upstream)?);
        }
        // Where NetworkPolicies are enforced, these ports have to be let through.
        let ports: Vec<String> = lines.values().map(|line| line.port.to_string()).collect();
        stage.helm(&["--set", &format!("networkPolicy.apiServer.ports={{443,6443,{}}}", ports.join(","))])?;
        let mut templates = BTreeMap::new();
        for (program, line) in &lines {
            apply(&kubeconfig(program, &format!("https://{reach}:{}", line.port)))?;
            let template = get(&["-n", SYSTEM, "deploy", &deployment(program)])?["spec"]["template"].take();
            replace(program, &through_proxy(&template, program))?;
            templates.insert(*program, template);
        }
        let cut_off = Self { lines, templates };
        for program in PROGRAMS {
            rolled_out(program).context(
                "a program that reaches the API server through this machine does not become ready: pods must be able to \
                 reach the machine that runs the tests",
            )?;
            ensure!(cut_off.lines[program].stands(), "{program} does not use the API proxy");
        }
        Ok(cut_off)
    }

    /// Cuts a program off for so long. Fails unless it was: nothing went through, and in a long
    /// cut its Lease was not renewed.
    pub(crate) fn cut(&self, program: &'static str, way: Way, time: Duration) -> anyhow::Result<Cut> {
        let line = &self.lines[program];
        let cut = std::thread::scope(|scope| -> anyhow::Result<Cut> {
            let cutting = scope.spawn(|| line.cut(way, time));
            // A renewal may have been on its way, and a busy API server takes its time.
            std::thread::sleep(time / 3);
            let before = renewed(program)?;
            std::thread::sleep(time / 3);
            let after = renewed(program)?;
            if line.is_cut() && time >= LONG {
                ensure!(before == after, "the Lease of {program} was renewed at {after} although it was cut off");
            }
            cutting.join().map_err(|_| anyhow::anyhow!("the API proxy broke off"))
        })?;
        ensure!(cut.stood > 0, "{program} had no connection to cut");
        ensure!(cut.bytes == 0, "{} bytes of {program} went through a cut", cut.bytes);
        Ok(cut)
    }

    /// Waits until a program that was cut off leads again; how long it took.
    pub(crate) fn until_back(program: &str) -> anyhow::Result<Duration> {
        let before = renewed(program)?;
        let again = || {
            let now = renewed(program)?;
            Ok(if now == before { Err(format!("renewed at {now}")) } else { Ok(()) })
        };
        wait(&format!("{program} leads again"), BACK_WITHIN, again).map(|((), took)| took)
    }

    /// Leaves everything as the chart made it.
    pub(crate) fn undo(self, stage: &Stage) -> anyhow::Result<()> {
        for (program, template) in &self.templates {
            replace(program, template)?;
            kubectl(&["-n", SYSTEM, "delete", "configmap", &format!("{NAME}-{program}")])?;
        }
        for program in self.templates.keys() {
            rolled_out(program)?;
        }
        stage.helm(&[])
    }
}

fn deployment(program: &str) -> String {
    format!("{RELEASE}-{program}")
}

/// When a program renewed its Lease last.
fn renewed(program: &str) -> anyhow::Result<String> {
    kubectl(&["-n", SYSTEM, "get", "lease", &deployment(program), "-o", "jsonpath={.spec.renewTime}"])
}

fn node_address() -> anyhow::Result<IpAddr> {
    let query = "jsonpath={.items[0].status.addresses[?(@.type=='InternalIP')].address}";
    let address = kubectl(&["get", "nodes", "-o", query])?;
    address.split_whitespace().next().unwrap_or_default().parse().context("the first node has no address")
}

fn replace(program: &str, template: &Value) -> anyhow::Result<()> {
    let patch = json!([{ "op": "replace", "path": "/spec/template", "value": template }]);
    kubectl(&["-n", SYSTEM, "patch", "deploy", &deployment(program), "--type=json", "-p", &patch.to_string()]).map(drop)
}

fn rolled_out(program: &str) -> anyhow::Result<()> {
    let timeout = format!("--timeout={}s", PATIENCE.as_secs());
    kubectl(&["-n", SYSTEM, "rollout", "status", &format!("deploy/{}", deployment(program)), &timeout]).map(drop)
}

/// The pod with a kubeconfig that leads through the proxy.
fn through_proxy(template: &Value, program: &str) -> Value {
    let mut template = template.clone();
    let pod = &mut template["spec"];
    let container = &mut pod["containers"][0];
    push(&mut container["env"], json!({ "name": "KUBECONFIG", "value": format!("{FOLDER}/kubeconfig") }));
    push(&mut container["volumeMounts"], json!({ "name": NAME, "mountPath": FOLDER, "readOnly": true }));
    push(&mut pod["volumes"], json!({ "name": NAME, "configMap": { "name": format!("{NAME}-{program}") } }));
    template
}

fn push(list: &mut Value, item: Value) {
    match list {
        Value::Array(items) => items.push(item),
        other => *other = json!([item]),
    }
}

/// The account and the certificate authority of the pod, as in any pod; only the address is another.
fn kubeconfig(program: &str, server: &str) -> String {
    let secrets = "/var/run/secrets/kubernetes.io/serviceaccount";
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "proxy",
        "clusters": [{ "name": "proxy", "cluster": {
            "server": server, "tls-server-name": "kubernetes.default.svc", "certificate-authority": format!("{secrets}/ca.crt"),
        } }],
        "users": [{ "name": "pod", "user": { "tokenFile": format!("{secrets}/token") } }],
        "contexts": [{ "name": "proxy", "context": { "cluster": "proxy", "user": "pod", "namespace": SYSTEM } }],
    });
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": format!("{NAME}-{program}"), "namespace": SYSTEM },
        "data": { "kubeconfig": config.to_string() },
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_behind_the_proxy_keeps_everything_that_it_had() {
        let container = json!({ "name": "a", "env": [{ "name": "POD_NAME" }] });
        let template = json!({ "spec": { "containers": [container], "volumes": [{ "name": "tokens" }] } });
        let through = through_proxy(&template, "allocator");
        let names = |list: &Value| -> Vec<String> {
            let items = list.as_array().expect("a list").iter();
            items.filter_map(|item| item["name"].as_str().map(str::to_owned)).collect()
        };
        assert_eq!(names(&through["spec"]["containers"][0]["env"]), ["POD_NAME", "KUBECONFIG"]);
        assert_eq!(names(&through["spec"]["containers"][0]["volumeMounts"]), [NAME]);
        assert_eq!(names(&through["spec"]["volumes"]), ["tokens", NAME]);
    }
}
