//! Maintenance and minimum builds, from the admin port to the client.

use reqwest::Method;
use reqwest::header::RETRY_AFTER;
use serde_json::{Value, json};

use super::harness::{Answer, Harness, Player};

async fn admin(harness: &Harness, method: Method, path: &str, body: Option<Value>) -> Answer {
    let request = reqwest::Client::new().request(method, harness.admin_url(path));
    harness.send(if let Some(body) = body { request.json(&body) } else { request }).await
}

async fn ticket(harness: &Harness, player: &Player, n: u8, build: Option<&str>) -> Answer {
    let mut body = json!({ "ticket_id": uuid::Uuid::from_bytes([n; 16]), "queue": "duel" });
    if let Some(build) = build {
        body["build"] = build.into();
    }
    harness.post("/v1/tickets", Some(&player.access), &body).await
}

#[tokio::test]
async fn maintenance_keeps_new_tickets_out_says_why_and_survives_a_restart() {
    let mut harness = Harness::start().await;
    let (early, late) = (harness.login(1).await, harness.login(2).await);
    assert_eq!(ticket(&harness, &early, 1, None).await.status, 201);
    let notice = json!({ "message": "Back at noon.", "retry_after_s": 90 });
    assert_eq!(admin(&harness, Method::PUT, "/maintenance", Some(notice)).await.status, 200);
    harness.restart().await;

    let refused = ticket(&harness, &late, 2, None).await;
    assert_eq!((refused.status.as_u16(), refused.problem()), (503, "maintenance"));
    assert_eq!((refused.text("detail"), refused.headers[RETRY_AFTER].to_str().unwrap()), ("Back at noon.", "90"));
    let alias = harness.post("/matchmaking/join", Some(&late.access), &json!({ "queue": "duel" })).await;
    assert_eq!((alias.status.as_u16(), alias.problem()), (503, "maintenance"));
    // Who queued before keeps the ticket, and everything but queueing goes on.
    assert_eq!(ticket(&harness, &early, 1, None).await.status, 200);
    assert_eq!(harness.get("/v1/players/me", &late).await.status, 200);

    assert_eq!(admin(&harness, Method::DELETE, "/maintenance", None).await.body["maintenance"], Value::Null);
    assert_eq!(ticket(&harness, &late, 2, None).await.status, 201);
}

#[tokio::test]
async fn clients_older_than_the_minimum_build_are_told_to_update() {
    let harness = Harness::start().await;
    let set = admin(&harness, Method::PUT, "/minimum-build", Some(json!({ "build": "1.4.0" }))).await;
    assert_eq!((set.status.as_u16(), set.text("minimum_build")), (200, "1.4.0"));
    let player = harness.login(1).await;
    for old in [Some("1.3.9"), Some("1.4.0-rc.1"), Some("dev"), None] {
        let refused = ticket(&harness, &player, 1, old).await;
        assert_eq!((refused.status.as_u16(), refused.problem()), (426, "client-too-old"), "{old:?}");
        assert_eq!(refused.text("minimum_build"), "1.4.0");
    }
    assert_eq!(ticket(&harness, &player, 1, Some("1.10.0")).await.status, 201);

    let other = harness.login(2).await;
    let own = json!({ "build": "1.0", "queue": "duel" });
    assert_eq!(admin(&harness, Method::PUT, "/minimum-build", Some(own)).await.status, 200);
    assert_eq!(ticket(&harness, &other, 2, Some("1.1")).await.status, 201, "the queue has a minimum of its own");
    let third = harness.login(3).await;
    assert_eq!(admin(&harness, Method::DELETE, "/minimum-build?queue=duel", None).await.status, 200);
    assert_eq!(ticket(&harness, &third, 3, Some("1.1")).await.status, 426);
    assert_eq!(admin(&harness, Method::DELETE, "/minimum-build", None).await.body["minimum_build"], Value::Null);
    assert_eq!(ticket(&harness, &third, 3, None).await.status, 201);
}

#[tokio::test]
async fn impossible_decisions_change_nothing_and_clients_cannot_decide() {
    let harness = Harness::start().await;
    for (path, body) in [
        ("/maintenance", json!({ "message": "", "retry_after_s": 60 })),
        ("/maintenance", json!({ "message": "soon", "retry_after_s": 0 })),
        ("/minimum-build", json!({ "build": "dev" })),
        ("/minimum-build", json!({ "build": "1.0", "typo": 1 })),
    ] {
        let refused = admin(&harness, Method::PUT, path, Some(body.clone())).await;
        assert_eq!(refused.status, 422, "{path} {body}: {refused:?}");
    }
    let shown = admin(&harness, Method::GET, "/admission", None).await;
    let empty = json!({ "maintenance": null, "minimum_build": null, "minimum_build_by_queue": {} });
    assert_eq!(shown.body, empty);
    let player = harness.login(1).await;
    let tried = harness.send(harness.request(Method::DELETE, "/maintenance", Some(&player.access))).await;
    assert_eq!(tried.problem(), "unknown-route", "the API's port knows no such route");
}
