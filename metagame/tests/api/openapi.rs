//! The OpenAPI document is checked in and served.

use std::collections::BTreeSet;
use std::path::Path;

use reqwest::Method;
use serde_json::Value;

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

/// Method, address and description of each operation.
fn operations(document: &Value) -> impl Iterator<Item = (String, &Value)> {
    let paths = document["paths"].as_object().expect("paths");
    paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().expect("methods").iter();
        methods.map(move |(method, operation)| (format!("{method} {path}"), operation))
    })
}

#[test]
fn each_operation_has_an_id_of_its_own_and_lists_the_usual_problems() {
    let document = serde_json::to_value(metagame::openapi()).expect("plain data");
    let mut ids = BTreeSet::new();
    for (name, operation) in operations(&document) {
        let id = operation["operationId"].as_str().expect("an id");
        assert!(ids.insert(id), "{name}: there is an operation {id} already; say operation_id = \"…\"");
        for status in ["401", "429", "4XX", "500", "503"] {
            assert!(operation["responses"][status].is_object(), "{name}: no {status}; say responses(UsualProblems, …)");
        }
    }
    assert!(ids.len() > 100, "the document was read: {ids:?}");
}

/// Types of one name are one schema of the document, whichever was read last.
#[test]
fn schemas_that_differ_have_names_that_differ() {
    let (mut names, mut folders) = (BTreeSet::new(), vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("a source file");
            for rest in text.split("ToSchema)]").skip(1) {
                let words = rest.split_whitespace().skip_while(|word| !["struct", "enum"].contains(word));
                let name: String =
                    words.skip(1).take(1).flat_map(str::chars).take_while(|c| c.is_alphanumeric()).collect();
                assert!(names.insert(name.clone()), "{}: there is another schema {name}", path.display());
            }
        }
    }
    assert!(names.len() > 100, "the types were read: {names:?}");
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
        "/game/telemetry",
        "/v1/telemetry:batch",
        "/v1/live/events",
        "/v1/config",
        "/v1/webhooks/anti-cheat/{vendor}",
    ];
    for path in expected {
        assert!(paths.contains_key(path), "{path}");
    }
    assert!(answer.body["components"]["schemas"]["ProblemBody"].is_object());
}
