//! A namespace of a real cluster with the accounts, GameServers and pods that a test needs. Nothing runs in the pods: they
//! are never scheduled, for tokens are bound to pods, not to processes.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use allocator::kubernetes::Config;
use allocator::{Limits, Timing};
use crds::agones::{GameServer, GameServerHealth, GameServerSpec};
use crds::labels;
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Container, Namespace, Pod, PodSchedulingGate, PodSpec, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource as _, ResourceExt as _};
use serde_json::json;
use service::token::ServiceTokens;

/// Audience of the allocator.
pub(crate) const AUDIENCE: &str = "muster-allocator";

pub(crate) struct Stage {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    folder: tempfile::TempDir,
}

impl Stage {
    /// A new namespace with the accounts `agones-sdk` and `muster-matchmaker`.
    pub(crate) async fn new(prefix: &str) -> Self {
        let client = Client::try_default().await.expect("KUBECONFIG names a cluster");
        let namespace = format!("{prefix}-{:08x}", service::random::u64() as u32);
        let named = |name: &str| ObjectMeta { name: Some(name.into()), ..ObjectMeta::default() };
        let object = Namespace { metadata: named(&namespace), ..Namespace::default() };
        Api::all(client.clone()).create(&PostParams::default(), &object).await.expect("a namespace");
        let stage = Self { client, namespace, folder: tempfile::tempdir().expect("a folder") };
        for account in ["agones-sdk", "muster-matchmaker"] {
            let object = ServiceAccount { metadata: named(account), ..ServiceAccount::default() };
            stage.api::<ServiceAccount>().create(&PostParams::default(), &object).await.expect("an account");
        }
        stage
    }

    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Removes the namespace and everything in it.
    pub(crate) async fn end(self) {
        let all: Api<Namespace> = Api::all(self.client.clone());
        all.delete(&self.namespace, &DeleteParams::background()).await.expect("the namespace goes");
    }

    /// An allocator of this namespace.
    pub(crate) fn config(&self, pod: &str, lease: cluster::lease::Timing) -> Config {
        Config {
            address: "127.0.0.1:0".parse().expect("an address"),
            admin_address: "127.0.0.1:0".parse().expect("an address"),
            signing_key: Arc::new(testkit::tokens::allocator_key()),
            client: self.client.clone(),
            namespace: self.namespace.clone(),
            game_namespaces: vec![self.namespace.clone()],
            pod: pod.into(),
            advertise: None,
            callers: format!("{}:muster-matchmaker", self.namespace).parse().expect("a caller"),
            interfaces: None,
            agones_backend: allocator::agones::Mode::Direct,
            lease,
            timing: Timing::default(),
            limits: Limits::default(),
        }
    }

    /// A GameServer of Muster's pool, in this state.
    pub(crate) async fn game_server(&self, name: &str, state: &str) -> GameServer {
        let template = json!({ "spec": { "containers": [{ "name": "game", "image": "none" }] } });
        let health =
            GameServerHealth { disabled: true, period_seconds: 5, failure_threshold: 1, initial_delay_seconds: 5 };
        let mut object = GameServer::new(name, GameServerSpec { template, health, ..GameServerSpec::default() });
        let labels = [(labels::POOL, "muster"), ("agones.dev/fleet", "arena-eu")];
        object.metadata.labels = Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
        let api = self.api::<GameServer>();
        let made = api.create(&PostParams::default(), &object).await.expect("a GameServer");
        self.set_state(name, state).await;
        made
    }

    /// What Agones' sidecar would write.
    pub(crate) async fn set_state(&self, name: &str, state: &str) {
        let status =
            json!({ "status": { "state": state, "address": "127.0.0.1", "nodeName": "muster-node", "ports": [] } });
        let api = self.api::<GameServer>();
        api.patch(name, &PatchParams::default(), &Patch::Merge(&status)).await.expect("a state");
    }

    /// The pod of a GameServer.
    pub(crate) async fn pod(&self, server: &GameServer) -> Pod {
        let owner = OwnerReference {
            api_version: "agones.dev/v1".into(),
            kind: GameServer::kind(&()).into_owned(),
            name: server.name_any(),
            uid: server.uid().expect("made"),
            controller: Some(true),
            block_owner_deletion: None,
        };
        let spec = PodSpec {
            containers: vec![Container { name: "game".into(), image: Some("none".into()), ..Container::default() }],
            service_account_name: Some("agones-sdk".into()),
            scheduling_gates: Some(vec![PodSchedulingGate { name: "muster.dev/never".into() }]),
            ..PodSpec::default()
        };
        let labels = BTreeMap::from([(labels::POOL.to_owned(), "muster".to_owned())]);
        let metadata = ObjectMeta {
            name: Some(server.name_any()),
            labels: Some(labels),
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        };
        let pod = Pod { metadata, spec: Some(spec), status: None };
        self.api::<Pod>().create(&PostParams::default(), &pod).await.expect("a pod")
    }

    /// A token that the cluster mints for an account, bound to a pod or to nothing.
    pub(crate) async fn token(&self, account: &str, audience: &str, pod: Option<&Pod>) -> ServiceTokens {
        let bound = pod.map(|pod| BoundObjectReference {
            api_version: Some("v1".into()),
            kind: Some("Pod".into()),
            name: pod.metadata.name.clone(),
            uid: pod.metadata.uid.clone(),
        });
        let spec = TokenRequestSpec {
            audiences: vec![audience.to_owned()],
            bound_object_ref: bound,
            expiration_seconds: Some(3_600),
        };
        let request = TokenRequest { spec, ..TokenRequest::default() };
        let api = self.api::<ServiceAccount>();
        let made: TokenRequest =
            api.create_subresource("token", account, &PostParams::default(), &request).await.expect("a token");
        let file: PathBuf = self.folder.path().join(format!("{:016x}", service::random::u64()));
        std::fs::write(&file, made.status.expect("a status").token).expect("written");
        ServiceTokens::in_file(&file)
    }
}
