//! `kubectl` and `helm`, with what they said when they fail.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::Value;

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// Fails where no API server answers.
pub(crate) fn reachable() -> anyhow::Result<()> {
    output("kubectl", &["get", "--raw", "/readyz", "--request-timeout=10s"]).map(drop)
}

/// What a program printed.
pub(crate) fn output(program: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(program).args(arguments).output().with_context(|| format!("cannot start {program}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{program} {}: {}", arguments.join(" "), said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What `kubectl` printed.
pub(crate) fn kubectl(arguments: &[&str]) -> anyhow::Result<String> {
    output("kubectl", arguments)
}

/// Applies manifests, server-side and strictly. The error is what the API server said.
pub(crate) fn apply(manifests: &str) -> anyhow::Result<()> {
    feed(&["apply", "--server-side", "--force-conflicts", "--validate=strict", "-f", "-"], manifests).map(drop)
}

/// Runs `kubectl` with a text on its standard input.
pub(crate) fn feed(arguments: &[&str], text: &str) -> anyhow::Result<String> {
    let mut command = Command::new("kubectl");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context("cannot start kubectl")?;
    child.stdin.take().context("kubectl has no input")?.write_all(text.as_bytes())?;
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("kubectl {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// An object or a list of them as JSON.
pub(crate) fn get(arguments: &[&str]) -> anyhow::Result<Value> {
    let text = kubectl(&[&["get"], arguments, &["-o", "json"]].concat())?;
    serde_json::from_str(&text).context("kubectl printed no JSON")
}

/// The items of a list.
pub(crate) fn items(arguments: &[&str]) -> anyhow::Result<Vec<Value>> {
    let mut list = get(arguments)?;
    match list["items"].take() {
        Value::Array(items) => Ok(items),
        _ => bail!("kubectl get {} is no list", arguments.join(" ")),
    }
}

/// Looks until the condition gives something. How long it took comes with it.
///
/// # Errors
/// After `limit`, with what the last look said.
pub(crate) fn wait<T>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> anyhow::Result<Result<T, String>>,
) -> anyhow::Result<(T, Duration)> {
    let start = Instant::now();
    loop {
        // A look that fails is like one that sees nothing yet: the API server may be away for a moment.
        let said = match look() {
            Ok(Ok(found)) => return Ok((found, start.elapsed())),
            Ok(Err(said)) => said,
            Err(error) => format!("{error:#}"),
        };
        if start.elapsed() > limit {
            bail!("{what}: not within {limit:?}; last seen: {said}");
        }
        std::thread::sleep(LOOK);
    }
}
