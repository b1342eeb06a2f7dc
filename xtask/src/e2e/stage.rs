//! What the scenarios share: namespaces, the chart, the fleet, and what is left of them at the end.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;

use super::Options;
use super::agones::Agones;
use super::bots::{Crowd, Played};
use super::images::IMAGE;
use super::kubectl::{self, get, kubectl, output};
use super::witness::Witness;
use crate::command::root;

/// Namespace of Muster's programs.
pub(crate) const SYSTEM: &str = "muster-system";
/// Namespace of game servers.
pub(crate) const GAMES: &str = "muster-e2e";
/// Namespace of the previous Muster, which knows no chart.
pub(crate) const UPGRADE: &str = "muster-e2e-upgrade";
/// Name of the chart's release.
pub(crate) const RELEASE: &str = "muster";
/// Patience with anything that the cluster does.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// What the scenarios share.
#[derive(Debug)]
pub(crate) struct Stage {
    /// Who plays Agones.
    pub(crate) agones: String,
    /// Seed of what is random.
    pub(crate) seed: u64,
    /// Kills of the scenario `kills`.
    pub(crate) kills: u32,
    /// Edition of the fleet that is stable.
    pub(crate) edition: u32,
    /// Images were built with optimisation.
    pub(crate) release: bool,
    /// What a scenario measured.
    pub(crate) figures: BTreeMap<&'static str, f64>,
    /// Crowds that have played in a scenario.
    pub(crate) played: Vec<Played>,
    /// Watches game servers all the while.
    pub(crate) witness: Witness,
    _agones: Agones,
}

impl Stage {
    /// An empty cluster, but for Agones.
    pub(crate) fn set(options: &Options, seed: u64) -> anyhow::Result<Self> {
        clear_all()?;
        for namespace in [SYSTEM, GAMES, UPGRADE] {
            kubectl(&["create", "namespace", namespace])?;
        }
        let agones = Agones::find_or_play(&[GAMES, UPGRADE], options.release)?;
        let witness = Witness::begin()?;
        Ok(Self {
            agones: agones.name.to_owned(),
            seed,
            kills: options.kills,
            edition: 1,
            release: options.release,
            figures: BTreeMap::new(),
            played: Vec::new(),
            witness,
            _agones: agones,
        })
    }

    /// Notes something measured.
    pub(crate) fn figure(&mut self, name: &'static str, value: f64) {
        self.figures.insert(name, (value * 1_000.0).round() / 1_000.0);
    }

    /// Bots on the fleet's queue, half of them on QUIC.
    pub(crate) fn crowd<'a>(&self, name: &'a str, players: u32, seconds: u64) -> Crowd<'a> {
        Crowd {
            name,
            namespace: GAMES,
            image: IMAGE,
            url: format!("http://{RELEASE}-metagame.{SYSTEM}:7100"),
            queue: super::manifests::QUEUE,
            players,
            seconds,
            udp_share: 0.5,
            // Accounts of its own.
            seed: name.bytes().fold(self.seed, |seed, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte))),
            history: false,
        }
    }

    /// Installs the chart, or changes what is installed.
    pub(crate) fn helm(&self, more: &[&str]) -> anyhow::Result<()> {
        let chart = chart();
        let chart = chart.to_str().context("the repository's path is no text")?;
        let dev = format!("{chart}/values-dev.yaml");
        let (repository, tag) = IMAGE.rsplit_once(':').context("an image has a tag")?;
        let repository = format!("image.repository={repository}");
        let tag = format!("image.tag={tag}");
        let games = format!("gameNamespaces={{{GAMES}}}");
        let fixed = [
            "upgrade",
            "--install",
            RELEASE,
            chart,
            "--namespace",
            SYSTEM,
            "-f",
            &dev,
            "--set",
            &repository,
            "--set",
            &tag,
            "--set",
            &games,
            "--set",
            "demo.enabled=false",
            "--take-ownership",
            "--wait",
            "--timeout",
            "120s",
        ];
        output(&helm_program()?, &[&fixed, more].concat()).map(drop)
    }

    /// On stderr, for whoever reads a failed run.
    pub(crate) fn tell_what_is_there(&self) {
        for (namespace, what) in [(SYSTEM, "pods"), (GAMES, "gamefleets,matchqueues,fleets,gameservers,pods,jobs")] {
            let text = kubectl(&["-n", namespace, "get", what, "-o", "wide"]);
            eprintln!("{}", text.unwrap_or_else(|error| format!("{error:#}")));
        }
        for program in ["operator", "allocator", "matchmaker", "metagame"] {
            let log = kubectl(&["-n", SYSTEM, "logs", &format!("deploy/{RELEASE}-{program}"), "--tail=25"]);
            eprintln!("-- {program}\n{}", log.unwrap_or_else(|error| format!("{error:#}")));
        }
    }

    /// Takes everything away again.
    pub(crate) fn clear(&self) -> anyhow::Result<()> {
        clear_all()
    }
}

fn helm_program() -> anyhow::Result<String> {
    Ok(crate::helm::tool::helm()?.display().to_string())
}

/// The chart.
fn chart() -> PathBuf {
    root().join("helm/muster")
}

/// Whatever a run left, this one or an earlier one that was ended in the middle.
fn clear_all() -> anyhow::Result<()> {
    let nodes = kubectl(&["get", "nodes", "-o", "name"])?;
    for node in nodes.lines() {
        kubectl(&["uncordon", node])?;
    }
    if kubectl::get(&["namespace", GAMES]).is_err() && get(&["namespace", SYSTEM]).is_err() {
        return Ok(());
    }
    // The operator lets GameFleets go when their matches have ended; without one nobody would.
    output(
        &helm_program()?,
        &["uninstall", RELEASE, "--namespace", SYSTEM, "--no-hooks", "--wait", "--ignore-not-found"],
    )
    .ok();
    for namespace in [GAMES, UPGRADE] {
        let kinds =
            ["gamefleets.muster.dev", "fleets.agones.dev", "gameserversets.agones.dev", "gameservers.agones.dev"];
        for kind in kinds {
            kubectl(&["-n", namespace, "delete", kind, "--all", "--wait=false"]).ok();
        }
        for kind in ["gamefleets.muster.dev", "gameservers.agones.dev"] {
            let names = kubectl(&["-n", namespace, "get", kind, "-o", "name"]).unwrap_or_default();
            for name in names.lines() {
                kubectl(&["-n", namespace, "patch", name, "--type=merge", "-p", r#"{"metadata":{"finalizers":null}}"#])
                    .ok();
            }
        }
    }
    for namespace in [GAMES, UPGRADE, SYSTEM] {
        kubectl(&["delete", "namespace", namespace, "--ignore-not-found", "--timeout=180s"])?;
    }
    Ok(())
}
