//! `kubectl muster rollout`: where a new build stands, and the four things a person may do about it. Pausing is a wish
//! in the spec. Promoting and aborting are decisions that the operator keeps in the status; they are written only
//! onto the very version of the fleet that the caller's decision was made on.

use crds::{GameFleet, GameFleetStatus, OnFailure, RevisionStatus};
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde::Serialize;
use serde_json::{Value, json};

use super::options::{RolloutTask, TableOrJson};
use super::table::{Row, done, table};
use super::{Cluster, refusal};
use crate::exit::Failure;
use crate::output::answer;

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct RevisionRow<'a>(&'a RevisionStatus);

impl Row for RevisionRow<'_> {
    const HEADS: &'static [&'static str] = &["REVISION", "BUILD", "PHASE", "WEIGHT", "SERVERS", "BUSY"];

    fn cells(&self) -> Vec<String> {
        let RevisionStatus { name, build, phase, weight, servers, busy } = self.0;
        vec![
            name.clone(),
            build.clone(),
            format!("{phase:?}"),
            format!("{weight} %"),
            servers.to_string(),
            busy.to_string(),
        ]
    }
}

/// Shows or steers a rollout.
pub(super) async fn run(cluster: &Cluster, task: RolloutTask, name: &str, output: TableOrJson) -> Result<(), Failure> {
    let fleets: Api<GameFleet> = cluster.of()?;
    let found = fleets.get(name).await;
    let fleet = found.map_err(|error| refusal(&format!("GameFleet {name} cannot be read"), &error))?;
    let status = fleet.status.clone().unwrap_or_default();
    match task {
        RolloutTask::Status => match output {
            TableOrJson::Json => {
                answer(&json!({ "rollout": status.rollout, "revisions": status.revisions }).to_string())
            }
            TableOrJson::Table => answer(&shown(&fleet, &status)),
        },
        RolloutTask::Pause => pause(&fleets, &fleet, true, output).await,
        RolloutTask::Resume => pause(&fleets, &fleet, false, output).await,
        RolloutTask::Promote => decide(&fleets, &fleet, promotion(&status)?, "every new match goes to", output).await,
        RolloutTask::Abort => decide(&fleets, &fleet, abortion(&fleet, &status)?, "no new match goes to", output).await,
    }
}

fn shown(fleet: &GameFleet, status: &GameFleetStatus) -> String {
    let rows: Vec<RevisionRow<'_>> = status.revisions.iter().map(RevisionRow).collect();
    let stands = if status.rollout.is_empty() { "no rollout goes on" } else { &status.rollout };
    let mut text = format!("GameFleet {}: {stands}", fleet.name_any());
    if !rows.is_empty() {
        text = format!("{text}\n\n{}", table(&rows));
    }
    for condition in status.conditions.iter().filter(|condition| condition.type_ == "Progressing") {
        text = format!("{text}\n\n{}: {}", condition.reason, condition.message);
    }
    text
}

async fn pause(fleets: &Api<GameFleet>, fleet: &GameFleet, paused: bool, output: TableOrJson) -> Result<(), Failure> {
    let name = fleet.name_any();
    let patch = json!({ "spec": { "rollout": { "paused": paused } } });
    let patched = fleets.patch(&name, &PatchParams::default(), &Patch::Merge(&patch)).await;
    patched.map_err(|error| refusal(&format!("GameFleet {name} cannot be changed"), &error))?;
    let sentence = if paused {
        format!(
            "The rollout of {name} stays at its present step. spec.rollout.paused is set: a manifest that is applied again must say so too."
        )
    } else {
        format!("The rollout of {name} goes on.")
    };
    done(&sentence, &json!({ "fleet": name, "paused": paused }), output)
}

/// The canary, and how the status has to change for it to be decided.
#[derive(Debug, Clone, PartialEq)]
struct Decision {
    canary: String,
    status: Value,
}

fn promotion(status: &GameFleetStatus) -> Result<Decision, Failure> {
    let canary = canary(status)?;
    let status = json!({ "stable": canary, "canary": null, "step": null, "stepSince": null, "failedRevision": null });
    Ok(Decision { canary, status })
}

fn abortion(fleet: &GameFleet, status: &GameFleetStatus) -> Result<Decision, Failure> {
    let canary = canary(status)?;
    if fleet.spec.rollout.on_failure == OnFailure::Hold {
        return Err(Failure::setup("spec.rollout.onFailure is Hold: the operator would try the canary again")
            .help("put the template back as it was, or set onFailure to Rollback first"));
    }
    let status = json!({ "failedRevision": canary, "canary": null, "step": null, "stepSince": null });
    Ok(Decision { canary, status })
}

fn canary(status: &GameFleetStatus) -> Result<String, Failure> {
    status.canary.clone().ok_or_else(|| {
        Failure::setup("no revision is being tried")
            .help("`kubectl muster rollout status` shows where the fleet stands")
    })
}

async fn decide(
    fleets: &Api<GameFleet>,
    fleet: &GameFleet,
    decision: Decision,
    what: &str,
    output: TableOrJson,
) -> Result<(), Failure> {
    let Decision { canary, status } = decision;
    let name = fleet.name_any();
    // The version makes sure that nothing which the operator decided meanwhile is overwritten.
    let patch = json!({ "metadata": { "resourceVersion": fleet.resource_version() }, "status": status });
    let patched = fleets.patch_status(&name, &PatchParams::default(), &Patch::Merge(&patch)).await;
    patched.map_err(|error| refusal(&format!("the status of GameFleet {name} cannot be changed"), &error))?;
    let sentence = format!("From now on {what} revision {canary} of {name}; matches that run end where they are.");
    done(&sentence, &json!({ "fleet": name, "revision": canary }), output)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fleet(on_failure: &str, canary: Option<&str>) -> GameFleet {
        serde_json::from_value(json!({
            "apiVersion": "muster.dev/v1alpha1", "kind": "GameFleet", "metadata": { "name": "arena" },
            "spec": { "build": "2", "template": { "image": "arena:2" }, "rollout": { "onFailure": on_failure } },
            "status": { "stable": "aaaaaaaa", "canary": canary, "rollout": "10%", "revisions": [
                { "name": "aaaaaaaa", "build": "1", "phase": "Stable", "weight": 90, "servers": 3, "busy": 2 }
            ] }
        }))
        .expect("a fleet by its types")
    }

    fn status(fleet: &GameFleet) -> GameFleetStatus {
        fleet.status.clone().expect("set")
    }

    #[test]
    fn a_decision_names_the_canary_that_was_seen() {
        let fleet = fleet("Rollback", Some("bbbbbbbb"));
        let promoted = promotion(&status(&fleet)).expect("there is a canary");
        assert_eq!((promoted.canary.as_str(), &promoted.status["stable"]), ("bbbbbbbb", &json!("bbbbbbbb")));
        let aborted = abortion(&fleet, &status(&fleet)).expect("there is a canary");
        assert_eq!((&aborted.status["failedRevision"], &aborted.status["canary"]), (&json!("bbbbbbbb"), &json!(null)));
    }

    #[test]
    fn without_a_canary_or_with_hold_there_is_nothing_to_decide() {
        let none = fleet("Rollback", None);
        assert!(promotion(&status(&none)).is_err() && abortion(&none, &status(&none)).is_err());
        let hold = fleet("Hold", Some("bbbbbbbb"));
        assert!(abortion(&hold, &status(&hold)).expect_err("held").message().contains("Hold"));
    }

    #[test]
    fn the_status_shows_each_revision() {
        let fleet = fleet("Rollback", Some("bbbbbbbb"));
        let text = shown(&fleet, &status(&fleet));
        assert!(text.starts_with("GameFleet arena: 10%\n\nREVISION") && text.contains("90 %"), "{text}");
    }
}
