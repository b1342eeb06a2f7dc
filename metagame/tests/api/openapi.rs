//! The OpenAPI document is checked in and served.

use std::path::Path;

use reqwest::Method;

use super::harness::Harness;

/// With UPDATE_GOLDEN=1 the file is written anew.
#[test]
fn the_checked_in_document_is_what_the_code_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    let text = format!("{}\n", metagame::openapi().to_pretty_json().expect("plain data"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &text).expect("docs/openapi.json is written");
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        golden == text,
        "docs/openapi.json is not what the code says: run with UPDATE_GOLDEN=1 and look at the diff"
    );
}

#[tokio::test]
async fn the_document_is_served_and_names_every_route() {
    let harness = Harness::start().await;
    let answer = harness.send(harness.request(Method::GET, "/openapi.json", None)).await;
    assert_eq!(answer.text("openapi"), "3.1.0");
    let paths = answer.body["paths"].as_object().expect("paths");
    let expected = [
        "/v1/auth/device",
        "/v1/auth/refresh",
        "/v1/auth/logout",
        "/.well-known/jwks.json",
        "/v1/players/me",
        "/v1/players/{id}",
        "/v1/players/me/matches",
        "/v1/leaderboards/{queue}",
        "/v1/leaderboards/{queue}/me",
        "/v1/leaderboards/{queue}/entries",
        "/v1/leaderboards/{queue}/entries:batch",
        "/v1/leaderboards/{queue}/seasons",
        "/v1/queues",
        "/v1/tickets",
        "/v1/tickets/{id}",
        "/v1/tickets/{id}/events",
        "/v1/matches/{id}",
        "/v1/matches/{id}/join-token",
        "/v1/matches/{id}/result",
        "/auth/login",
        "/player/{id}/profile",
        "/matchmaking/join",
        "/matchmaking/status",
        "/leaderboards/{name}",
        "/inventory/{id}",
        "/store/purchase",
        "/v1/live/events",
        "/v1/config",
        "/v1/webhooks/anti-cheat/{vendor}",
    ];
    for path in expected {
        assert!(paths.contains_key(path), "{path}");
    }
    assert!(answer.body["components"]["schemas"]["ProblemBody"].is_object());
}
