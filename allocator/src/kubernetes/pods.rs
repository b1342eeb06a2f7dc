//! Which pod may register as which server. All game servers share one account, so the token alone proves only that it is
//! some game server: its pod has to be the one that belongs to the GameServer of the registered name.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::{ObjectRef, Store};
use service::verify::PodIdentity;
use tonic::Status;

/// What is kept of pods.
pub(super) type PodMeta = PartialObjectMeta<Pod>;

/// The pods of game servers, as they are watched. Cheap to clone.
#[derive(Clone)]
pub(crate) struct PodBook(pub(super) Arc<[Store<PodMeta>]>);

impl std::fmt::Debug for PodBook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PodBook").field("pods", &self.0.iter().map(Store::len).sum::<usize>()).finish()
    }
}

/// Why a pod may not register as a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PodFault {
    /// It names a server that is not its own.
    #[error("pod {pod} may not register as server {server}")]
    OtherServer { pod: String, server: String },
    /// No such pod has been seen, yet or any more.
    #[error("pod {0} has not been seen: register again")]
    Unknown(String),
    /// The token is of an earlier pod of this name.
    #[error("the token is of another pod that was named {0}")]
    OtherPod(String),
    /// It belongs to no GameServer of its name.
    #[error("pod {0} belongs to no GameServer")]
    NoServer(String),
}

impl PodFault {
    /// The fault as a metric label.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::OtherServer { .. } => "other_server",
            Self::Unknown(_) => "unknown_pod",
            Self::OtherPod(_) => "other_pod",
            Self::NoServer(_) => "no_game_server",
        }
    }

    /// The status that ends its stream.
    pub(crate) fn status(&self) -> Status {
        match self {
            Self::Unknown(_) => Status::unavailable(self.to_string()),
            Self::OtherServer { .. } | Self::OtherPod(_) | Self::NoServer(_) => {
                Status::permission_denied(self.to_string())
            }
        }
    }
}

impl PodBook {
    /// Whether this pod may register as the server `name`.
    ///
    /// # Errors
    /// [`PodFault`].
    pub(crate) fn check(&self, pod: &PodIdentity, name: &str) -> Result<(), PodFault> {
        let key = ObjectRef::new(&pod.name).within(&pod.namespace);
        let seen = self.0.iter().find_map(|store| store.get(&key));
        judge(seen.as_deref(), pod, name)
    }
}

fn judge(seen: Option<&PodMeta>, pod: &PodIdentity, name: &str) -> Result<(), PodFault> {
    if pod.name != name {
        return Err(PodFault::OtherServer { pod: pod.name.clone(), server: name.to_owned() });
    }
    let seen = seen.ok_or_else(|| PodFault::Unknown(pod.name.clone()))?;
    if seen.uid().as_deref() != Some(pod.uid.as_str()) {
        return Err(PodFault::OtherPod(pod.name.clone()));
    }
    let owns = seen.owner_references().iter().any(|owner| {
        owner.kind == "GameServer"
            && owner.api_version.starts_with("agones.dev/")
            && owner.name == name
            && owner.controller == Some(true)
    });
    if owns { Ok(()) } else { Err(PodFault::NoServer(pod.name.clone())) }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

    use super::*;

    fn pod(uid: &str, owner: OwnerReference) -> PodMeta {
        let metadata = ObjectMeta {
            name: Some("arena-1".into()),
            uid: Some(uid.into()),
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        };
        PodMeta { metadata, ..PodMeta::default() }
    }

    fn owner(kind: &str, name: &str, controller: bool) -> OwnerReference {
        let api_version = "agones.dev/v1".into();
        let controller = Some(controller);
        OwnerReference { api_version, kind: kind.into(), name: name.into(), controller, ..OwnerReference::default() }
    }

    #[test]
    fn a_pod_registers_as_its_own_game_server_and_as_no_other() {
        let me = PodIdentity { namespace: "games".into(), name: "arena-1".into(), uid: "u-1".into() };
        let seen = pod("u-1", owner("GameServer", "arena-1", true));
        assert_eq!(judge(Some(&seen), &me, "arena-1"), Ok(()));
        let label = |seen: Option<&PodMeta>, name: &str| judge(seen, &me, name).expect_err("refused").label();
        assert_eq!(label(Some(&seen), "arena-2"), "other_server");
        assert_eq!(label(None, "arena-1"), "unknown_pod");
        assert_eq!(label(Some(&pod("u-2", owner("GameServer", "arena-1", true))), "arena-1"), "other_pod");
        for stranger in [
            owner("ReplicaSet", "arena-1", true),
            owner("GameServer", "arena-2", true),
            owner("GameServer", "arena-1", false),
        ] {
            assert_eq!(label(Some(&pod("u-1", stranger)), "arena-1"), "no_game_server");
        }
    }
}
