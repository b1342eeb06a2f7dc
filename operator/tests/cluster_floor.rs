//! A fleet with `scaling.crashFloor` on a real API server, with the stand-in's autoscaler: while an operator is there the two
//! writers agree, without one the floor holds, and it goes before its Fleet does.

#![expect(clippy::print_stdout, reason = "the test tells what it measured")]

mod support;

use std::time::Instant;

use kube::ResourceExt as _;
use kube::api::{DeleteParams, DynamicObject, ListParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::json;
use service::Shutdown;

use support::{Stage, stage_with_standin, until};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: KUBECONFIG"]
async fn the_operator_decides_while_it_lives_and_a_floor_holds_while_it_does_not() {
    stage_with_standin(async |stage| {
        let first = operator::start(stage.config("one"), Shutdown::new()).await.expect("it starts");
        stage.services.wait("ranked", "arena", 0);
        let spec = json!({
            "build": "1", "template": { "image": "arena:1" }, "warmPool": { "minimum": 1, "maximum": 10 },
            "scaling": { "crashFloor": 3 }
        });
        stage.make("arena", spec).await;
        assert_eq!(until("the operator is asked", async || size(&stage, "Webhook").await).await, 1);

        stage.services.wait("ranked", "arena", 12);
        until("seven servers", async || size(&stage, "Webhook").await.filter(|size| *size == 7)).await;
        // At once by the operator; the autoscaler comes to the same within its interval.
        until("both agree", async || desired(&stage).await.filter(|desired| *desired == 7)).await;

        let died = Instant::now();
        first.kill();
        until("the floor", async || size(&stage, "Buffer").await.filter(|size| *size == 3)).await;
        println!("the floor holds {:.0?} after the operator died", died.elapsed());

        let second = operator::start(stage.config("two"), Shutdown::new()).await.expect("it starts");
        until("seven again", async || size(&stage, "Webhook").await.filter(|size| *size == 7)).await;
        stage.game_fleets().delete("arena", &DeleteParams::default()).await.expect("deleted");
        stage.until_gone("arena").await;
        let left = stage.autoscalers().list(&ListParams::default()).await.expect("a list").items;
        assert!(left.is_empty(), "{:?}", left.iter().map(kube::ResourceExt::name_any).collect::<Vec<_>>());
        second.kill();
    })
    .await;
}

/// The size of the one Fleet, once its autoscaler's last word was by this policy.
async fn size(stage: &Stage, policy: &str) -> Option<u32> {
    let fleet = stage.fleets_of("arena").await.into_iter().next()?;
    (status(stage, &fleet.name_any()).await?["lastAppliedPolicy"] == policy).then_some(fleet.spec.replicas?)
}

async fn desired(stage: &Stage) -> Option<u64> {
    let fleet = stage.fleets_of("arena").await.into_iter().next()?;
    status(stage, &fleet.name_any()).await?["desiredReplicas"].as_u64()
}

async fn status(stage: &Stage, name: &str) -> Option<serde_json::Value> {
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("autoscaling.agones.dev", "v1", "FleetAutoscaler"));
    let api: kube::Api<DynamicObject> = kube::Api::namespaced_with(stage.client.clone(), &stage.namespace, &kind);
    let standing = api.get_opt(name).await.expect("read")?;
    standing.data.get("status").cloned()
}
