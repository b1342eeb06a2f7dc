//! What Agones' installation puts beside the game servers: their account, its role, their disruption budget.

use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::core::pod::SAFE_TO_EVICT;
use super::error::StandinError;

/// Who applies.
pub(super) const MANAGER: &str = "agones-standin";

/// Makes or corrects the account of game-server pods in a namespace.
///
/// # Errors
/// If the API server refuses.
pub async fn account(client: &Client, namespace: &str) -> Result<(), StandinError> {
    let account = crds::agones::SERVICE_ACCOUNT;
    apply::<ServiceAccount>(client, namespace, account, json!({"apiVersion": "v1", "kind": "ServiceAccount"})).await?;
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "rules": [
        {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]},
        {"apiGroups": ["agones.dev"], "resources": ["gameservers"], "verbs": ["list", "patch", "watch"]},
    ]});
    apply::<Role>(client, namespace, account, role).await?;
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": account}});
    apply::<RoleBinding>(client, namespace, "agones-sdk-access", binding).await?;
    // Every eviction of such a pod is refused: nothing ever makes the budget grow.
    let budget = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "spec": {"minAvailable": "100%", "selector": {"matchLabels": {SAFE_TO_EVICT: "false"}}}});
    apply::<PodDisruptionBudget>(client, namespace, "agones-gameserver-safe-to-evict-false", budget).await
}

async fn apply<K>(client: &Client, namespace: &str, name: &str, mut object: Value) -> Result<(), StandinError>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + Serialize
        + DeserializeOwned
        + std::fmt::Debug,
{
    object["metadata"] = json!({"name": name, "namespace": namespace});
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let applied = api.patch(name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(&object)).await;
    applied.map(drop).map_err(StandinError::api("apply the account of game-server pods"))
}
