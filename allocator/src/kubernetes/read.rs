//! Objects of the API into the core's words.

use std::collections::BTreeMap;

use crds::agones::{Fleet, GameServer};
use crds::{GameFleet, Placement, RevisionPhase, RevisionStatus, labels};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;

use crate::core::cluster::{ClusterPicture, DrainWish, FleetRules, FleetWish, RevisionRule, SeenServer};
use crate::core::pool::qualified;

/// Label by which Agones says which Fleet a GameServer belongs to.
const AGONES_FLEET: &str = "agones.dev/fleet";

/// Everything that the cluster shows.
pub(super) fn picture<'a>(
    servers: impl Iterator<Item = &'a GameServer>,
    fleets: impl Iterator<Item = &'a Fleet>,
    game_fleets: impl Iterator<Item = &'a GameFleet>,
) -> ClusterPicture {
    ClusterPicture {
        servers: servers.map(|server| (key(server), seen(server))).collect(),
        fleets: fleets.map(|fleet| (key(fleet), wish(fleet))).collect(),
        rules: game_fleets.map(|fleet| (key(fleet), rules(fleet))).collect(),
    }
}

/// Unlike that of an object of another namespace.
fn key(object: &impl kube::Resource) -> String {
    qualified(&object.namespace().unwrap_or_default(), &object.name_any())
}

fn seen(server: &GameServer) -> SeenServer {
    SeenServer {
        fleet: qualified(
            &server.namespace().unwrap_or_default(),
            server.labels().get(AGONES_FLEET).map_or("", String::as_str),
        ),
        node: server.status.as_ref().map(|status| status.node_name.clone()).unwrap_or_default(),
        state: server.state().to_owned(),
        drain: drain(server.annotations()),
    }
}

fn wish(fleet: &Fleet) -> FleetWish {
    FleetWish { replicas: fleet.spec.replicas, drain: drain(fleet.annotations()) }
}

fn rules(fleet: &GameFleet) -> FleetRules {
    FleetRules {
        distributed: fleet.spec.allocation.strategy == Placement::Distributed,
        revisions: revisions(fleet.status.iter().flat_map(|status| &status.revisions)),
    }
}

/// Revisions that take new matches.
pub(crate) fn revisions<'a>(all: impl Iterator<Item = &'a RevisionStatus>) -> Vec<RevisionRule> {
    let taking = all.filter(|revision| revision.phase != RevisionPhase::Draining);
    let rule = |revision: &RevisionStatus| RevisionRule {
        name: revision.name.clone(),
        build: revision.build.clone(),
        weight: revision.weight,
        is_stable: revision.phase == RevisionPhase::Stable,
    };
    taking.map(rule).collect()
}

/// A drain that cannot be read is none: it is logged once per look, and nobody is sent away by mistake.
fn drain(annotations: &BTreeMap<String, String>) -> Option<DrainWish> {
    let text = annotations.get(labels::DRAIN_DEADLINE)?;
    match text.parse::<Timestamp>() {
        Ok(until) => Some(DrainWish {
            until_unix_ms: u64::try_from(until.as_millisecond()).unwrap_or_default(),
            reason: annotations.get(labels::DRAIN_REASON).cloned().unwrap_or_else(|| "drained".to_owned()),
        }),
        Err(error) => {
            tracing::warn!(annotation = labels::DRAIN_DEADLINE, text, %error, "this drain cannot be read");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_become_a_picture() {
        let server: GameServer = serde_json::from_value(json!({
            "apiVersion": "agones.dev/v1", "kind": "GameServer",
            "metadata": { "name": "arena-1", "namespace": "games", "labels": { "agones.dev/fleet": "arena-eu-1" },
                "annotations": { "muster.dev/drain-deadline": "2026-01-01T00:00:01.5Z", "muster.dev/drain-reason": "spot" } },
            "spec": {}, "status": { "state": "Reserved", "nodeName": "node-1" },
        }))
        .expect("a game server");
        let fleet: Fleet = serde_json::from_value(json!({
            "apiVersion": "agones.dev/v1", "kind": "Fleet",
            "metadata": { "name": "arena-eu-1", "namespace": "games", "annotations": { "muster.dev/drain-deadline": "soon" } },
            "spec": { "replicas": 3, "template": { "spec": {} } },
        }))
        .expect("a fleet");
        let picture = picture([server].iter(), [fleet].iter(), std::iter::empty());
        let drain = DrainWish { until_unix_ms: 1_767_225_601_500, reason: "spot".into() };
        let expected = SeenServer {
            fleet: "games/arena-eu-1".into(),
            node: "node-1".into(),
            state: "Reserved".into(),
            drain: Some(drain),
        };
        assert_eq!(picture.servers["games/arena-1"], expected);
        assert_eq!(
            picture.fleets["games/arena-eu-1"],
            FleetWish { replicas: Some(3), drain: None },
            "\"soon\" is no time"
        );
        assert_eq!(picture.expected(), ["games/arena-1".to_owned()].into());
    }
}
