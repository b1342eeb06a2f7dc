//! What the API server says to each profile, without keeping anything of it.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, bail};

use super::chart::Chart;

/// The Prometheus operator is not in every cluster, nor are Muster's CRDs before the chart.
const OFF: &str = "monitoring.serviceMonitor.enabled=false,monitoring.rules.enabled=false,demo.enabled=false";
/// The profiles, as values files of the chart.
const PROFILES: [&str; 3] = ["values-dev.yaml", "values-ha.yaml", "values-restricted.yaml"];

/// A namespace of one test or one look, removed when it is dropped.
pub(super) struct Namespace {
    /// Its name.
    pub(super) name: String,
}

impl Namespace {
    /// A namespace whose name no other has.
    pub(super) fn make(prefix: &str) -> anyhow::Result<Self> {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
        let name = format!("{prefix}-{:x}-{:x}", std::process::id(), since.subsec_nanos());
        let output = kubectl(&["create", "namespace", &name], None)?;
        if !output.status.success() {
            bail!("cannot make namespace {name}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(Self { name })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Whoever is told of a failure here could do nothing but this.
        let _ = kubectl(&["delete", "namespace", &self.name, "--wait=false"], None);
    }
}

/// Objects of a text, on the cluster until it is dropped.
#[cfg(test)]
pub(super) struct Applied {
    text: String,
}

#[cfg(test)]
impl Applied {
    /// Applies some templates of the chart, rendered for these namespaces.
    pub(super) fn templates(own: &Namespace, games: &Namespace, files: &[&str]) -> anyhow::Result<Self> {
        let chart = Chart::open(&crate::command::root())?;
        let namespaces = format!("gameNamespaces={{{}}}", games.name);
        let mut arguments = vec!["--no-hooks", "--set", &namespaces];
        arguments.extend(files.iter().flat_map(|file| ["--show-only", file]));
        let answer = chart.template(&own.name, &arguments)?;
        anyhow::ensure!(answer.is_good, "{files:?}: {}", answer.complaint);
        let output = kubectl(&["apply", "--server-side", "-f", "-"], Some(&answer.text))?;
        anyhow::ensure!(output.status.success(), "{files:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(Self { text: answer.text })
    }
}

#[cfg(test)]
impl Drop for Applied {
    fn drop(&mut self) {
        let _ = kubectl(&["delete", "--ignore-not-found", "-f", "-"], Some(&self.text));
    }
}

/// Runs kubectl, with a text on its standard input if there is one.
pub(super) fn kubectl(arguments: &[&str], input: Option<&str>) -> anyhow::Result<Output> {
    let mut command = Command::new("kubectl");
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    let mut child = command.spawn().context("cannot start kubectl")?;
    if let Some((text, mut stdin)) = input.zip(child.stdin.take()) {
        stdin.write_all(text.as_bytes()).context("kubectl does not read its input")?;
    }
    child.wait_with_output().context("kubectl")
}

/// One sentence for each profile that the API server does not take.
pub(super) fn faults(chart: &Chart) -> anyhow::Result<Vec<String>> {
    let own = Namespace::make("helm")?;
    let games = Namespace::make("helm-games")?;
    let mut faults = Vec::new();
    for profile in PROFILES {
        let namespaces = format!("gameNamespaces={{{}}}", games.name);
        let answer = chart.template(
            &own.name,
            &["--values", profile, "--set", &namespaces, "--set", OFF, "--set", "allocator.dropIn.enabled=true"],
        )?;
        if !answer.is_good {
            faults.push(format!("{profile}: does not render:\n{}", answer.complaint));
            continue;
        }
        // Nobody owns anything of a dry run, and the CRDs may belong to a release.
        let apply = ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "-f", "-"];
        let output = kubectl(&apply, Some(&answer.text))?;
        if !output.status.success() {
            faults.push(format!("{profile}: the API server refuses it:\n{}", String::from_utf8_lossy(&output.stderr)));
        }
    }
    Ok(faults)
}
