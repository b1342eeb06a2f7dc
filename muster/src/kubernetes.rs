//! `muster kubernetes`: what an installation on Kubernetes asks of the program besides its services.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use crds::agones::GameServer;
use crds::labels;
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};

use crate::cluster_options::{self, GameNamespaces};
use crate::exit::Failure;
use crate::output::answer;

/// Servers in one answer of the API server.
const PAGE: u32 = 500;

#[derive(Debug, Clone, Args)]
pub(crate) struct KubernetesOptions {
    #[command(subcommand)]
    task: KubernetesTask,
}

#[derive(Debug, Clone, Subcommand)]
enum KubernetesTask {
    /// Say whether Muster may be uninstalled: status 1 while matches run. The chart asks before it deletes anything.
    MayUninstall(GameNamespaces),
}

/// Does what was asked.
pub(crate) fn run(options: &KubernetesOptions) -> Result<ExitCode, Failure> {
    let KubernetesTask::MayUninstall(games) = &options.task;
    let runtime = tokio::runtime::Runtime::new().map_err(Failure::setup)?;
    let mut servers = Vec::new();
    for namespace in games.names() {
        servers.extend(runtime.block_on(servers_of(&namespace))?);
    }
    let busy = matches_by_fleet(&servers);
    if busy.is_empty() {
        answer("no match runs")?;
        return Ok(ExitCode::SUCCESS);
    }
    Err(refusal(&busy))
}

/// Game servers of Muster in a namespace.
async fn servers_of(namespace: &str) -> Result<Vec<GameServer>, Failure> {
    let api: Api<GameServer> = Api::namespaced(cluster_options::client().await?, namespace);
    let mut page = ListParams::default().labels(labels::GAME_FLEET).limit(PAGE);
    let mut servers = Vec::new();
    loop {
        let list = api.list(&page).await;
        let list =
            list.map_err(|error| Failure::setup(format!("cannot list the GameServers of {namespace}: {error}")))?;
        servers.extend(list.items);
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => return Ok(servers),
        }
    }
}

/// Servers with matches, by namespace and GameFleet.
fn matches_by_fleet(servers: &[GameServer]) -> BTreeMap<String, usize> {
    let mut busy = BTreeMap::new();
    for server in servers.iter().filter(|server| server.is_allocated()) {
        let fleet = server.labels().get(labels::GAME_FLEET).map_or("", String::as_str);
        *busy.entry(format!("{}/{fleet}", server.namespace().unwrap_or_default())).or_default() += 1;
    }
    busy
}

fn refusal(busy: &BTreeMap<String, usize>) -> Failure {
    let count: usize = busy.values().sum();
    let fleets: Vec<String> = busy.iter().map(|(fleet, count)| format!("{fleet} ({count})")).collect();
    let servers = if count == 1 { "1 server" } else { &format!("{count} servers") };
    Failure::run(format!("matches run on {servers} of {}: Muster stays installed", fleets.join(", "))).help(
        "keep new players out with `muster maintenance on`, and try again when the matches are over. To keep Muster after \
         all: `helm rollback` to the present revision takes the mark \"uninstalling\" off the release",
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn server(namespace: &str, fleet: &str, state: &str) -> GameServer {
        serde_json::from_value(json!({
            "apiVersion": "agones.dev/v1", "kind": "GameServer",
            "metadata": { "name": "x", "namespace": namespace, "labels": { labels::GAME_FLEET: fleet } },
            "spec": {}, "status": { "state": state },
        }))
        .expect("a game server")
    }

    #[test]
    fn only_allocated_servers_keep_muster_installed() {
        let idle =
            ["Reserved", "Ready", "Scheduled", "Shutdown", "Unhealthy"].map(|state| server("games", "arena", state));
        assert!(matches_by_fleet(&idle).is_empty());
    }

    #[test]
    fn the_refusal_says_how_many_matches_run_where() {
        let servers = [("games", "arena"), ("games", "arena"), ("asia", "arena"), ("games", "duel")];
        let servers = servers.map(|(namespace, fleet)| server(namespace, fleet, "Allocated"));
        let said = refusal(&matches_by_fleet(&servers));
        let expected =
            "matches run on 4 servers of asia/arena (1), games/arena (2), games/duel (1): Muster stays installed";
        assert_eq!(said.message(), expected);
    }
}
