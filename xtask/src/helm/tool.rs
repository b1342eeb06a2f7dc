//! The helm that reads the chart: one version for everybody, so that renders and refusals read the same everywhere.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use crate::command::step;

/// Helm 3, the newest of it.
const VERSION: &str = "v3.22.0";

/// The program: from PATH if it is that version, else from the user's cache, built there once by Go.
pub(crate) fn helm() -> anyhow::Result<PathBuf> {
    let on_path = PathBuf::from("helm");
    if is_right(&on_path) {
        return Ok(on_path);
    }
    let folder = cache()?.join(format!("helm-{VERSION}"));
    let program = folder.join("helm");
    if !is_right(&program) {
        install(&folder)?;
    }
    Ok(program)
}

/// A build by Go says v3.22, a release v3.22.0.
fn is_right(program: &Path) -> bool {
    let asked = Command::new(program).args(["version", "--template", "{{.Version}}"]).stderr(Stdio::null()).output();
    let minor = VERSION.rsplit_once('.').map_or(VERSION, |(minor, _)| minor);
    asked.is_ok_and(|answer| String::from_utf8_lossy(&answer.stdout).trim().starts_with(minor))
}

fn install(folder: &Path) -> anyhow::Result<()> {
    if !Command::new("go").arg("version").stdout(Stdio::null()).status().is_ok_and(|status| status.success()) {
        bail!("the chart is checked with helm {VERSION}: install it from https://helm.sh, or Go, which builds it here");
    }
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut go = Command::new("go");
    go.args(["install", &format!("helm.sh/helm/v3/cmd/helm@{VERSION}")]).env("GOBIN", folder).env("GOFLAGS", "");
    step(&format!("building helm {VERSION}, once, in {}", folder.display()), &mut go)
}

fn cache() -> anyhow::Result<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let base = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
    Ok(base.context("neither XDG_CACHE_HOME nor HOME is set: nowhere to keep helm")?.join("muster-tools"))
}
