//! Sessions and profiles.

use reqwest::Method;
use reqwest::header::{ETAG, IF_MATCH, IF_NONE_MATCH};
use serde_json::json;

use super::harness::Harness;

#[tokio::test]
async fn a_session_is_refreshed_repeated_and_ended_by_a_copy() {
    let harness = Harness::start().await;
    let player = harness.login(1).await;
    let refresh = async |token: &str| harness.post("/v1/auth/refresh", None, &json!({ "refresh_token": token })).await;
    let second = refresh(&player.refresh).await;
    assert_eq!(second.status, 200, "{second:?}");
    let again = refresh(&player.refresh).await;
    assert_eq!(again.text("refresh_token"), second.text("refresh_token"), "the answer may have been lost");
    let access = second.text("access_token").to_owned();
    assert_eq!(harness.send(harness.request(Method::GET, "/v1/players/me", Some(&access))).await.status, 200);
    let third = refresh(second.text("refresh_token")).await;
    assert_eq!(third.status, 200);
    let reused = refresh(&player.refresh).await;
    assert_eq!((reused.status.as_u16(), reused.problem()), (401, "refresh-reused"));
    assert_eq!(refresh(third.text("refresh_token")).await.problem(), "session-ended");
    assert_eq!(refresh("forged").await.problem(), "refresh-invalid");
}

#[tokio::test]
async fn logging_out_ends_the_session() {
    let harness = Harness::start().await;
    let player = harness.login(1).await;
    let body = json!({ "refresh_token": player.refresh });
    assert_eq!(harness.post("/v1/auth/logout", None, &body).await.status, 204);
    assert_eq!(harness.post("/v1/auth/refresh", None, &body).await.problem(), "session-ended");
}

#[tokio::test]
async fn the_profile_has_a_version() {
    let harness = Harness::start().await;
    let player = harness.login(1).await;
    let profile = harness.get("/v1/players/me", &player).await;
    assert_eq!((profile.text("name"), &profile.body["level"], &profile.body["xp"]), ("Player 1", &json!(1), &json!(0)));
    let tag = profile.headers[ETAG].to_str().expect("ASCII").to_owned();
    let me = |method| harness.request(method, "/v1/players/me", Some(&player.access));
    assert_eq!(harness.send(me(Method::GET).header(IF_NONE_MATCH, &tag)).await.status, 304);
    let rename = |tag: &str| me(Method::PATCH).header(IF_MATCH, tag).json(&json!({ "name": "Ada" }));
    let renamed = harness.send(rename(&tag)).await;
    assert_eq!((renamed.status.as_u16(), renamed.text("name")), (200, "Ada"));
    let stale = harness.send(rename(&tag)).await;
    assert_eq!((stale.status.as_u16(), stale.problem()), (412, "stale"));
    assert_eq!(harness.send(rename("W/\"x\"")).await.problem(), "stale");
    assert_eq!(harness.send(rename("*")).await.status, 200);
}

#[tokio::test]
async fn the_aliases_answer_as_their_originals_do() {
    let harness = Harness::start().await;
    let login = json!({ "device_id": format!("aa{:030x}", 1) });
    let session = harness.post("/auth/login", None, &login).await;
    assert_eq!(session.body["created"], true);
    let same = harness.post("/v1/auth/device", None, &login).await;
    assert_eq!((same.text("player_id"), &same.body["created"]), (session.text("player_id"), &json!(false)));
    let access = session.text("access_token").to_owned();
    let get = async |path: &str| harness.send(harness.request(Method::GET, path, Some(&access))).await;
    let profile = get(&format!("/player/{}/profile", session.text("player_id"))).await;
    assert!(profile.text("name").starts_with("Player-"));
    assert_eq!(get("/matchmaking/status").await.problem(), "no-ticket");
    let joined = harness.post("/matchmaking/join", Some(&access), &json!({ "queue": "duel" })).await;
    assert_eq!((joined.status.as_u16(), joined.text("state")), (201, "queued"));
    assert_eq!(get("/matchmaking/status").await.text("ticket_id"), joined.text("ticket_id"));
    assert_eq!(get("/leaderboards/duel").await.body["entries"], json!([]));
}
