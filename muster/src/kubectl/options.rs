//! The command line of `kubectl muster`.

use clap::{Args, Subcommand, ValueEnum};

/// Look at Muster on a cluster, drain servers, steer rollouts. As `kubectl-muster` on the PATH it is `kubectl muster`.
#[derive(Debug, Clone, Args)]
pub(crate) struct KubectlOptions {
    #[command(subcommand)]
    pub(crate) task: KubectlTask,
    #[command(flatten)]
    pub(crate) scope: Scope,
    /// What to print on stdout.
    #[arg(short, long, global = true, value_enum, default_value = "table")]
    pub(crate) output: TableOrJson,
}

/// Which cluster and which part of it.
#[derive(Debug, Clone, Args)]
pub(crate) struct Scope {
    /// Namespace to look at; without it the kubeconfig's.
    #[arg(short, long, global = true, value_name = "NAME", conflicts_with = "all_namespaces")]
    pub(crate) namespace: Option<String>,
    /// Look at every namespace.
    #[arg(short = 'A', long, global = true)]
    pub(crate) all_namespaces: bool,
    /// Context of the kubeconfig; without it the present one.
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) context: Option<String>,
}

/// Form of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TableOrJson {
    /// For people.
    Table,
    /// One JSON object, for scripts.
    Json,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum KubectlTask {
    /// Fleets and queues at a glance, and what is wrong with them.
    Status,
    /// GameFleets: servers, matches, free rooms, rollout.
    Fleets,
    /// MatchQueues: who waits, and for how long.
    Queues,
    /// Game servers: state, node, address, revision, drain.
    Servers {
        /// Those of one GameFleet only.
        fleet: Option<String>,
    },
    /// Matches that run, by the word of the game servers that host them.
    Matches {
        /// Those of one GameFleet only.
        fleet: Option<String>,
    },
    /// Let servers finish their matches and leave; others take their place.
    Drain {
        /// What leaves.
        #[arg(value_enum)]
        what: Drained,
        /// Name of the game server, GameFleet or node.
        name: String,
        #[command(flatten)]
        order: DrainOrder,
    },
    /// Show or steer how a new build takes over.
    Rollout {
        /// What to do.
        #[arg(value_enum)]
        task: RolloutTask,
        /// The GameFleet.
        fleet: String,
    },
}

/// What can be drained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Drained {
    /// One game server.
    Server,
    /// Every server that a GameFleet has now; new ones take their place.
    Fleet,
    /// A node: it is cordoned, and its game servers drain.
    Node,
}

/// How it leaves.
#[derive(Debug, Clone, Args)]
pub(crate) struct DrainOrder {
    /// How long its matches may go on; without it what the GameFleet says. A node's servers have what their fleets say.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(10..=86_400))]
    pub(crate) deadline_seconds: Option<u32>,
    /// Why, for the logs and for whoever looks.
    #[arg(long, value_name = "TEXT", default_value = "drained by hand")]
    pub(crate) reason: String,
}

/// What can be done with a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RolloutTask {
    /// Show the revisions and where the rollout stands.
    Status,
    /// Stay at the present step.
    Pause,
    /// Go on.
    Resume,
    /// Give all new matches to the canary at once.
    Promote,
    /// Give all new matches to the stable revision again; the canary is not tried again until the template changes.
    Abort,
}
