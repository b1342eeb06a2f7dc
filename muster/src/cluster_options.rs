//! What the programs are told when they run on Kubernetes.

use clap::Args;
use kube::Client;

use crate::exit::Failure;

/// Where Muster's resources are.
#[derive(Debug, Clone, Args)]
pub(crate) struct ClusterOptions {
    /// Read Muster's resources from Kubernetes: from the cluster that this pod is in, or the one that KUBECONFIG names.
    #[arg(long, env = "MUSTER_KUBERNETES", help_heading = "Kubernetes")]
    pub(crate) kubernetes: bool,
    /// Namespaces of GameFleets, MatchQueues and game servers.
    #[arg(
        long,
        env = "MUSTER_GAME_NAMESPACES",
        value_name = "NAMES",
        value_delimiter = ',',
        default_value = "default",
        help_heading = "Kubernetes"
    )]
    pub(crate) game_namespaces: Vec<String>,
}

impl ClusterOptions {
    /// The game namespaces, each once.
    pub(crate) fn game_namespaces(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for name in self.game_namespaces.iter().map(|name| name.trim()).filter(|name| !name.is_empty()) {
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
        options: ClusterOptions,
    }

    #[test]
    fn namespaces_are_a_list_and_each_counts_once() {
        let names = |args: &[&str]| Line::parse_from(["x"].iter().chain(args)).options.game_namespaces();
        assert_eq!(names(&["--game-namespaces", "a, b,a,"]), ["a", "b"]);
        assert_eq!(names(&[]), ["default"]);
    }
}
