//! Operators that end after each of their writes, and operators with old news, on a real API server.

#![expect(clippy::print_stdout, reason = "the test tells what it measured")]

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kube::ResourceExt as _;
use kube::api::DeleteParams;
use serde_json::json;
use service::Shutdown;

use support::transport::Script;
use support::{Stage, holds, metric, stage, until};

/// Looks that a successor may need.
const LOOKS_MAX: f64 = 3.0;

/// The stages of a fleet's life, each with what must be true at its end.
async fn live(stage: &Stage, name: &str, step: usize) {
    match step {
        0 => {
            let rules = json!({ "strategy": "Immediate" });
            let pool = json!({ "minimum": 2, "maximum": 5 });
            let spec = json!({ "build": "1", "template": { "image": "a:1" }, "warmPool": pool, "rollout": rules });
            stage.make(name, spec).await;
        }
        1 => {
            let fleet = stage.fleets_of(name).await.first().expect("one").name_any();
            stage.play(&fleet, true).await;
            stage.change(name, json!({ "build": "2" })).await;
        }
        _ => stage.game_fleets().delete(name, &DeleteParams::default()).await.map(drop).expect("deleted"),
    }
}

async fn settled(stage: &Stage, name: &str, step: usize) {
    match step {
        0 => drop(stage.until(name, "ready", |it| holds(it, "Ready")).await),
        1 => {
            let promoted = |it: &crds::GameFleet| {
                it.status.as_ref().is_some_and(|status| status.rollout == "done" && status.observed_generation == 2)
            };
            stage.until(name, "promoted", promoted).await;
            until("the old Fleet is at 0", async || {
                let fleets = stage.fleets_of(name).await;
                (fleets.len() == 2 && fleets.iter().any(|fleet| fleet.spec.replicas == Some(0))).then_some(())
            })
            .await;
        }
        _ => {
            // The last write of a life lets the GameFleet go: a successor finds nothing.
            until("it drains, or is gone", async || {
                let standing = stage.game_fleets().get_opt(name).await.expect("read");
                standing.is_none_or(|it| holds(&it, "Draining")).then_some(())
            })
            .await;
            for fleet in stage.fleets_of(name).await {
                for server in stage.servers_of(&fleet.name_any()).await.iter().filter(|server| server.is_allocated()) {
                    stage.services.play(&server.name_any(), false);
                    stage.set_state(&server.name_any(), "Reserved").await;
                }
            }
            stage.until_gone(name).await;
        }
    }
}

/// Lives one life under an operator that ends after its `last` write, and then under a successor. Returns the writes that
/// the first one had sent, fewer than `last` when it got to the end.
async fn life(stage: &Stage, name: &str, last: usize) -> usize {
    let script = Arc::new(Script::default());
    script.last_write.store(last, Ordering::SeqCst);
    let shutdown = Shutdown::new();
    let first = operator::start_wrapped(stage.config("first"), shutdown.clone(), |inner| script.wrap(inner)).await;
    let mut first = Some(first.expect("it starts"));
    let mut second = None;
    for step in 0..3 {
        live(stage, name, step).await;
        if first.is_some() {
            tokio::select! {
                () = script.spent.notified() => {
                    first.take().expect("it runs").kill();
                    second = Some(operator::start(stage.config("second"), shutdown.clone()).await.expect("it starts"));
                    let before = metric("muster_operator_looks_total", &["fleet", "wrote"]);
                    settled(stage, name, step).await;
                    let looks = metric("muster_operator_looks_total", &["fleet", "wrote"]) - before;
                    println!("ended after write {last}, in stage {step}: {looks} looks that wrote");
                    // A deletion waits for its match and its servers, and tells of each: those looks are no repair.
                    assert!(step == 2 || looks <= LOOKS_MAX, "{looks} looks");
                    continue;
                }
                () = settled(stage, name, step) => {}
            }
        } else {
            settled(stage, name, step).await;
        }
    }
    // Ended well, the Lease is free for the next life.
    shutdown.trigger();
    for running in [first, second].into_iter().flatten() {
        running.wait().await.expect("a clean end");
    }
    script.writes()
}

/// The Agones of the test panics when a busy server goes with its Fleet.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: KUBECONFIG"]
async fn an_operator_that_ends_after_any_write_is_followed_by_one_that_finishes() {
    stage(async |stage| {
        stage.services.wait("ranked", "nobody", 0);
        for last in 1.. {
            if life(&stage, &format!("f{last}"), last).await < last {
                println!("a whole life is {} writes", last - 1);
                break;
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: KUBECONFIG"]
async fn an_operator_with_old_news_writes_nothing_that_counts_and_catches_up() {
    stage(async |stage| {
        let first = operator::start(stage.config("first"), Shutdown::new()).await.expect("it starts");
        stage.services.wait("ranked", "arena", 0);
        let pool = json!({ "minimum": 2, "maximum": 9 });
        stage.make("arena", json!({ "build": "1", "template": { "image": "a:1" }, "warmPool": pool })).await;
        stage.until("arena", "ready", |it| holds(it, "Ready")).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        first.kill();

        // It lists once, and hears nothing more; meanwhile everything it knows becomes old.
        let script = Arc::new(Script::default());
        script.frozen.store(true, Ordering::SeqCst);
        let stale = operator::start_wrapped(stage.config("stale"), Shutdown::new(), |inner| script.wrap(inner)).await;
        let stale = stale.expect("it starts");
        let ready = format!("http://{}/readyz", stale.admin_address);
        until("its lists are read", async || reqwest::get(&ready).await.ok().filter(|it| it.status() == 200)).await;
        let fleet = stage.fleets_of("arena").await.remove(0).name_any();
        let player = stage.play(&fleet, true).await;
        stage.change("arena", json!({ "warmPool": { "minimum": 3 } })).await;
        let label = kube::api::Patch::Merge(json!({ "metadata": { "labels": { "touched": "yes" } } }));
        stage.fleets().patch(&fleet, &kube::api::PatchParams::default(), &label).await.expect("patched");
        until("it leads", async || stale.leadership.epoch()).await;
        stage.services.wait("ranked", "arena", 8);
        until("it tries", async || (script.writes() > 2).then_some(())).await;
        let standing = stage.fleets().get(&fleet).await.expect("there");
        assert_eq!(standing.spec.replicas, Some(2), "decided on old news, refused by the API server");
        assert!(stage.servers().get_opt(&player).await.expect("read").is_some());
        script.thaw();
        until("it catches up", async || {
            let replicas = stage.fleets().get(&fleet).await.expect("there").spec.replicas;
            replicas.filter(|replicas| *replicas == 6)
        })
        .await;
        assert!(stage.servers().get_opt(&player).await.expect("read").is_some());
        stale.kill();
    })
    .await;
}
