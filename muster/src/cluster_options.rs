//! What the programs are told when they run on Kubernetes.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use cluster::jwks::Callers;
use kube::Client;
use service::token::ServiceTokens;

use crate::exit::Failure;

/// Where Muster's resources are.
#[derive(Debug, Clone, Args)]
pub(crate) struct ClusterOptions {
    /// Read Muster's resources from Kubernetes: from the cluster that this pod is in, or the one that KUBECONFIG names.
    #[arg(long, env = "MUSTER_KUBERNETES", help_heading = "Kubernetes")]
    pub(crate) kubernetes: bool,
    #[command(flatten)]
    pub(crate) games: GameNamespaces,
}

/// Where the games are.
#[derive(Debug, Clone, Args)]
pub(crate) struct GameNamespaces {
    /// Namespaces of GameFleets, MatchQueues and game servers.
    #[arg(
        long = "game-namespaces",
        env = "MUSTER_GAME_NAMESPACES",
        value_name = "NAMES",
        value_delimiter = ',',
        default_value = "default",
        help_heading = "Kubernetes"
    )]
    given: Vec<String>,
}

/// Who this program is on Kubernetes, and whom it trusts. Nothing of it counts without --kubernetes.
#[derive(Debug, Clone, Args)]
pub(crate) struct AccessOptions {
    /// Namespace of its own; without it, that of the kubeconfig.
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAME", help_heading = "Kubernetes")]
    pub(crate) namespace: Option<String>,
    /// Folder with its service-account tokens, one file per audience, named by it.
    #[arg(
        long,
        env = "MUSTER_TOKENS",
        value_name = "FOLDER",
        default_value = "/var/run/secrets/muster.dev",
        help_heading = "Kubernetes"
    )]
    pub(crate) tokens: PathBuf,
    /// Folder with the key files that the operator has made.
    #[arg(
        long,
        env = "MUSTER_KEYS",
        value_name = "FOLDER",
        default_value = "/etc/muster/keys",
        help_heading = "Kubernetes"
    )]
    pub(crate) keys: PathBuf,
    /// Accounts that may call: NAMESPACE:ACCOUNT,… where the account ends in -PROGRAM, or NAMESPACE:ACCOUNT=PROGRAM.
    #[arg(
        long,
        env = "MUSTER_CALLERS",
        value_name = "ACCOUNTS",
        default_value = "",
        hide_default_value = true,
        help_heading = "Kubernetes"
    )]
    pub(crate) callers: Callers,
    /// host:port at which other pods reach this one; without it, POD_IP and the port it listens on.
    #[arg(long, value_name = "ADDRESS", help_heading = "Kubernetes")]
    pub(crate) advertise: Option<String>,
}

impl AccessOptions {
    /// Tokens that Kubernetes keeps fresh.
    pub(crate) fn tokens(&self) -> ServiceTokens {
        ServiceTokens::in_folder(&self.tokens)
    }

    /// The namespace of its own.
    pub(crate) fn namespace(&self, client: &Client) -> String {
        self.namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned())
    }

    /// Where other pods reach it, if that is known.
    pub(crate) fn advertise(&self, listen: SocketAddr) -> Option<String> {
        let pod = || Some(format!("{}:{}", std::env::var("POD_IP").ok()?, listen.port()));
        self.advertise.clone().or_else(|| pod().filter(|_| listen.port() != 0))
    }
}

/// Name of this pod, or of this machine.
pub(crate) fn pod_name() -> String {
    let host = || rustix::system::uname().nodename().to_string_lossy().into_owned();
    std::env::var("POD_NAME").unwrap_or_else(|_| host())
}

impl GameNamespaces {
    /// Each once.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for name in self.given.iter().map(|name| name.trim()).filter(|name| !name.is_empty()) {
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
        names
    }
}

/// A client of the cluster that this pod is in, or that KUBECONFIG names.
pub(crate) async fn client() -> Result<Client, Failure> {
    Client::try_default().await.map_err(|error| {
        Failure::setup(format!("no Kubernetes cluster: {error}"))
            .help("run in a pod with a service account, or name a kubeconfig with KUBECONFIG")
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        games: GameNamespaces,
    }

    #[test]
    fn namespaces_are_a_list_and_each_counts_once() {
        let names = |args: &[&str]| Line::parse_from(["x"].iter().chain(args)).games.names();
        assert_eq!(names(&["--game-namespaces", "a, b,a,"]), ["a", "b"]);
        assert_eq!(names(&[]), ["default"]);
    }
}
