//! The static gates: what must hold before anything runs.

use std::process::{Command, Stdio};

use anyhow::bail;

use crate::command::{cargo, root, step};
use crate::{asvs, deploy, helm, layers, telemetry, tidy};

/// The cargo-deny that reads `deny.toml`; another version may read it otherwise.
const CARGO_DENY: &str = "0.20.2";

pub(crate) fn run() -> anyhow::Result<()> {
    step("formatting", cargo().args(["fmt", "--all", "--check"]))?;
    println!("== layers");
    report(&layers::faults(&layers::read()?))?;
    println!("== tidy");
    report(&tidy::faults(&root())?)?;
    helm::check()?;
    println!("== dashboards, alerts, runbooks");
    report(&telemetry::faults(&root())?)?;
    println!("== OWASP ASVS");
    report(&asvs::faults(&root())?)?;
    println!("== compose, manifests");
    report(&deploy::faults(&root())?)?;
    let clippy = ["clippy", "--workspace", "--all-targets", "--quiet", "--", "--deny", "warnings"];
    step("clippy", cargo().args(clippy))?;
    let docs = ["doc", "--workspace", "--no-deps", "--document-private-items", "--quiet"];
    step("docs", cargo().args(docs).env("RUSTDOCFLAGS", "--deny warnings"))?;
    deny()
}

fn deny() -> anyhow::Result<()> {
    if !has_cargo_deny() {
        let install = ["install", "cargo-deny", "--locked", "--quiet", "--version", CARGO_DENY];
        // A target folder of its own: the workspace's is for the workspace.
        let target = std::env::temp_dir().join("muster-cargo-deny");
        step("install cargo-deny", cargo().args(install).env("CARGO_TARGET_DIR", target))?;
    }
    step("dependencies", cargo().args(["deny", "--log-level", "error", "check", "bans", "licenses", "sources"]))
}

fn has_cargo_deny() -> bool {
    let asked = Command::new("cargo-deny").arg("--version").stderr(Stdio::null()).output();
    asked.is_ok_and(|answer| String::from_utf8_lossy(&answer.stdout).trim().ends_with(CARGO_DENY))
}

fn report(faults: &[String]) -> anyhow::Result<()> {
    for fault in faults {
        println!("{fault}");
    }
    if !faults.is_empty() {
        bail!("{} faults", faults.len());
    }
    Ok(())
}
