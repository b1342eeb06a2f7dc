//! `muster operator`: keeps GameFleets and MatchQueues on Kubernetes.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use cluster::lease::Timing;

use crate::cli::{Common, local};
use crate::cluster_options::GameNamespaces;
use crate::exit::Failure;
use crate::services::until_signal;

/// How often the Lease is renewed in its duration.
const RENEWALS: u32 = 7;

#[derive(Debug, Clone, Args)]
pub(crate) struct OperatorOptions {
    #[command(flatten)]
    common: Common,
    /// Namespace of the operator itself, for its Lease and the Secrets that it makes; without it that of the pod or of the
    /// kubeconfig.
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAME")]
    namespace: Option<String>,
    #[command(flatten)]
    games: GameNamespaces,
    /// Name of this pod, for its Lease and its events.
    #[arg(long, env = "POD_NAME", value_name = "NAME", default_value = "muster-operator")]
    pod: String,
    /// Address of this pod, for its Lease; without it that of the admin port.
    #[arg(long, env = "POD_IP", value_name = "ADDRESS")]
    advertise: Option<String>,
    /// Where health and metrics are served.
    #[arg(long, env = "MUSTER_ADMIN_LISTEN", default_value_t = local(7141))]
    admin: SocketAddr,
    /// The admin port as Agones' controller reaches it, which asks there for the sizes of fleets with scaling.crashFloor;
    /// without it as it is bound.
    #[arg(long, env = "MUSTER_ADMIN_URL", value_name = "URL")]
    admin_url: Option<String>,
    /// The allocator, also for game servers.
    #[arg(long, env = "MUSTER_ALLOCATOR", default_value = "http://127.0.0.1:7110")]
    allocator: String,
    /// The allocator as game servers reach it, if that is another address.
    #[arg(long, env = "MUSTER_ALLOCATOR_FOR_SERVERS", value_name = "URL")]
    allocator_for_servers: Option<String>,
    /// The matchmaker.
    #[arg(long, env = "MUSTER_MATCHMAKER", default_value = "http://127.0.0.1:7120")]
    matchmaker: String,
    /// Metagame as game servers reach it.
    #[arg(long, env = "MUSTER_METAGAME", default_value = "http://127.0.0.1:7100")]
    metagame: String,
    /// Folder with a service-account token for each service that is called, named muster-allocator and muster-matchmaker.
    #[arg(long, env = "MUSTER_TOKENS", value_name = "FOLDER", default_value = "/var/run/secrets/muster.dev")]
    tokens: PathBuf,
    /// How long a leader's Lease stands; another leads so long after a crash at the latest.
    #[arg(long, value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u32).range(3..=300))]
    lease_seconds: u32,
    /// Make no TLS certificate for the allocator's Agones endpoint: somebody else does, such as cert-manager.
    #[arg(long, env = "MUSTER_NO_TLS")]
    no_tls: bool,
}

impl OperatorOptions {
    fn config(&self, kube: kube::Config) -> operator::Config {
        let duration = Duration::from_secs(self.lease_seconds.into());
        operator::Config {
            namespace: self.namespace.clone().unwrap_or_else(|| kube.default_namespace.clone()),
            kube,
            game_namespaces: self.games.names(),
            pod: self.pod.clone(),
            advertise: self.advertise.as_ref().map(|ip| format!("{ip}:{}", self.admin.port())),
            admin: self.admin,
            admin_url: self.admin_url.clone(),
            allocator: self.allocator.clone(),
            matchmaker: self.matchmaker.clone(),
            allocator_for_servers: self.allocator_for_servers.clone().unwrap_or_else(|| self.allocator.clone()),
            metagame_for_servers: self.metagame.clone(),
            tokens: self.tokens.clone(),
            timing: Timing { duration, retry: duration / RENEWALS },
            tls_names: if self.no_tls { Vec::new() } else { tls_names(&self.allocator) },
        }
    }
}

/// The host of a URL, its shorter forms inside a cluster, and this machine for a forwarded port.
fn tls_names(url: &str) -> Vec<String> {
    let host = url.split("://").nth(1).unwrap_or(url).split(['/', ':']).next().unwrap_or_default();
    let mut names = vec![host.to_owned(), "localhost".to_owned()];
    if let Some((short, _)) = host.split_once('.').filter(|_| host.parse::<std::net::IpAddr>().is_err()) {
        names.push(short.to_owned());
        names.extend(host.strip_suffix(".svc").map(|_| format!("{host}.cluster.local")));
    }
    names.sort();
    names.dedup();
    names
}

/// Runs the operator until Ctrl-C or SIGTERM.
pub(crate) fn run(options: &OperatorOptions) -> Result<ExitCode, Failure> {
    options.common.start_logs();
    until_signal(|shutdown| async move {
        let kube = kube::Config::infer().await.map_err(|error| {
            Failure::setup(format!("no Kubernetes cluster: {error}"))
                .help("run in a pod with a service account, or name a kubeconfig with KUBECONFIG")
        })?;
        let running = operator::start(options.config(kube), shutdown).await.map_err(Failure::setup)?;
        running.wait().await.map_err(Failure::run)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_certificate_has_every_name_of_the_allocator() {
        let names = tls_names("http://muster-allocator.muster-system.svc:7110");
        assert_eq!(
            names,
            [
                "localhost",
                "muster-allocator",
                "muster-allocator.muster-system.svc",
                "muster-allocator.muster-system.svc.cluster.local"
            ]
        );
        assert_eq!(tls_names("http://127.0.0.1:7110"), ["127.0.0.1", "localhost"]);
    }
}
