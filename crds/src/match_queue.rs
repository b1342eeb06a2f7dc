//! `MatchQueue`: who plays with whom, and on which fleet.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::{Condition, Preserved};

/// A queue of the matchmaker. What is changed counts for the next search; tickets that wait stay.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "muster.dev",
    version = "v1alpha1",
    kind = "MatchQueue",
    namespaced,
    shortname = "mq",
    category = "muster",
    doc = "A queue of the matchmaker: sizes, rules, and the fleet that hosts its matches.",
    status = "MatchQueueStatus",
    derive = "PartialEq",
    printcolumn(name = "Fleet", type_ = "string", json_path = ".spec.fleet"),
    printcolumn(name = "Teams", type_ = "integer", json_path = ".spec.teams"),
    printcolumn(name = "Size", type_ = "integer", json_path = ".spec.playersPerTeam"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Waiting", type_ = "integer", json_path = ".status.waitingPlayers", description = "players"),
    printcolumn(name = "P95", type_ = "integer", json_path = ".status.waitSecondsP95", description = "wait in seconds"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("size(self.metadata.name) <= 63").message("metadata.name: at most 63 characters, because tickets and metrics carry it")
)]
#[cfg_attr(test, kube(cel))]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.teams * self.playersPerTeam >= 2 && self.teams * self.playersPerTeam <= 128")
    .message("teams times playersPerTeam must give 2 to 128 players"))]
#[x_kube(validation = Rule::new("!has(self.partySizeMaximum) || self.partySizeMaximum <= self.playersPerTeam")
    .message("partySizeMaximum must not be above playersPerTeam: a party is never split over teams"))]
pub struct MatchQueueSpec {
    /// Name that tickets give, if it is not the resource's own. Two queues of a namespace must not have the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9_.]*[a-z0-9])?$"))]
    pub queue: Option<String>,
    /// Teams per match. A free-for-all has as many teams as players.
    #[schemars(range(min = 1, max = 128))]
    pub teams: u32,
    /// Players per team; every team is full when a match starts.
    #[schemars(range(min = 1, max = 128))]
    pub players_per_team: u32,
    /// GameFleet of the same namespace that hosts the matches.
    #[schemars(length(min = 1, max = 63))]
    pub fleet: String,
    /// Build that tickets must name; none: any, but players of different builds never meet.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub build: Option<String>,
    /// Regions where matches may run; none: any, and round-trip times do not count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 30)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub regions: Vec<String>,
    /// What the game gets with each match; as JSON at most 16 KiB.
    #[serde(default)]
    pub settings: Preserved,
    /// How near ratings must be; none: first come, first served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rating: Option<RatingWindow>,
    /// How far a region may be.
    #[serde(default)]
    pub round_trip: RoundTrip,
    /// Longest wait of a ticket.
    #[serde(default = "ticket_timeout")]
    #[schemars(range(min = 1, max = 86_400))]
    pub ticket_timeout_seconds: u32,
    /// Most players in one ticket; none: a whole team.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 128))]
    pub party_size_maximum: Option<u32>,
    /// Most tickets at once, waiting or being placed.
    #[serde(default = "capacity")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub capacity: u32,
    /// From this wait on a ticket picks its match first.
    #[serde(default = "starving")]
    #[schemars(range(min = 0, max = 86_400))]
    pub starving_after_seconds: u32,
}

/// How near ratings must be: a window around each ticket's rating that widens while it waits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.windowStart <= self.windowMaximum").message("rating.windowStart must not be above rating.windowMaximum"))]
pub struct RatingWindow {
    /// Window of a fresh ticket, in rating points.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub window_start: f64,
    /// What each second of waiting adds.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub window_growth_per_second: f64,
    /// Widest window ever.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub window_maximum: f64,
    /// Where players are rare: wide at once if a match would take longer than this. 0: off.
    #[serde(default = "pre_expand")]
    #[schemars(range(min = 0, max = 86_400))]
    pub pre_expand_wait_seconds: f64,
}

/// How far a region may be from each player, in milliseconds of round trip.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.maximumMs <= self.ceilingMs").message("roundTrip.maximumMs must not be above roundTrip.ceilingMs"))]
pub struct RoundTrip {
    /// Longest round trip of a fresh ticket.
    #[serde(default = "maximum_ms")]
    #[schemars(range(min = 1, max = 10_000))]
    pub maximum_ms: u32,
    /// What each second of waiting adds.
    #[serde(default = "growth_ms")]
    #[schemars(range(min = 0, max = 10_000))]
    pub growth_ms_per_second: f64,
    /// Longest round trip ever.
    #[serde(default = "ceiling_ms")]
    #[schemars(range(min = 1, max = 10_000))]
    pub ceiling_ms: u32,
}

impl Default for RoundTrip {
    fn default() -> Self {
        Self { maximum_ms: maximum_ms(), growth_ms_per_second: growth_ms(), ceiling_ms: ceiling_ms() }
    }
}

/// What the operator says of a queue, from the matchmaker that serves it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct MatchQueueStatus {
    /// Generation of the spec that it speaks of.
    #[serde(default)]
    pub observed_generation: i64,
    /// `Ready`, `Degraded`.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Players that wait.
    #[serde(default)]
    pub waiting_players: u32,
    /// Tickets that wait.
    #[serde(default)]
    pub waiting_tickets: u32,
    /// Matches that wait for a server.
    #[serde(default)]
    pub placing: u32,
    /// Median wait of the tickets matched lately, whole seconds rounded up.
    #[serde(default)]
    pub wait_seconds_p50: u32,
    /// 95th percentile of the same.
    #[serde(default)]
    pub wait_seconds_p95: u32,
}

impl MatchQueue {
    /// Name that tickets give.
    pub fn queue_name(&self) -> &str {
        self.spec.queue.as_deref().or(self.metadata.name.as_deref()).unwrap_or_default()
    }
}

fn ticket_timeout() -> u32 {
    300
}

fn capacity() -> u32 {
    20_000
}

fn starving() -> u32 {
    30
}

fn pre_expand() -> f64 {
    10.0
}

fn maximum_ms() -> u32 {
    150
}

fn growth_ms() -> f64 {
    2.0
}

fn ceiling_ms() -> u32 {
    400
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn queue(spec: &Value) -> MatchQueue {
        let mut manifest = json!({
            "apiVersion": "muster.dev/v1alpha1", "kind": "MatchQueue", "metadata": { "name": "ranked" },
            "spec": { "teams": 2, "playersPerTeam": 4, "fleet": "arena" }
        });
        for (key, value) in spec.as_object().expect("an object") {
            manifest["spec"][key] = value.clone();
        }
        serde_json::from_value(manifest).expect("a queue by its types")
    }

    #[test]
    fn the_smallest_manifest_has_the_matchmakers_defaults() {
        let queue = queue(&json!({}));
        queue.validate_cel().expect("sound");
        assert_eq!(queue.spec.round_trip, RoundTrip { maximum_ms: 150, growth_ms_per_second: 2.0, ceiling_ms: 400 });
        assert_eq!((queue.spec.ticket_timeout_seconds, queue.spec.capacity), (300, 20_000));
        assert_eq!(queue.queue_name(), "ranked");
    }

    #[test]
    fn impossible_queues_are_refused_with_a_sentence() {
        for (spec, expected) in [
            (json!({ "teams": 1, "playersPerTeam": 1 }), "2 to 128 players"),
            (json!({ "teams": 64, "playersPerTeam": 4 }), "2 to 128 players"),
            (json!({ "partySizeMaximum": 5 }), "a party is never split"),
            (
                json!({ "rating": { "windowStart": 9.0, "windowGrowthPerSecond": 1.0, "windowMaximum": 3.0 } }),
                "rating.windowStart must not be above",
            ),
            (json!({ "roundTrip": { "maximumMs": 300, "ceilingMs": 200 } }), "roundTrip.maximumMs must not be above"),
        ] {
            let said = queue(&spec).validate_cel().expect_err("refused").to_string();
            assert!(said.contains(expected), "expected {expected:?}, got {said:?}");
        }
    }
}
