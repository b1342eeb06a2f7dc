//! The benches behind docs/benchmarks.md: one name each, on the real release profile.

use clap::{Args, ValueEnum};

use crate::command::{cargo, quietly, root, step};

/// What to measure.
#[derive(Args)]
pub(crate) struct Options {
    /// Which bench.
    what: What,
    /// `json`: one object on stdout, where the bench has it.
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<String>,
    /// Passed on to the bench: a number is how many seconds each of its runs takes.
    #[arg(last = true)]
    rest: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// Packets and handshakes of the endpoint.
    Packets,
    /// Snapshots: encode, decode, record.
    Replication,
    /// The matchmaker's search pass.
    Search,
    /// A whole game server with 64 clients: CPU per tick, bytes per client.
    Server,
    /// The allocator: latency and rate.
    Allocation,
    /// Login, ticket, match, join token.
    Sessions,
    /// Muster beside renet and quinn.
    Peers,
    /// Metagame's API on PostgreSQL, SQLite and Redis. More after `--`: seconds of each row, `--only ROW,…`.
    Metagame,
    /// Agones' allocation API beside the API server's own rate; needs a cluster: KUBECONFIG. A number is rounds.
    DropIn,
    /// The warm pool at 2,100 matches per second; needs a cluster: KUBECONFIG. More after `--`: see the bench's header.
    KubernetesPool,
    /// All that need no cluster, one after another: about ten minutes.
    All,
}

impl What {
    const EACH: [Self; 7] =
        [Self::Packets, Self::Replication, Self::Search, Self::Server, Self::Allocation, Self::Sessions, Self::Peers];

    /// Package and bench; none for what is a workspace of its own.
    fn bench(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Packets => Some(("netcode", "packets")),
            Self::Replication => Some(("netcode", "replication")),
            Self::Search => Some(("matchmaker", "search")),
            Self::Server => Some(("gameserver", "server")),
            Self::Allocation => Some(("allocator", "allocation")),
            Self::Sessions => Some(("loadtest", "sessions")),
            Self::Metagame => Some(("loadtest", "metagame")),
            Self::DropIn => Some(("allocator", "drop_in")),
            Self::KubernetesPool => Some(("allocator", "kubernetes_pool")),
            Self::Peers | Self::All => None,
        }
    }
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let chosen: &[What] = if options.what == What::All { &What::EACH } else { &[options.what] };
    for what in chosen {
        let Some((package, bench)) = what.bench() else {
            peers(&options.rest)?;
            continue;
        };
        let mut command = cargo();
        command.args(["bench", "--quiet", "--package", package, "--bench", bench]);
        command.arg("--").args(&options.rest);
        if let Some(format) = &options.output {
            // Nothing but the bench's object on stdout.
            quietly(command.args(["-o", format]))?;
        } else {
            step(bench, &mut command)?;
        }
    }
    Ok(())
}

/// The peers are no part of this workspace; they build beside it.
fn peers(rest: &[String]) -> anyhow::Result<()> {
    let mut command = cargo();
    command.current_dir(root().join("loadtest/peers"));
    command.args(["run", "--quiet", "--release", "--target-dir"]).arg(root().join("target/peers"));
    command.arg("--").args(rest);
    step("peers", &mut command)
}
