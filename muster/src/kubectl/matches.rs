//! `kubectl muster matches`: what each game server that is Allocated says of its matches on its own admin port.

use crds::agones::GameServer;
use crds::labels;
use futures_util::StreamExt as _;
use futures_util::stream;
use kube::{Client, ResourceExt as _};
use serde::{Deserialize, Serialize};

use super::Cluster;
use super::options::TableOrJson;
use super::rows::game_servers;
use super::table::{Row, or_dash, print};
use crate::exit::Failure;
use crate::kube_proxy::{self, ProxyError};
use crate::output::remark;

/// Admin port of a game server in its pod.
pub(crate) const SERVER_ADMIN_PORT: u16 = 7778;
/// Game servers that are asked at once.
const ASKED_AT_ONCE: usize = 16;

/// A match that runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct MatchRow {
    namespace: String,
    match_id: String,
    server: String,
    fleet: String,
    revision: String,
    players_connected: usize,
    seats: usize,
    ticks: u64,
}

impl Row for MatchRow {
    const HEADS: &'static [&'static str] = &["NAMESPACE", "MATCH", "SERVER", "FLEET", "REVISION", "PLAYERS", "TICKS"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.namespace.clone(),
            self.match_id.clone(),
            self.server.clone(),
            or_dash(&self.fleet),
            or_dash(&self.revision),
            format!("{} of {}", self.players_connected, self.seats),
            self.ticks.to_string(),
        ]
    }
}

/// As much of a server's own page as is shown.
#[derive(Debug, Deserialize)]
pub(crate) struct ServerPage {
    /// Its matches.
    pub(crate) matches: Vec<MatchOnPage>,
}

/// A match, as its server tells it.
#[derive(Debug, Deserialize)]
pub(crate) struct MatchOnPage {
    /// Its id.
    pub(crate) match_id: String,
    figures: Figures,
}

#[derive(Debug, Default, Deserialize)]
struct Figures {
    #[serde(default)]
    ticks: u64,
    #[serde(default)]
    seats: Vec<SeatOnPage>,
}

#[derive(Debug, Deserialize)]
struct SeatOnPage {
    #[serde(default)]
    connected: bool,
}

/// Lists the matches.
pub(super) async fn run(cluster: &Cluster, fleet: Option<&str>, output: TableOrJson) -> Result<(), Failure> {
    let servers = game_servers(cluster, fleet).await?;
    let busy: Vec<GameServer> = servers
        .into_iter()
        .filter(|server| server.status.as_ref().is_some_and(|status| status.state == "Allocated"))
        .collect();
    let answers = stream::iter(&busy).map(|server| async move { (server, page(&cluster.client, server).await) });
    let mut answers: Vec<_> = answers.buffer_unordered(ASKED_AT_ONCE).collect().await;
    answers.sort_by_key(|(server, _)| (server.namespace(), server.name_any()));
    let mut rows = Vec::new();
    for (server, answer) in answers {
        match answer {
            Ok(page) => rows.extend(page.matches.into_iter().map(|one| row(server, one))),
            Err(error) => remark(&format!("{} does not tell its matches: {error}", server.name_any())),
        }
    }
    print(&rows, "No match runs.", output)
}

/// What a server says of its matches.
pub(crate) async fn page(client: &Client, server: &GameServer) -> Result<ServerPage, ProxyError> {
    let namespace = server.namespace().unwrap_or_default();
    // Agones names a server's pod like the server.
    let text = kube_proxy::get(client, &namespace, &server.name_any(), SERVER_ADMIN_PORT, "matches").await?;
    serde_json::from_str(&text)
        .map_err(|error| ProxyError::Away(format!("it does not answer as Muster's servers do: {error}")))
}

fn row(server: &GameServer, one: MatchOnPage) -> MatchRow {
    let label = |name: &str| server.labels().get(name).cloned().unwrap_or_default();
    MatchRow {
        namespace: server.namespace().unwrap_or_default(),
        match_id: one.match_id,
        server: server.name_any(),
        fleet: label(labels::GAME_FLEET),
        revision: label(labels::REVISION),
        players_connected: one.figures.seats.iter().filter(|seat| seat.connected).count(),
        seats: one.figures.seats.len(),
        ticks: one.figures.ticks,
    }
}
