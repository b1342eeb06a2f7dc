//! `agones-standin`: plays Agones for tests, where Agones itself cannot be had. Never for production.

use std::net::IpAddr;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use cluster::standin::{IMAGE, StandinError, controller, game, sidecar};
use kube::Client;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// Plays Agones for tests: moves Fleets and GameServers through Agones' states on a real cluster. Never for production.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    part: Part,
}

#[derive(Subcommand)]
enum Part {
    /// Fleets, GameServers, pods and the create webhook, until it is stopped; on a host with KUBECONFIG, or in a pod.
    Controller {
        /// Namespaces of the game servers, separated by commas.
        #[arg(long, value_delimiter = ',', default_value = "default")]
        namespaces: Vec<String>,
        /// The lowest host port to hand out.
        #[arg(long, default_value_t = 7000)]
        port_min: u16,
        /// The highest host port to hand out.
        #[arg(long, default_value_t = 8000)]
        port_max: u16,
        /// Image of the SDK server beside each game server.
        #[arg(long, default_value = IMAGE)]
        sidecar_image: String,
        /// Port of the create webhook; 0 lets the system choose.
        #[arg(long, default_value_t = 0)]
        webhook_port: u16,
        /// Also serve the API of GameServerAllocation, of which a cluster has only one.
        #[arg(long)]
        allocation_api: bool,
        /// Address under which the API server reaches the webhook [default: the one that this process uses towards it].
        #[arg(long, env = "POD_IP")]
        reach: Option<IpAddr>,
        /// Make every new GameServer of a Fleet a development server at this address: no pod, and Ready at once.
        #[arg(long)]
        dev_address: Option<String>,
    },
    /// A game server without a game, which does what an annotation of its GameServer tells it.
    Game {
        /// Port of the SDK's gRPC on loopback.
        #[arg(long, env = "AGONES_SDK_GRPC_PORT", default_value_t = 9357)]
        sdk_port: u16,
        /// What it does first: ready, allocate, reserve SECONDS, shutdown, fall-silent, exit STATUS.
        #[arg(long, default_value = "ready")]
        first: String,
    },
    /// The SDK server beside a game server, in its pod.
    Sidecar {
        /// Port of the SDK's gRPC on loopback.
        #[arg(long, default_value_t = 9357)]
        grpc_port: u16,
        /// Name of the GameServer.
        #[arg(long, env = "GAMESERVER_NAME")]
        name: String,
        /// Its namespace.
        #[arg(long, env = "POD_NAMESPACE")]
        namespace: String,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match run(Cli::parse().part).await {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            tracing::error!(%error, "the stand-in ends");
            ExitCode::FAILURE
        }
    }
}

/// The exit status of the part.
async fn run(part: Part) -> Result<u8, StandinError> {
    let connect = async || Client::try_default().await.map_err(|source| StandinError::Cluster(Box::new(source)));
    let stop = on_signal();
    match part {
        Part::Controller {
            namespaces,
            port_min,
            port_max,
            sidecar_image,
            webhook_port,
            allocation_api,
            reach,
            dev_address,
        } => {
            let config = controller::Config {
                namespaces,
                ports: port_min..=port_max,
                sidecar_image,
                webhook_port,
                allocation_api,
                reach,
                dev_address,
            };
            controller::run(config, connect().await?, stop, || tracing::info!("ready")).await?;
        }
        Part::Sidecar { grpc_port, name, namespace } => {
            sidecar::run(sidecar::Config::in_pod(name, namespace, grpc_port), connect().await?, stop).await?;
        }
        Part::Game { sdk_port, first } => {
            // SIGTERM ends it as it ends a game server that has nothing to save.
            let ended = stop.run_until_cancelled(game::run(sdk_port, &first)).await;
            let served = |source: tonic::Status| StandinError::Serve { what: "the game", source: source.into() };
            return ended.unwrap_or(Ok(0)).map_err(served);
        }
    }
    Ok(0)
}

/// Cancelled by SIGTERM or SIGINT.
fn on_signal() -> CancellationToken {
    let stop = CancellationToken::new();
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let stop = stop.clone();
        let mut signal = signal(kind).expect("the runtime takes signals");
        tokio::spawn(async move {
            signal.recv().await;
            stop.cancel();
        });
    }
    stop
}
