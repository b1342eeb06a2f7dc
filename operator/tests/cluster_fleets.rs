//! An operator on a real API server: a fleet's whole life, and how little is written.

#![expect(clippy::print_stdout, reason = "the test tells what it measured")]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crds::RevisionPhase;
use kube::ResourceExt as _;
use kube::api::{DeleteParams, PostParams};
use serde_json::json;
use service::Shutdown;

use support::transport::Script;
use support::{holds, metric, stage, until};

/// Idle time in which no write may happen.
const IDLE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: KUBECONFIG"]
async fn a_fleet_follows_its_queue_rests_is_rolled_out_and_goes_when_its_match_has_ended() {
    stage(async |stage| {
        let script = Arc::new(Script::default());
        let (shutdown, began) = (Shutdown::new(), Instant::now());
        let running = operator::start_wrapped(stage.config("one"), shutdown.clone(), |inner| script.wrap(inner)).await;
        let running = running.expect("it starts");
        let ready = format!("http://{}/readyz", running.admin_address);
        until("ready", async || reqwest::get(&ready).await.ok().filter(|answer| answer.status() == 200)).await;
        println!("ready after {:?}", began.elapsed());

        stage.services.wait("ranked", "arena", 0);
        let steps = json!([{ "weight": 50, "pauseSeconds": 1, "minimumSessions": 2 }]);
        let spec = json!({
            "build": "1", "template": { "image": "arena:1" }, "warmPool": { "minimum": 2, "maximum": 20 },
            "scaling": { "scaleDownDelaySeconds": 0 }, "rollout": { "steps": steps }
        });
        stage.make("arena", spec).await;
        let first = stage.until("arena", "two servers", |it| holds(it, "Ready") && count(it) == (2, 2)).await;
        let stable = first.status.expect("written").stable.expect("the first revision");
        let fleet = format!("arena-default-{stable}");

        // Growth: from the queue's picture to the answer of the /scale write.
        stage.services.wait("ranked", "arena", 12);
        stage.until("arena", "seven servers", |it| count(it) == (7, 7)).await;
        let (sum, n) = (
            metric("muster_operator_scale_reaction_seconds_sum", &[]),
            metric("muster_operator_scale_reaction_seconds_count", &[]),
        );
        println!("queue growth to /scale: {:.0} ms ({n} measured)", sum / n * 1_000.0);
        assert!(n >= 1.0 && sum / n < 5.0);

        // Down again, and then nothing but the Lease, which does not go this way.
        stage.services.wait("ranked", "arena", 0);
        stage.until("arena", "two servers again", |it| count(it) == (2, 2)).await;
        tokio::time::sleep(Duration::from_secs(4)).await;
        let before = script.writes();
        tokio::time::sleep(IDLE).await;
        assert_eq!(script.writes() - before, 0, "writes of an idle minute");

        // A rollout with a match on the old revision.
        let player = stage.play(&fleet, true).await;
        stage.change("arena", json!({ "build": "2" })).await;
        let canary = stage.until("arena", "a canary with servers", |it| {
            it.status.as_ref().is_some_and(|status| status.canary.is_some() && status.step_since.is_some())
        });
        let canary = canary.await.status.and_then(|status| status.canary).expect("just seen");
        stage.services.heard().await;
        for n in 0..2 {
            stage.services.end(&format!("match-{n}"), &canary, false);
        }
        let promoted = stage
            .until("arena", "promoted", |it| it.status.as_ref().is_some_and(|s| s.stable.as_ref() == Some(&canary)));
        let old =
            promoted.await.status.expect("written").revisions.into_iter().find(|revision| revision.name == stable);
        assert_eq!(old.map(|revision| revision.phase), Some(RevisionPhase::Draining));
        let drained = until("the old Fleet drains at size 0", async || {
            let old = stage.fleets().get_opt(&fleet).await.expect("read")?;
            (old.spec.replicas == Some(0)).then_some(old)
        });
        assert!(drained.await.annotations().contains_key(crds::labels::DRAIN_DEADLINE));
        assert!(stage.servers().get_opt(&player).await.expect("read").is_some(), "its match goes on");

        // Deleted while the match runs: it stays until the match has ended.
        stage.game_fleets().delete("arena", &DeleteParams::default()).await.expect("deleted");
        stage.until("arena", "it drains", |it| holds(it, "Draining")).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert!(stage.servers().get_opt(&player).await.expect("read").is_some(), "its match goes on");
        stage.play(&fleet, false).await;
        stage.until_gone("arena").await;
        shutdown.trigger();
        running.wait().await.expect("a clean end");
    })
    .await;
}

/// Servers, and servers that should be.
fn count(game_fleet: &crds::GameFleet) -> (u32, u32) {
    let status = game_fleet.status.clone().unwrap_or_default();
    (status.servers, status.regions.iter().map(|region| region.desired).sum())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: KUBECONFIG"]
async fn a_build_that_crashes_is_rolled_back_a_queue_says_who_serves_it_and_the_keys_are_made_once() {
    stage(async |stage| {
        let shutdown = Shutdown::new();
        let running = operator::start(stage.config("one"), shutdown.clone()).await.expect("it starts");
        stage.services.wait("ranked", "arena", 0);
        let queue = json!({
            "apiVersion": "muster.dev/v1alpha1", "kind": "MatchQueue", "metadata": { "name": "ranked" },
            "spec": { "teams": 2, "playersPerTeam": 1, "fleet": "arena" }
        });
        let queue = serde_json::from_value(queue).expect("a queue");
        stage.queues().create(&PostParams::default(), &queue).await.expect("made");
        let reason = async || {
            let status = stage.queues().get("ranked").await.expect("read").status?;
            Some(crds::Conditions::new(status.conditions).get("Ready")?.reason.clone())
        };
        until("no fleet", async || reason().await.filter(|reason| reason == "FleetMissing")).await;
        stage.make("arena", json!({ "build": "1", "template": { "image": "arena:1" } })).await;
        until("not taken", async || reason().await.filter(|reason| reason == "NotTaken")).await;
        stage.services.serve("ranked", &format!("{}/ranked", stage.namespace), 1);
        until("served", async || reason().await.filter(|reason| reason == "Served")).await;

        let first = stage.until("arena", "a server", |it| holds(it, "Ready")).await;
        let stable = first.status.expect("written").stable.expect("the first revision");
        stage.change("arena", json!({ "build": "2" })).await;
        until("rolled back", async || {
            let status = stage.game_fleets().get("arena").await.expect("read").status?;
            if let Some(canary) = &status.canary {
                for server in stage.servers_of(&format!("arena-default-{canary}")).await {
                    stage.set_state(&server.name_any(), "Unhealthy").await;
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    let _ = stage.servers().delete(&server.name_any(), &DeleteParams::default()).await;
                }
            }
            (status.rollout == "rolled back").then_some(status)
        })
        .await;
        let after = stage.until("arena", "one Fleet", |it| holds(it, "Degraded")).await.status.expect("written");
        assert_eq!((after.stable, after.canary), (Some(stable), None));

        let secrets: kube::Api<k8s_openapi::api::core::v1::Secret> =
            kube::Api::namespaced(stage.client.clone(), &stage.namespace);
        let keys = secrets.get(operator::secrets::KEYS).await.expect("made").data.expect("files");
        assert!(["allocator.key", "metagame.key"].iter().all(|file| keys[*file].0.len() == 65));
        assert!(secrets.get(operator::secrets::TLS).await.expect("made").data.expect("files").contains_key("ca.crt"));
        shutdown.trigger();
        running.wait().await.expect("a clean end");
        let again = operator::start(stage.config("two"), Shutdown::new()).await.expect("it starts");
        until("it leads", async || again.leadership.epoch()).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(secrets.get(operator::secrets::KEYS).await.expect("there").data.expect("files"), keys);
        again.kill();
    })
    .await;
}
