//! Sessions over HTTP: listed, ended one by one and all at once, on every instance; and the keys of access tokens.

use std::time::Duration;

use metagame::Schedule;
use protocol::jwt::KeySet;
use reqwest::Method;
use serde_json::{Value, json};

use super::harness::{Answer, Harness, Player};

/// The same player on another session.
async fn again(harness: &Harness, n: u8) -> Player {
    harness.login(n).await
}

async fn me(harness: &Harness, player: &Player) -> Answer {
    harness.get("/v1/players/me", player).await
}

#[tokio::test]
async fn a_player_sees_its_sessions_and_ends_one() {
    let mut harness = Harness::start().await;
    let (first, second) = (harness.login(1).await, again(&harness, 1).await);
    let bob = harness.login(2).await;
    let listed = harness.get("/v1/auth/sessions", &second).await;
    let sessions = listed.body["sessions"].as_array().expect("a list").clone();
    assert_eq!(sessions.len(), 2, "{listed:?}");
    assert_eq!((&sessions[0]["current"], &sessions[1]["current"]), (&json!(true), &json!(false)));
    assert!(sessions.iter().all(|one| one["method"] == "device"));
    let other = format!("/v1/auth/sessions/{}", sessions[1]["session_id"].as_str().expect("an id"));
    let end = async |player: &Player| harness.send(harness.request(Method::DELETE, &other, Some(&player.access))).await;
    assert_eq!(end(&bob).await.problem(), "unknown-session", "only one's own");
    assert_eq!(end(&second).await.status, 204);
    assert_eq!(end(&second).await.problem(), "unknown-session");
    assert_eq!(me(&harness, &first).await.problem(), "session-ended");
    assert_eq!(me(&harness, &second).await.status, 200);
    let refresh = json!({ "refresh_token": first.refresh });
    assert_eq!(harness.post("/v1/auth/refresh", None, &refresh).await.problem(), "session-ended");
    // It outlasts a restart.
    harness.restart().await;
    assert_eq!(me(&harness, &first).await.problem(), "session-ended");
    assert_eq!(me(&harness, &second).await.status, 200);
}

#[tokio::test]
async fn logging_out_ends_the_access_tokens_too() {
    let harness = Harness::start().await;
    let (first, second, third) = (harness.login(1).await, again(&harness, 1).await, again(&harness, 1).await);
    let out = harness.post("/v1/auth/logout", None, &json!({ "refresh_token": first.refresh })).await;
    assert_eq!(out.status, 204);
    assert_eq!(me(&harness, &first).await.problem(), "session-ended");
    assert_eq!(me(&harness, &second).await.status, 200);
    let all = harness.send(harness.request(Method::POST, "/v1/auth/logout-all", Some(&second.access))).await;
    assert_eq!(all.status, 204);
    for player in [&second, &third] {
        assert_eq!(me(&harness, player).await.problem(), "session-ended");
    }
    let back = again(&harness, 1).await;
    assert_eq!(me(&harness, &back).await.status, 200, "a login right after is another session");
}

#[tokio::test]
async fn what_one_instance_ends_the_others_refuse() {
    let harness = Harness::start().await;
    if harness.is_on_file() {
        // One process per file.
        return;
    }
    let other = harness.another().await;
    let (first, second) = (harness.login(1).await, again(&harness, 1).await);
    let at_other = async |player: &Player| {
        let url = format!("http://{}/v1/players/me", other.address);
        harness.send(reqwest::Client::new().get(url).bearer_auth(&player.access)).await
    };
    assert!(at_other(&first).await.status == 200 && at_other(&second).await.status == 200);
    harness.post("/v1/auth/logout", None, &json!({ "refresh_token": first.refresh })).await;
    let now_ms = service::clock::unix_ms();
    let bob = harness.login(2).await;
    harness.store().await.bar_account(bob.id, now_ms + 60_000, now_ms).await.expect("barred");
    for player in [&first, &bob] {
        testkit::wait::until("the other instance refuses", || async {
            let answer = at_other(player).await;
            (answer.status == 401 && answer.problem() == "session-ended").then_some(())
        })
        .await;
    }
    // Its account may have asked more often than it may, while the loop above waited.
    testkit::wait::until("the other session goes on", || async {
        let answer = at_other(&second).await;
        assert_ne!(answer.status, 401, "{answer:?}");
        (answer.status == 200).then_some(())
    })
    .await;
}

async fn published(harness: &Harness) -> Value {
    harness.send(harness.request(Method::GET, "/.well-known/jwks.json", None)).await.body
}

fn kid(token: &str) -> String {
    use base64::Engine as _;
    let head = token.split('.').next().expect("a head");
    let head = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(head).expect("base64url");
    let head: Value = serde_json::from_slice(&head).expect("JSON");
    head["kid"].as_str().expect("a kid").to_owned()
}

#[tokio::test]
async fn keys_take_turns_and_whatever_they_signed_stays_good() {
    let harness = Harness::start_changed(|config, _| {
        config.identity.rotation = Schedule { lead_ms: 200, signs_ms: 600, life_ms: 900_000 };
        config.identity.rotation_look = Duration::from_millis(20);
    })
    .await;
    let mut players = vec![harness.login(1).await];
    for n in 2..5 {
        let before = kid(&players.last().expect("one").access);
        let player = testkit::wait::until("the next key signs", || async {
            let player = harness.login(n).await;
            (kid(&player.access) != before).then_some(player)
        })
        .await;
        players.push(player);
    }
    let keys = KeySet::from_json(&published(&harness).await.to_string()).expect("a key set");
    let names = format!("{keys:?}");
    for player in &players {
        assert!(names.contains(&kid(&player.access)), "published for as long as its tokens live");
        assert_eq!(me(&harness, player).await.status, 200);
    }
}

#[tokio::test]
async fn an_operator_has_a_new_key_made_and_it_outlasts_a_restart() {
    let mut harness =
        Harness::start_changed(|config, _| config.identity.rotation_look = Duration::from_millis(20)).await;
    let before = harness.login(1).await;
    let answer = harness.send(reqwest::Client::new().post(harness.admin_url("/signing-keys/rotate"))).await;
    assert!(answer.body["signs_from_ms"].is_u64(), "{answer:?}");
    let after = testkit::wait::until("the new key signs", || async {
        let player = harness.login(1).await;
        (kid(&player.access) != kid(&before.access)).then_some(player)
    })
    .await;
    harness.restart().await;
    assert_eq!(kid(&harness.login(1).await.access), kid(&after.access));
    for player in [before, after] {
        assert_eq!(me(&harness, &player).await.status, 200);
    }
}
