//! Events for `kubectl describe` and `kubectl get events`.

use crds::{Conditions, GameFleet, GameFleetStatus};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource as _};

use crate::core::reconcile::Write;
use crate::core::rollout::News;

/// Longest note that the API server takes, in bytes.
const NOTE_MAX: usize = 1_024;

/// Publishes events. Those that are alike become one with a count.
#[derive(Clone)]
pub(crate) struct Teller(Recorder);

/// What happened.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Notice {
    reason: &'static str,
    action: &'static str,
    note: String,
    warns: bool,
}

impl Teller {
    pub(crate) fn new(client: Client, pod: &str) -> Self {
        let reporter = Reporter { controller: "muster-operator".into(), instance: Some(pod.to_owned()) };
        Self(Recorder::new(client, reporter))
    }

    /// Publishes a notice about a GameFleet. An event that is lost is a pity and no more.
    pub(crate) async fn tell(&self, about: &GameFleet, notice: Notice) {
        let mut note = notice.note;
        let end = note.floor_char_boundary(NOTE_MAX);
        note.truncate(end);
        let event = Event {
            type_: if notice.warns { EventType::Warning } else { EventType::Normal },
            reason: notice.reason.into(),
            note: Some(note),
            action: notice.action.into(),
            secondary: None,
        };
        if let Err(error) = self.0.publish(&event, &about.object_ref(&())).await {
            tracing::debug!(reason = notice.reason, %error, "an event was not published");
        }
    }
}

/// What a write tells, once it is done.
pub(crate) fn of_write(write: &Write, before: &GameFleet) -> Option<Notice> {
    let notice = |reason, action, note, warns| Some(Notice { reason, action, note, warns });
    match write {
        Write::AddFinalizer
        | Write::RemoveFinalizer
        | Write::DrainFleet { drain: None, .. }
        | Write::CreateAutoscaler(_)
        | Write::ChangeAutoscaler { .. }
        | Write::DeleteAutoscaler { .. } => None,
        Write::CreateFleet(fleet) => {
            let (name, size) = (fleet.metadata.name.clone().unwrap_or_default(), fleet.spec.replicas.unwrap_or(0));
            notice("FleetCreated", "Create", format!("Fleet {name} with {size} servers"), false)
        }
        Write::Scale { fleet, replicas, .. } => {
            notice("Scaled", "Scale", format!("Fleet {fleet} to {replicas} servers"), false)
        }
        Write::DrainFleet { fleet, drain: Some(drain), .. } => {
            let note = format!("Fleet {fleet} drains until {}: {}", drain.deadline_text(), drain.reason);
            notice("Draining", "Drain", note, false)
        }
        Write::DrainServer { server, drain, .. } => {
            let note = format!("server {server} drains until {}: {}", drain.deadline_text(), drain.reason);
            notice("ServerDraining", "Drain", note, false)
        }
        Write::DeleteServer { server, .. } => {
            let note = format!("server {server} was still there after its drain deadline and is deleted");
            notice("ServerOverdue", "Delete", note, true)
        }
        Write::DeleteFleet { fleet, .. } => notice("FleetDeleted", "Delete", format!("Fleet {fleet} is empty"), false),
        Write::Status(status) => degraded(before, status),
    }
}

/// A Degraded that begins, or that begins to say something else.
fn degraded(before: &GameFleet, status: &GameFleetStatus) -> Option<Notice> {
    let said = before.status.as_ref().map(|status| Conditions::new(status.conditions.clone())).unwrap_or_default();
    let says = Conditions::new(status.conditions.clone());
    let now = says.get("Degraded").filter(|_| says.holds("Degraded"))?;
    let known = said.holds("Degraded") && said.get("Degraded").is_some_and(|then| then.reason == now.reason);
    let reason = match now.reason.as_str() {
        "InvalidTemplate" => "InvalidTemplate",
        "AllocatorUnreachable" => "AllocatorUnreachable",
        "MatchmakerUnreachable" => "MatchmakerUnreachable",
        // Told by the rollout's own news.
        _ => return None,
    };
    (!known).then(|| Notice { reason, action: "Reconcile", note: now.message.clone(), warns: true })
}

/// What a step of a rollout tells, and its word for metrics.
pub(crate) fn of_news(news: &News, status: Option<&GameFleetStatus>) -> (Notice, &'static str) {
    let canary = status.and_then(|status| status.canary.clone().or(status.failed_revision.clone())).unwrap_or_default();
    let stable = status.and_then(|status| status.stable.clone()).unwrap_or_default();
    let weight = status.map(|status| status.rollout.clone()).unwrap_or_default();
    let notice = |reason, note, warns| Notice { reason, action: "Rollout", note, warns };
    match news {
        News::First => (notice("RolloutFirst", format!("revision {stable} takes all matches"), false), "first"),
        News::Began => {
            (notice("RolloutBegan", format!("revision {canary} is tried with {weight} of new matches"), false), "began")
        }
        News::Stepped(_) => {
            (notice("RolloutStepped", format!("revision {canary} gets {weight} of new matches"), false), "stepped")
        }
        News::Promoted => {
            (notice("RolloutPromoted", format!("revision {stable} takes all new matches"), false), "promoted")
        }
        News::RolledBack(fault) => {
            let note = format!("revision {canary} failed: {fault}; new matches go to {stable} again");
            (notice("RolloutRolledBack", note, true), "rolled_back")
        }
        News::Held(fault) => {
            let note = format!("revision {canary} failed: {fault}; its weight stays until the manifest changes");
            (notice("RolloutHeld", note, true), "held")
        }
        News::Withdrawn => {
            (notice("RolloutWithdrawn", format!("the template is that of {stable} again"), false), "withdrawn")
        }
    }
}
