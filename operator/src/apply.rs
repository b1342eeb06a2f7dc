//! Carries plans out. Each write names what it was decided on, so one that comes too late changes nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use crds::agones::{Fleet, FleetAutoscaler, GameServer};
use crds::{GameFleet, MatchQueue, MatchQueueStatus, labels};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};

use crate::core::drain::Drain;
use crate::core::reconcile::{Plan, Write};
use crate::core::work::Looked;
use crate::metrics;
use crate::tell::{self, Teller};

/// A write that takes longer is given up; what became of it the next look sees.
const WRITE_WITHIN: Duration = Duration::from_secs(5);

/// Writes to the API server, through the gate.
#[derive(Clone)]
pub(crate) struct Writer {
    client: Client,
    teller: Teller,
}

/// A write that failed.
#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error("no answer from the API server within {WRITE_WITHIN:?}")]
    Late,
    #[error(transparent)]
    Api(#[from] kube::Error),
}

impl WriteError {
    /// Decided on something that is no longer so: look again, there is nothing to report.
    fn is_stale(&self) -> bool {
        matches!(self, Self::Api(kube::Error::Api(status)) if matches!(status.code, 404 | 409))
    }

    fn outcome(&self) -> &'static str {
        match self {
            _ if self.is_stale() => "stale",
            Self::Api(error) if cluster::client::NotLeading::is_cause_of(error) => "not_leading",
            _ => "failed",
        }
    }
}

impl Writer {
    pub(crate) fn new(client: Client, pod: &str) -> Self {
        Self { teller: Teller::new(client.clone(), pod), client }
    }

    /// Carries a plan out up to the first write that fails. `grew` is when a queue's growth was heard that it answers.
    pub(crate) async fn carry_out(
        self,
        game_fleet: &GameFleet,
        plan: Plan,
        grew: Option<tokio::time::Instant>,
    ) -> Looked {
        let mut versions = BTreeMap::new();
        for write in &plan.writes {
            let written = tokio::time::timeout(WRITE_WITHIN, self.write(game_fleet, write, &mut versions)).await;
            let written = written.unwrap_or(Err(WriteError::Late));
            let kind = kind(write);
            metrics::wrote(kind, written.as_ref().err().map_or("done", WriteError::outcome));
            if let Err(error) = written {
                return ended(game_fleet, kind, &error);
            }
            if let (Write::Scale { .. }, Some(grew)) = (write, grew) {
                metrics::reacted(grew.elapsed());
            }
            if let Some(notice) = tell::of_write(write, game_fleet) {
                self.teller.tell(game_fleet, notice).await;
            }
            if let (Write::Status(status), Some(news)) = (write, &plan.news) {
                let (notice, what) = tell::of_news(news, Some(status));
                metrics::rollout(what);
                self.teller.tell(game_fleet, notice).await;
            }
        }
        Looked::Well(plan.again)
    }

    /// Writes the status of a queue.
    pub(crate) async fn queue_status(self, queue: &MatchQueue, status: MatchQueueStatus) -> Looked {
        let api: Api<MatchQueue> = self.api(&queue.namespace().unwrap_or_default());
        let (name, version) = (queue.name_any(), queue.resource_version());
        let write = write_status(&api, &name, version, queue.status.as_ref(), &status);
        let written = match tokio::time::timeout(WRITE_WITHIN, write).await {
            Ok(written) => written.map_err(WriteError::Api),
            Err(_) => Err(WriteError::Late),
        };
        metrics::wrote("queue_status", written.as_ref().err().map_or("done", WriteError::outcome));
        match written {
            Ok(()) => Looked::Well(None),
            Err(error) => ended(queue, "queue_status", &error),
        }
    }

    /// One write. `versions` holds what earlier writes of the plan made of Fleets.
    async fn write(
        &self,
        game_fleet: &GameFleet,
        write: &Write,
        versions: &mut BTreeMap<String, String>,
    ) -> Result<(), WriteError> {
        let namespace = game_fleet.namespace().unwrap_or_default();
        let name = game_fleet.name_any();
        let (fleets, game_fleets) = (self.api::<Fleet>(&namespace), self.api::<GameFleet>(&namespace));
        let post = PostParams::default();
        match write {
            Write::AddFinalizer | Write::RemoveFinalizer => {
                let mut finalizers = game_fleet.finalizers().to_vec();
                finalizers.retain(|name| name != labels::FINALIZER);
                if *write == Write::AddFinalizer {
                    finalizers.push(labels::FINALIZER.into());
                }
                merge(&game_fleets, &name, game_fleet.resource_version(), json!({ "finalizers": finalizers })).await?;
            }
            Write::CreateFleet(fleet) => {
                fleets.create(&post, fleet).await?;
            }
            Write::Scale { fleet, version, replicas } => {
                let version = version.as_ref().or_else(|| versions.get(fleet));
                let scale = json!({ "metadata": { "resourceVersion": version }, "spec": { "replicas": replicas } });
                fleets.patch_scale(fleet, &PatchParams::default(), &Patch::Merge(scale)).await?;
            }
            Write::DrainFleet { fleet, version, drain } => {
                let annotations = json!({ "annotations": annotations(drain.as_ref()) });
                let written = merge(&fleets, fleet, Some(version.clone()), annotations).await?;
                versions.extend(written.resource_version().map(|version| (fleet.clone(), version)));
            }
            Write::DrainServer { server, version, drain } => {
                let annotations = json!({ "annotations": annotations(Some(drain)) });
                merge(&self.api::<GameServer>(&namespace), server, Some(version.clone()), annotations).await?;
            }
            Write::DeleteServer { server, uid, version } => {
                self.api::<GameServer>(&namespace).delete(server, &only(uid, version)).await?;
            }
            Write::DeleteFleet { fleet, uid, version } => {
                fleets.delete(fleet, &only(uid, version)).await?;
            }
            Write::CreateAutoscaler(autoscaler) => {
                self.api::<FleetAutoscaler>(&namespace).create(&post, autoscaler).await?;
            }
            Write::ChangeAutoscaler { name, version, spec } => {
                let patch = json!({ "metadata": { "resourceVersion": version }, "spec": spec });
                let api = self.api::<FleetAutoscaler>(&namespace);
                api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
            }
            Write::DeleteAutoscaler { name, uid, version } => {
                self.api::<FleetAutoscaler>(&namespace).delete(name, &only(uid, version)).await?;
            }
            Write::Status(status) => {
                let (version, before) = (game_fleet.resource_version(), game_fleet.status.as_ref());
                write_status(&game_fleets, &name, version, before, &**status).await?;
            }
        }
        Ok(())
    }

    fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), namespace)
    }
}

fn ended<K: kube::Resource>(object: &K, write: &str, error: &WriteError) -> Looked {
    let name = object.name_any();
    match error.outcome() {
        "stale" => {
            tracing::debug!(object = name, write, %error, "decided on an old copy; looking again");
            Looked::Stale
        }
        "not_leading" => {
            tracing::info!(object = name, write, "not written: this replica does not lead any more");
            Looked::Failed
        }
        _ => {
            tracing::warn!(object = name, write, %error, "a write failed; it is decided anew");
            Looked::Failed
        }
    }
}

/// Merges into the metadata of an object, if it is still of this version.
async fn merge<K>(api: &Api<K>, name: &str, version: Option<String>, mut metadata: Value) -> Result<K, kube::Error>
where
    K: Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    metadata["resourceVersion"] = version.into();
    api.patch(name, &PatchParams::default(), &Patch::Merge(json!({ "metadata": metadata }))).await
}

fn annotations(drain: Option<&Drain>) -> Value {
    json!({
        labels::DRAIN_DEADLINE: drain.map(Drain::deadline_text),
        labels::DRAIN_REASON: drain.map(|drain| &drain.reason),
    })
}

/// Makes the status what it should be, if the object is still of this version.
async fn write_status<K, S>(
    api: &Api<K>,
    name: &str,
    version: Option<String>,
    before: Option<&S>,
    status: &S,
) -> Result<(), kube::Error>
where
    K: Clone + serde::de::DeserializeOwned + std::fmt::Debug,
    S: serde::Serialize,
{
    let value = |status: &S| serde_json::to_value(status).map_err(kube::Error::SerdeError);
    let mut after = value(status)?;
    // In a merge what is absent stays: what is there no longer has to be said.
    if let (Some(before), Some(after)) = (before.map(value).transpose()?, after.as_object_mut()) {
        for key in before.as_object().into_iter().flatten().map(|(key, _)| key) {
            after.entry(key).or_insert(Value::Null);
        }
    }
    let patch = json!({ "metadata": { "resourceVersion": version }, "status": after });
    api.patch_status(name, &PatchParams::default(), &Patch::Merge(patch)).await.map(drop)
}

fn only(uid: &str, version: &str) -> DeleteParams {
    let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version: Some(version.to_owned()) };
    DeleteParams::background().preconditions(preconditions)
}

fn kind(write: &Write) -> &'static str {
    match write {
        Write::AddFinalizer | Write::RemoveFinalizer => "finalizer",
        Write::CreateFleet(_) => "create_fleet",
        Write::Scale { .. } => "scale",
        Write::DrainFleet { .. } => "drain_fleet",
        Write::DrainServer { .. } => "drain_server",
        Write::DeleteServer { .. } => "delete_server",
        Write::DeleteFleet { .. } => "delete_fleet",
        Write::CreateAutoscaler(_) => "create_autoscaler",
        Write::ChangeAutoscaler { .. } => "change_autoscaler",
        Write::DeleteAutoscaler { .. } => "delete_autoscaler",
        Write::Status(_) => "status",
    }
}
