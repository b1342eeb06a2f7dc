//! `cargo xtask deep`: the same tests with bigger numbers, minutes to hours. Each can be chosen, and scaled down.

mod kwok;
mod operator_process;

use clap::{Args, ValueEnum};

use crate::command::{cargo, step};
use crate::{e2e, fuzz, schemathesis, simulate};

/// What to run, and how much of it.
#[derive(Args)]
pub(crate) struct Options {
    /// What to run, instead of everything: without KUBECONFIG that is what needs no cluster.
    #[arg(long, value_delimiter = ',', value_name = "WHAT")]
    only: Vec<What>,
    /// Seeds of simulated matches, each of 300 s.
    #[arg(long, default_value_t = 2_000)]
    matches: u64,
    /// Hostile inputs per fuzz target.
    #[arg(long, default_value_t = 100_000_000)]
    inputs: u64,
    /// Kills on the local provider.
    #[arg(long, default_value_t = 10_000)]
    local_kills: u32,
    /// Average pause between two of them, in milliseconds.
    #[arg(long, default_value_t = 140)]
    pause_ms: u32,
    /// Times that the local kills' limits are stretched by, on a slow machine.
    #[arg(long, default_value_t = 1)]
    patience: u32,
    /// Kills of metagame and its database, on each engine.
    #[arg(long, default_value_t = 1_000)]
    money_kills: u32,
    /// Cases of schemathesis for each operation of the metagame API.
    #[arg(long, default_value_t = 200)]
    cases: u32,
    /// Cuts of sessions of the realtime gateway, at one gateway and at two.
    #[arg(long, default_value_t = 20_000)]
    cuts: u32,
    /// Kills and cut connections on the cluster.
    #[arg(long, default_value_t = 500)]
    cluster_kills: u32,
    /// Nodes of `kwok`.
    #[arg(long, default_value_t = 1_000)]
    nodes: u32,
    /// Game servers of `kwok`.
    #[arg(long, default_value_t = 10_000)]
    servers: u32,
    /// Seed of what is random; random where it is not given, and always printed.
    #[arg(long)]
    seed: Option<u64>,
    /// Build programs without optimisation: sooner built, slower.
    #[arg(long)]
    dev: bool,
    /// Command that brings image archives onto the cluster's nodes; see `cargo xtask e2e --help`.
    #[arg(long, env = "MUSTER_E2E_LOAD", value_name = "COMMAND")]
    load: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// Simulated matches over bad networks.
    Simulate,
    /// Hostile input for everything that reads bytes from outside.
    Fuzz,
    /// kill -9 of allocator and game servers on the local provider, with a checked history.
    Local,
    /// kill -9 of metagame and of its database while money moves, with checked books.
    Money,
    /// The metagame API against its document.
    Schemathesis,
    /// Connections of the realtime gateway that break anywhere, with counted messages.
    Cuts,
    /// Kills and cut API connections on a cluster, with a checked history.
    Cluster,
    /// A full rollout of a large fleet on a real API server: servers and nodes that are nothing but objects.
    Kwok,
}

impl What {
    const WITHOUT_CLUSTER: [Self; 6] =
        [Self::Simulate, Self::Fuzz, Self::Local, Self::Money, Self::Schemathesis, Self::Cuts];
    const WITH_CLUSTER: [Self; 2] = [Self::Cluster, Self::Kwok];
}

/// Runs what was chosen, one after the other; the first that fails ends it.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    for what in chosen(options, std::env::var_os("KUBECONFIG").is_some()) {
        match what {
            What::Simulate => simulate::deep(options.matches)?,
            What::Fuzz => fuzz::deep(options.inputs)?,
            What::Local => local(options)?,
            What::Money => money(options)?,
            What::Schemathesis => schemathesis::look(options.cases, options.seed, !options.dev)?,
            What::Cuts => cuts(options)?,
            What::Cluster => e2e::kills(options.cluster_kills, options.seed, options.load.clone(), !options.dev)?,
            What::Kwok => kwok::run(&kwok::Size { nodes: options.nodes, servers: options.servers }, !options.dev)?,
        }
    }
    Ok(())
}

fn chosen(options: &Options, has_cluster: bool) -> Vec<What> {
    if !options.only.is_empty() {
        return options.only.clone();
    }
    let mut all = What::WITHOUT_CLUSTER.to_vec();
    if has_cluster {
        all.extend(What::WITH_CLUSTER);
    } else {
        println!("no KUBECONFIG: kills on a cluster and the large fleet are left out");
    }
    all
}

/// `muster kills`, as the tests run it with a hundred.
fn local(options: &Options) -> anyhow::Result<()> {
    let mut command = cargo();
    command.args(["run", "--quiet", "--package", "muster"]);
    if !options.dev {
        command.arg("--release");
    }
    command.args(["--", "kills", "--kills", &options.local_kills.to_string()]);
    command.args(["--pause-ms", &options.pause_ms.to_string(), "--patience", &options.patience.to_string()]);
    if let Some(seed) = options.seed {
        command.args(["--seed", &seed.to_string()]);
    }
    step("kills on the local provider", &mut command)
}

/// The test of thirty kills, with more of them.
fn money(options: &Options) -> anyhow::Result<()> {
    let mut command = cargo();
    command.args(["test", "--workspace", "--test", "money"]);
    if !options.dev {
        command.arg("--release");
    }
    // One engine after the other: each has the machine for itself.
    command.args(["--", "--nocapture", "--test-threads=1"]);
    command.env("MUSTER_MONEY_KILLS", options.money_kills.to_string());
    if let Some(seed) = options.seed {
        command.env("MUSTER_MONEY_SEED", seed.to_string());
    }
    step("kills while money moves", &mut command)
}

/// The test of a few hundred cuts, with more of them.
fn cuts(options: &Options) -> anyhow::Result<()> {
    let mut command = cargo();
    command.args(["test", "--workspace", "--test", "cuts"]);
    if !options.dev {
        command.arg("--release");
    }
    command.args(["--", "--nocapture", "--test-threads=1"]);
    command.env("MUSTER_CUTS", options.cuts.to_string());
    if let Some(seed) = options.seed {
        command.env("MUSTER_CUTS_SEED", seed.to_string());
    }
    step("cuts of the realtime gateway's sessions", &mut command)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn chosen_by(args: &[&str], has_cluster: bool) -> Vec<What> {
        chosen(&Line::parse_from(std::iter::once(&"deep").chain(args)).options, has_cluster)
    }

    #[test]
    fn a_cluster_is_used_where_there_is_one_and_a_choice_is_obeyed() {
        assert_eq!(chosen_by(&[], false), What::WITHOUT_CLUSTER);
        assert_eq!(chosen_by(&[], true).len(), What::WITHOUT_CLUSTER.len() + What::WITH_CLUSTER.len());
        assert_eq!(chosen_by(&["--only", "kwok,local"], false), [What::Kwok, What::Local]);
    }
}
