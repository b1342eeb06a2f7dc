//! What Agones' FleetAutoscalers are answered when they ask for the size of a Fleet (`scaling.crashFloor`).
//!
//! The leader answers what it has decided, which is what it writes itself. A replica that stands by, or that has not looked
//! yet, answers the size that the Fleet has: for the seconds of a failover nothing changes. Where nobody leads for longer, or
//! the leader no longer decides, there is no answer, and Agones goes on to the floor.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use cluster::lease::Leadership;
use crds::agones::{Fleet, FleetAutoscaleRequest, FleetAutoscaleResponse, FleetAutoscaleReview};
use kube::runtime::reflector::{ObjectRef, Store};
use tokio::time::Instant;

use crate::watches::{Stores, lock};

/// Where it is asked.
pub(crate) const PATH: &str = "/autoscale";
/// A leader that has not decided for so long is stuck: looks are some seconds apart, and half a minute after failures. And
/// so long after its last renewal a Lease has no holder any more: a failover takes some 20 seconds.
const ALIVE_WITHIN: Duration = Duration::from_secs(60);
/// Largest question. It carries the Fleet's annotations, of which the frozen revision is one.
const QUESTION_BYTES_MAX: usize = 1024 * 1024;

/// The sizes that were decided, and those that stand.
pub(crate) struct Sizes {
    leadership: Leadership,
    fleets: BTreeMap<String, Store<Fleet>>,
    decided: Mutex<BTreeMap<(String, String), Decided>>,
}

/// What one look at a GameFleet decided.
struct Decided {
    sizes: BTreeMap<String, u32>,
    at: Instant,
}

impl Sizes {
    pub(crate) fn new(leadership: Leadership, stores: &Stores) -> Self {
        let of = stores.namespaces.iter().map(|(name, space)| (name.clone(), space.fleets.clone()));
        Self { leadership, fleets: of.collect(), decided: Mutex::default() }
    }

    /// A look decided these sizes of a GameFleet's Fleets.
    pub(crate) fn decided(&self, namespace: &str, game_fleet: &str, sizes: BTreeMap<String, u32>, at: Instant) {
        lock(&self.decided).insert((namespace.to_owned(), game_fleet.to_owned()), Decided { sizes, at });
    }

    /// A GameFleet is gone.
    pub(crate) fn forget(&self, namespace: &str, game_fleet: &str) {
        lock(&self.decided).remove(&(namespace.to_owned(), game_fleet.to_owned()));
    }

    fn answer(&self, namespace: &str, fleet: &str) -> Result<u32, Refusal> {
        let known = self.fleets.get(namespace).and_then(|of| of.get(&ObjectRef::new(fleet).within(namespace)));
        let known = known.ok_or(Refusal::Unknown)?;
        let game_fleet = known.metadata.labels.as_ref().and_then(|labels| labels.get(crds::labels::GAME_FLEET));
        let key = (namespace.to_owned(), game_fleet.cloned().unwrap_or_default());
        let decided = lock(&self.decided).get(&key).map(|it| (it.sizes.get(fleet).copied(), it.at.elapsed()));
        let leader = match self.leadership.epoch() {
            Some(_) => Leader::Here(decided),
            None => Leader::Elsewhere(self.leadership.unrenewed_for()),
        };
        size(leader, known.spec.replicas)
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Refusal {
    #[error("this operator has not seen such a Fleet of a GameFleet")]
    Unknown,
    #[error("this operator leads and has decided nothing for this Fleet for long")]
    Stuck,
    #[error("no operator leads")]
    NobodyLeads,
}

/// Who decides.
#[derive(Debug, Clone, Copy)]
enum Leader {
    /// This replica: the size of its last look, if it had one for this Fleet, and how old it is.
    Here(Option<(Option<u32>, Duration)>),
    /// Another one, if the Lease was renewed lately.
    Elsewhere(Option<Duration>),
}

/// The size to answer.
fn size(leader: Leader, stands: Option<u32>) -> Result<u32, Refusal> {
    match leader {
        Leader::Here(Some((_, age))) if age > ALIVE_WITHIN => Err(Refusal::Stuck),
        Leader::Here(Some((Some(size), _))) => Ok(size),
        Leader::Elsewhere(unrenewed) if unrenewed.is_none_or(|age| age > ALIVE_WITHIN) => Err(Refusal::NobodyLeads),
        Leader::Here(_) | Leader::Elsewhere(_) => stands.ok_or(Refusal::Unknown),
    }
}

/// The route that Agones asks.
pub(crate) fn routes(sizes: Arc<Sizes>) -> Router {
    Router::new().route(PATH, post(asked)).layer(DefaultBodyLimit::max(QUESTION_BYTES_MAX)).with_state(sizes)
}

async fn asked(
    State(sizes): State<Arc<Sizes>>,
    Json(review): Json<FleetAutoscaleReview>,
) -> Result<Json<FleetAutoscaleReview>, (StatusCode, String)> {
    let FleetAutoscaleRequest { uid, name, namespace } =
        review.request.ok_or_else(|| (StatusCode::BAD_REQUEST, "the review has no request".to_owned()))?;
    let replicas = sizes.answer(&namespace, &name).map_err(|refusal| {
        tracing::warn!(namespace, fleet = name, %refusal, "Agones is left to the floor");
        (StatusCode::SERVICE_UNAVAILABLE, refusal.to_string())
    })?;
    let response = FleetAutoscaleResponse { uid, scale: true, replicas };
    Ok(Json(FleetAutoscaleReview { request: None, response: Some(response) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leader_answers_what_it_decided_and_everyone_else_what_stands() {
        assert_eq!(size(Leader::Here(Some((Some(7), s(31)))), Some(3)), Ok(7));
        assert_eq!(size(Leader::Elsewhere(Some(s(2))), Some(3)), Ok(3));
        assert_eq!(size(Leader::Here(None), Some(3)), Ok(3), "it has not looked yet");
        assert_eq!(size(Leader::Here(Some((None, s(0)))), Some(3)), Ok(3), "a Fleet that it empties");
    }

    #[test]
    fn without_a_leader_that_decides_there_is_no_answer() {
        assert_eq!(size(Leader::Here(Some((Some(7), s(61)))), Some(3)), Err(Refusal::Stuck));
        assert_eq!(size(Leader::Elsewhere(Some(s(61))), Some(3)), Err(Refusal::NobodyLeads));
        assert_eq!(size(Leader::Elsewhere(None), Some(3)), Err(Refusal::NobodyLeads), "it sees no Lease");
        assert_eq!(size(Leader::Here(None), None), Err(Refusal::Unknown));
    }

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }
}
