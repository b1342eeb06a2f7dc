//! Game servers: ghosts, which are Allocated and host no match, and those that no longer play at all.

use std::collections::BTreeSet;
use std::time::Duration;

use crds::agones::GameServer;
use crds::labels;
use futures_util::StreamExt as _;
use futures_util::stream;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};

use super::super::finding::Finding;
use super::{Installation, unseen};
use crate::kubectl::page;

/// Between two looks: a match that has just begun or ended is none the second time. Agones writes with 0.5 s of delay.
const LOOK_AGAIN: Duration = Duration::from_secs(3);
/// Servers that are asked for their matches, and how many at once.
const ASKED_MAX: usize = 200;
const ASKED_AT_ONCE: usize = 16;
const SECTION: &str = "game-servers";

/// Everything about the game servers of each game namespace.
pub(super) async fn examine(installation: &Installation) -> Vec<Finding> {
    let mut findings = Vec::new();
    for namespace in &installation.game_namespaces {
        let servers = Api::<GameServer>::namespaced(installation.client.clone(), namespace);
        let listed = servers.list(&ListParams::default().labels(labels::GAME_FLEET)).await;
        match listed {
            Ok(list) => {
                findings.push(states(namespace, &list.items));
                findings.push(ghosts(&installation.client, namespace, &servers, list.items).await);
            }
            // Without Agones' resources there is one finding about them already.
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => findings.push(unseen(format!("game servers in {namespace}"), &error, SECTION)),
        }
    }
    findings
}

fn state(server: &GameServer) -> &str {
    server.status.as_ref().map_or("", |status| status.state.as_str())
}

fn states(namespace: &str, servers: &[GameServer]) -> Finding {
    let check = format!("game servers in {namespace}");
    let ill: Vec<&GameServer> =
        servers.iter().filter(|server| matches!(state(server), "Unhealthy" | "Error")).collect();
    match ill.first() {
        None => Finding::ok(check, format!("{} of Muster's fleets", servers.len())),
        Some(first) => {
            let found =
                format!("{} of {} are Unhealthy or in Error, {} for one", ill.len(), servers.len(), first.name_any());
            let advice = format!("kubectl -n {namespace} describe gameserver {}", first.name_any());
            Finding::warn(check, found, advice).more(SECTION)
        }
    }
}

/// Servers of pool muster that are Allocated by Agones' word.
fn allocated(servers: Vec<GameServer>) -> Vec<GameServer> {
    let pool = |server: &GameServer| server.labels().get(labels::POOL).is_some_and(|pool| pool == "muster");
    servers.into_iter().filter(|server| state(server) == "Allocated" && pool(server)).collect()
}

async fn ghosts(client: &Client, namespace: &str, api: &Api<GameServer>, listed: Vec<GameServer>) -> Finding {
    let busy = allocated(listed);
    let first = look(client, &busy).await;
    if first.idle.is_empty() {
        return judge(namespace, busy.len(), &first, &BTreeSet::new());
    }
    tokio::time::sleep(LOOK_AGAIN).await;
    let again = match api.list(&ListParams::default().labels(labels::GAME_FLEET)).await {
        Ok(list) => list.items.into_iter().filter(|server| first.idle.contains(&server.name_any())).collect(),
        Err(error) => return unseen(format!("ghosts in {namespace}"), &error, SECTION),
    };
    let second = look(client, &allocated(again)).await;
    judge(namespace, busy.len(), &first, &second.idle)
}

/// What Allocated servers say of themselves.
#[derive(Debug, Default)]
struct Look {
    /// Names of those that host no match.
    idle: BTreeSet<String>,
    asked: usize,
    silent: Vec<String>,
}

async fn look(client: &Client, servers: &[GameServer]) -> Look {
    let answers =
        stream::iter(servers.iter().take(ASKED_MAX)).map(|server| async move { (server, page(client, server).await) });
    let answers: Vec<_> = answers.buffer_unordered(ASKED_AT_ONCE).collect().await;
    let mut look = Look { asked: answers.len(), ..Look::default() };
    for (server, answer) in answers {
        match answer {
            Ok(page) if page.matches.is_empty() => {
                look.idle.insert(server.name_any());
            }
            Ok(_) => {}
            Err(error) => look.silent.push(format!("{}: {error}", server.name_any())),
        }
    }
    look
}

fn judge(namespace: &str, busy: usize, look: &Look, ghosts: &BTreeSet<String>) -> Finding {
    let check = format!("ghosts in {namespace}");
    if let Some(ghost) = ghosts.first() {
        let found = format!("{} servers are Allocated without a match, {ghost} for one", ghosts.len());
        let advice = format!("see its log, then drain it: kubectl muster -n {namespace} drain server {ghost}");
        return Finding::fail(check, found, advice).more(SECTION);
    }
    if let Some(silent) = look.silent.first() {
        let found = format!("{} of {busy} Allocated servers do not tell their matches, {silent}", look.silent.len());
        return Finding::warn(check, found, "allow the API server to reach port 7778 of game servers").more(SECTION);
    }
    Finding::ok(check, format!("none among {} of {busy} Allocated servers", look.asked))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::doctor::finding::Status;

    fn server(name: &str, state: &str, pool: &str) -> GameServer {
        serde_json::from_value(json!({
            "apiVersion": "agones.dev/v1", "kind": "GameServer",
            "metadata": { "name": name, "labels": { "muster.dev/pool": pool } }, "spec": {}, "status": { "state": state }
        }))
        .expect("a server")
    }

    #[test]
    fn only_servers_of_musters_pool_can_be_ghosts() {
        let all =
            [server("a", "Allocated", "muster"), server("b", "Allocated", "agones"), server("c", "Reserved", "muster")];
        let names: Vec<String> = allocated(all.to_vec()).iter().map(|server| server.name_any()).collect();
        assert_eq!(names, ["a"]);
        assert_eq!(states("x", &all).status, Status::Ok);
        assert_eq!(states("x", &[server("a", "Unhealthy", "muster")]).status, Status::Warn);
    }

    #[test]
    fn a_ghost_is_worse_than_a_server_that_cannot_be_asked() {
        let silent = Look { asked: 1, silent: vec!["a: no".into()], ..Look::default() };
        let ghosts = BTreeSet::from(["b".to_owned()]);
        assert_eq!(judge("x", 2, &silent, &ghosts).status, Status::Fail);
        assert_eq!(judge("x", 2, &silent, &BTreeSet::new()).status, Status::Warn);
        assert_eq!(judge("x", 2, &Look { asked: 2, ..Look::default() }, &BTreeSet::new()).status, Status::Ok);
    }
}
