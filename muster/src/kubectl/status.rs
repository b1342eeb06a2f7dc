//! `kubectl muster status`: fleets and queues at a glance, then what wants somebody's attention.

use std::fmt::Write as _;

use serde_json::json;

use super::Cluster;
use super::options::TableOrJson;
use super::rows::{FleetRow, QueueRow, fleet_rows, queue_rows};
use super::table::table;
use crate::exit::Failure;
use crate::output::answer;

/// Prints the whole picture.
pub(super) async fn run(cluster: &Cluster, output: TableOrJson) -> Result<(), Failure> {
    let (fleets, queues) = (fleet_rows(cluster).await?, queue_rows(cluster).await?);
    match output {
        TableOrJson::Json => answer(&json!({ "fleets": fleets, "queues": queues }).to_string()),
        TableOrJson::Table => answer(&text(&fleets, &queues)),
    }
}

fn text(fleets: &[FleetRow], queues: &[QueueRow]) -> String {
    let mut text = String::new();
    if fleets.is_empty() {
        text.push_str("There is no GameFleet.\n");
    } else {
        let _ = writeln!(text, "{}", table(fleets));
    }
    text.push('\n');
    if queues.is_empty() {
        text.push_str("There is no MatchQueue.\n");
    } else {
        let _ = writeln!(text, "{}", table(queues));
    }
    let matches: u32 = fleets.iter().map(|fleet| fleet.matches).sum();
    let waiting: u32 = queues.iter().map(|queue| queue.waiting_players).sum();
    let _ = writeln!(text, "\n{matches} matches run, {waiting} players wait.");
    for fleet in fleets {
        for concern in &fleet.concerns {
            let _ = writeln!(text, "fleet {}/{}: {concern}", fleet.namespace, fleet.name);
        }
    }
    for queue in queues {
        for concern in &queue.concerns {
            let _ = writeln!(text, "queue {}/{}: {concern}", queue.namespace, queue.queue);
        }
    }
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_ends_with_what_wants_attention() {
        let fleet = FleetRow {
            namespace: "games".into(),
            name: "arena".into(),
            build: "1".into(),
            ready: "False".into(),
            servers: 2,
            matches: 3,
            free_rooms: 1,
            rollout: String::new(),
            concerns: vec!["NoServers: none is up".into()],
        };
        let text = text(&[fleet], &[]);
        assert!(text.starts_with("NAMESPACE") && text.contains("There is no MatchQueue."), "{text}");
        assert!(text.ends_with("3 matches run, 0 players wait.\nfleet games/arena: NoServers: none is up"), "{text}");
    }
}
