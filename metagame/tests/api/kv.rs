//! Values per player as clients and servers see them.

use std::sync::Arc;

use metagame::core::kv::Collections;
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH};
use serde_json::{Value, json};

use super::harness::{Answer, Harness, Player};

async fn put(harness: &Harness, player: &Player, path: &str, body: &str, header: Option<(&str, &str)>) -> Answer {
    let request = harness.request(Method::PUT, path, Some(&player.access)).header(CONTENT_TYPE, "application/json");
    let request = match header {
        Some((name, value)) => request.header(name, value),
        None => request,
    };
    harness.send(request.body(body.to_owned())).await
}

fn tag(answer: &Answer) -> String {
    answer.headers[ETAG].to_str().expect("a tag").to_owned()
}

/// A token of one of the studio's servers.
pub(crate) fn service_token(harness: &Harness) -> String {
    let bearer = harness.config.tokens.bearer(metagame::ACCESS_ISSUER).expect("minted");
    bearer.strip_prefix("Bearer ").expect("a bearer token").to_owned()
}

#[tokio::test]
async fn a_value_has_a_tag_and_conditions_are_kept() {
    let harness = Harness::start().await;
    let ada = harness.login(1).await;
    let path = "/v1/kv/saves/slot-1";
    let text = "{\"gold\":  1.50}";
    let first = put(&harness, &ada, path, text, Some((IF_NONE_MATCH.as_str(), "*"))).await;
    assert_eq!((first.status.as_u16(), &first.body), (204, &Value::Null));
    let again = put(&harness, &ada, path, text, Some((IF_NONE_MATCH.as_str(), "*"))).await;
    assert_eq!((again.status.as_u16(), tag(&again)), (204, tag(&first)), "sent again it is the same write");
    let other = put(&harness, &ada, path, "2", Some((IF_NONE_MATCH.as_str(), "*"))).await;
    assert_eq!((other.status.as_u16(), other.problem()), (412, "stale"));
    let read = harness.get(path, &ada).await;
    assert_eq!((read.status.as_u16(), tag(&read), &read.body["gold"]), (200, tag(&first), &json!(1.5)));
    assert_eq!(read.headers["cache-control"], "no-store");
    let known =
        harness.request(Method::GET, path, Some(&ada.access)).header(IF_NONE_MATCH, format!("\"1\", {}", tag(&first)));
    assert_eq!(harness.send(known).await.status, 304);
    let next = put(&harness, &ada, path, "[]", Some((IF_MATCH.as_str(), &tag(&first)))).await;
    assert_eq!(next.status, 204);
    let late = put(&harness, &ada, path, "{}", Some((IF_MATCH.as_str(), &tag(&first)))).await;
    assert_eq!((late.status.as_u16(), late.problem()), (412, "stale"));
    let listed = harness.get("/v1/kv/saves", &ada).await;
    assert_eq!((&listed.body["values"][0]["key"], &listed.body["values"][0]["bytes"]), (&json!("slot-1"), &json!(2)));
    let usage = harness.get("/v1/kv", &ada).await;
    assert_eq!((&usage.body["values"], &usage.body["bytes"]), (&json!(1), &json!(2)));
    for _ in 0..2 {
        let delete = harness.request(Method::DELETE, path, Some(&ada.access));
        assert_eq!(harness.send(delete).await.status, 204);
    }
    assert_eq!(harness.get(path, &ada).await.problem(), "unknown-value");
}

#[tokio::test]
async fn collections_say_who_reads_and_who_writes() {
    let harness = Harness::start().await;
    let (ada, bob) = (harness.login(1).await, harness.login(2).await);
    put(&harness, &ada, "/v1/kv/public/card", "1", None).await;
    put(&harness, &ada, "/v1/kv/saves/a", "1", None).await;
    let of_ada = |rest: &str| format!("/v1/players/{}/kv/{rest}", ada.id);
    assert_eq!(harness.get(&of_ada("public/card"), &bob).await.body, json!(1));
    assert_eq!(harness.get(&of_ada("public"), &bob).await.body["values"][0]["key"], "card");
    for path in ["saves/a", "saves", "server/x"] {
        assert_eq!(harness.get(&of_ada(path), &bob).await.problem(), "not-public", "{path}");
    }
    let refused = put(&harness, &ada, "/v1/kv/server/rank", "1", None).await;
    assert_eq!((refused.status.as_u16(), refused.problem()), (403, "server-only"));
    let refused = put(&harness, &bob, &of_ada("public/card"), "2", None).await;
    assert_eq!(refused.status.as_u16(), 401, "a player's token is no server's");
    let server = service_token(&harness);
    let request = harness.request(Method::PUT, &of_ada("server/rank"), Some(&server)).json(&json!({ "rank": 5 }));
    assert_eq!(harness.send(request).await.status, 204);
    assert_eq!(harness.get("/v1/kv/server/rank", &ada).await.body, json!({ "rank": 5 }));
    let read = harness.request(Method::GET, &of_ada("saves/a"), Some(&server));
    assert_eq!(harness.send(read).await.body, json!(1));
    let writes = json!({ "writes": [{ "player_id": bob.id, "collection": "server", "key": "rank", "value": 7 },
                                    { "player_id": ada.id, "collection": "server", "key": "rank", "delete": true }] });
    let written = harness.post("/v1/kv:write", Some(&server), &writes).await;
    assert_eq!((written.status.as_u16(), &written.body["versions"][1]), (200, &Value::Null));
    assert_eq!(harness.get("/v1/kv", &bob).await.body["values"], 0, "what servers keep is not the player's to pay");
}

#[tokio::test]
async fn several_values_are_written_whole_or_not_at_all() {
    let harness = Harness::start().await;
    let ada = harness.login(1).await;
    let write = |key: &str, more: Value| {
        let mut write = json!({ "collection": "saves", "key": key, "value": { "n": [1] } });
        write.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        write
    };
    let both = json!({ "writes": [write("a", json!({})), write("b", json!({ "if_absent": true }))] });
    let written = harness.post("/v1/kv:write", Some(&ada.access), &both).await;
    assert_eq!(written.status, 200, "{written:?}");
    let stale = json!({ "writes": [write("c", json!({})), write("b", json!({ "if_version": 1 }))] });
    let refused = harness.post("/v1/kv:write", Some(&ada.access), &stale).await;
    assert_eq!((refused.status.as_u16(), refused.problem(), refused.text("key")), (412, "stale", "b"));
    let place = |key: &str| json!({ "collection": "saves", "key": key });
    let read = json!({ "places": [place("b"), place("c")] });
    let read = harness.post("/v1/kv:read", Some(&ada.access), &read).await;
    assert_eq!((&read.body["values"][0]["value"], &read.body["values"][1]), (&json!({ "n": [1] }), &Value::Null));
    assert_eq!(read.body["values"][0]["version"], written.body["versions"][1]);
    let rows = [
        json!({ "writes": [] }),
        json!({ "writes": [write("a", json!({})), write("a", json!({}))] }),
        json!({ "writes": [write("a", json!({ "delete": true }))] }),
        json!({ "writes": [write("a", json!({ "if_absent": true, "if_version": 1 }))] }),
        json!({ "writes": vec![write("a", json!({})); 65] }),
    ];
    for row in rows {
        let answer = harness.post("/v1/kv:write", Some(&ada.access), &row).await;
        assert_eq!((answer.status.as_u16(), answer.problem()), (422, "invalid-batch"));
    }
}

#[tokio::test]
async fn what_cannot_be_kept_is_refused_by_name() {
    let harness = Harness::start_changed(|config, _| {
        let text = "[quota]\nbytes = 20\nvalues = 2\n[[collection]]\nid = \"saves\"\nvalue_bytes_max = 15\n";
        config.parts.collections = Arc::new(Collections::parse(text).expect("collections"));
    })
    .await;
    let ada = harness.login(1).await;
    let rows = [
        ("/v1/kv/saves/a%20b", "1", None, 400, "invalid-id"),
        ("/v1/kv/other/a", "1", None, 404, "unknown-collection"),
        ("/v1/kv/saves/a", "{", None, 400, "malformed-json"),
        ("/v1/kv/saves/a", "\"\\ud800\"", None, 400, "malformed-json"),
        ("/v1/kv/saves/a", "\"0123456789abcdef\"", None, 413, "value-too-large"),
        ("/v1/kv/saves/a", "1", Some(("if-none-match", "\"1\"")), 400, "invalid-precondition"),
        ("/v1/kv/saves/a", "1", Some(("if-match", "*")), 412, "stale"),
        ("/v1/kv/saves/a", "1", Some(("if-match", "W/\"5\"")), 412, "stale"),
    ];
    for (path, body, header, status, slug) in rows {
        let answer = put(&harness, &ada, path, body, header).await;
        assert_eq!((answer.status.as_u16(), answer.problem()), (status, slug), "{path} {body} {header:?}");
    }
    assert_eq!(put(&harness, &ada, "/v1/kv/saves/a", "\"0123456789\"", None).await.status, 204);
    let full = put(&harness, &ada, "/v1/kv/saves/b", "\"0123456789\"", None).await;
    assert_eq!((full.status.as_u16(), full.problem(), &full.body["bytes_max"]), (409, "quota-exceeded", &json!(20)));
    assert_eq!(harness.get("/v1/kv/saves?cursor=x", &ada).await.problem(), "invalid-cursor");
}
