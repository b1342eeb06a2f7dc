//! Every bad request gets the right 4xx, as a problem.

use metagame::args;
use metagame::db::Domain;
use metagame::{ACCESS_ISSUER, ACCESS_TYP, AccessClaims, Limits, Rate};
use protocol::jwt::SigningKey;
use reqwest::Method;
use reqwest::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use serde_json::json;

use super::harness::Harness;

#[tokio::test]
async fn malformed_oversized_and_mistyped_bodies_are_refused_by_name() {
    let harness = Harness::start().await;
    let post = |body: String| {
        harness.request(Method::POST, "/v1/auth/device", None).header(CONTENT_TYPE, "application/json").body(body)
    };
    let rows = [
        ("{".to_owned(), 400, "malformed-json"),
        ("\u{0}\u{1}".to_owned(), 400, "malformed-json"),
        (r#"{"device_id": 5}"#.to_owned(), 422, "wrong-type"),
        ("[]".to_owned(), 422, "wrong-type"),
        (r#"{"device_id": "short"}"#.to_owned(), 422, "invalid-device-id"),
        (format!(r#"{{"device_id": "{:032x}", "name": "\u202e"}}"#, 7), 422, "invalid-name"),
        (format!(r#"{{"device_id": "{}"}}"#, "a".repeat(70_000)), 413, "body-too-large"),
    ];
    for (body, status, slug) in rows {
        let answer = harness.send(post(body.clone())).await;
        assert_eq!((answer.status.as_u16(), answer.problem()), (status, slug), "{body:.40}");
    }
    let untyped = harness.request(Method::POST, "/v1/auth/device", None).body("{}");
    let answer = harness.send(untyped).await;
    assert_eq!((answer.status.as_u16(), answer.problem()), (415, "not-json"));
}

#[tokio::test]
async fn unknown_routes_and_methods_are_problems_too() {
    let harness = Harness::start().await;
    for path in ["/", "/v2/tickets", "/v1/tickets/", "/%ff"] {
        let answer = harness.send(harness.request(Method::GET, path, None)).await;
        assert_eq!((answer.status.as_u16(), answer.problem()), (404, "unknown-route"), "{path}");
    }
    let answer = harness.send(harness.request(Method::PUT, "/v1/players/me", None)).await;
    assert_eq!((answer.status.as_u16(), answer.problem()), (405, "method-not-allowed"));
    let allow = answer.headers.get(ALLOW).and_then(|value| value.to_str().ok()).unwrap_or("");
    assert!(allow.contains("GET") && allow.contains("PATCH"), "{allow}");
    for strange in [Method::from_bytes(b"BREW").expect("a method"), Method::TRACE] {
        let answer = harness.send(harness.request(strange, "/v1/players/me", None)).await;
        assert_eq!(answer.problem(), "method-not-allowed");
    }
}

#[tokio::test]
async fn answers_are_not_taken_for_pages() {
    let harness = Harness::start().await;
    let ada = harness.login(1).await;
    let own = ["/v1/players/me", "/v1/players/me/wallet", "/v1/players/me/identities", "/v1/auth/sessions", "/nowhere"];
    for path in own {
        let answer = harness.get(path, &ada).await;
        let header = |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
        assert_eq!((header("x-content-type-options"), header("cache-control")), ("nosniff", "no-store"), "{path}");
        let policy = header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
        let from_a_page = harness.request(Method::GET, path, Some(&ada.access)).header("origin", "https://eve.example");
        let answer = harness.send(from_a_page).await;
        assert!(!answer.headers.contains_key("access-control-allow-origin"), "{path}");
    }
    let keys = harness.send(harness.request(Method::GET, "/.well-known/jwks.json", None)).await;
    assert_eq!(keys.headers["cache-control"], "public, max-age=300", "what is for everybody may be kept");
}

#[tokio::test]
async fn a_parameter_twice_or_elsewhere_is_refused_or_nothing() {
    let harness = Harness::start().await;
    let ada = harness.login(1).await;
    let twice = harness.get("/v1/players/me/matches?limit=1&limit=200", &ada).await;
    assert_eq!((twice.status.as_u16(), twice.problem()), (400, "invalid-query"));
    let device = format!("{:032x}", 7);
    let text = format!(r#"{{"device_id": "{device}", "device_id": "{device}"}}"#);
    let post = |path: &str, body: &str| {
        let request = harness.request(Method::POST, path, None).header(CONTENT_TYPE, "application/json");
        harness.send(request.body(body.to_owned()))
    };
    assert_eq!(post("/v1/auth/device", &text).await.problem(), "wrong-type");
    let elsewhere = post(&format!("/v1/auth/device?device_id={device}"), "{}").await;
    assert_eq!(elsewhere.problem(), "wrong-type");
}

#[tokio::test]
async fn a_fault_inside_is_told_by_its_request_id_alone() {
    let harness = Harness::start().await;
    let ada = harness.login(1).await;
    let party = json!({ "party_id": uuid::Uuid::from_bytes([7; 16]) });
    assert_eq!(harness.post("/v1/parties", Some(&ada.access), &party).await.status, 201);
    let store = harness.store().await;
    let damage = "UPDATE party_members SET region_rtts = '{hush'";
    store.database().statement(Domain::Operations, damage, args![]).await.expect("damaged");
    let answer = harness.get("/v1/parties/me", &ada).await;
    assert_eq!((answer.status.as_u16(), answer.problem()), (500, "internal"));
    let members: Vec<&String> = answer.body.as_object().expect("an object").keys().collect();
    assert_eq!(members, ["detail", "request_id", "status", "title", "type"]);
    for inside in ["hush", "party_members", "region_rtts", "column", "line 1"] {
        assert!(!answer.body.to_string().contains(inside), "{answer:?}");
    }
}

#[tokio::test]
async fn only_a_fresh_access_token_of_this_installation_is_accepted() {
    let harness = Harness::start().await;
    let player = harness.login(1).await;
    let now = service::clock::unix_s();
    let claims = AccessClaims {
        iss: ACCESS_ISSUER.into(),
        aud: ACCESS_ISSUER.into(),
        sub: player.id,
        sid: uuid::Uuid::from_bytes([1; 16]),
        iat: now - 10,
        exp: now + 10,
        acr: None,
        amr: Vec::new(),
        auth_time: None,
    };
    let key = harness.access_key();
    let rows = [
        (key.sign(ACCESS_TYP, &AccessClaims { exp: now - 1, ..claims.clone() }), "token-expired"),
        (key.sign(ACCESS_TYP, &AccessClaims { aud: "muster-allocator".into(), ..claims.clone() }), "token-invalid"),
        (key.sign(ACCESS_TYP, &AccessClaims { iss: "somebody".into(), ..claims.clone() }), "token-invalid"),
        (key.sign("muster-service+jwt", &claims), "token-invalid"),
        (SigningKey::from_seed(&[9; 32]).sign(ACCESS_TYP, &claims), "token-invalid"),
        ("nonsense".into(), "token-invalid"),
        (player.refresh.clone(), "token-invalid"),
    ];
    for (token, slug) in rows {
        let answer = harness.send(harness.request(Method::GET, "/v1/players/me", Some(&token))).await;
        assert_eq!((answer.status.as_u16(), answer.problem()), (401, slug));
        assert!(answer.headers.contains_key("www-authenticate"));
    }
    let good = key.sign(ACCESS_TYP, &claims);
    assert_eq!(harness.send(harness.request(Method::GET, "/v1/players/me", Some(&good))).await.status, 200);
    let private =
        ["/v1/players/me", "/v1/players/me/matches", "/v1/leaderboards/duel", "/v1/queues", "/matchmaking/status"];
    for path in private {
        let answer = harness.send(harness.request(Method::GET, path, None)).await;
        assert_eq!((answer.status.as_u16(), answer.problem()), (401, "unauthenticated"), "{path}");
    }
}

#[tokio::test]
async fn another_players_data_stays_with_that_player() {
    let harness = Harness::start().await;
    let (alice, bob) = (harness.login(1).await, harness.login(2).await);
    let ticket = harness.queue(&alice).await;
    for path in [format!("/v1/tickets/{ticket}"), format!("/v1/tickets/{ticket}/events")] {
        let answer = harness.get(&path, &bob).await;
        assert_eq!((answer.status.as_u16(), answer.problem()), (403, "not-your-ticket"), "{path}");
    }
    let cancel = harness.request(Method::DELETE, &format!("/v1/tickets/{ticket}"), Some(&bob.access));
    assert_eq!(harness.send(cancel).await.problem(), "not-your-ticket");
    let steal = json!({ "ticket_id": ticket, "queue": "duel" });
    let answer = harness.post("/v1/tickets", Some(&bob.access), &steal).await;
    assert_eq!((answer.status.as_u16(), answer.problem()), (403, "not-your-ticket"));
    let answer = harness.get(&format!("/v1/players/{}/matches", alice.id), &bob).await;
    assert_eq!((answer.status.as_u16(), answer.problem()), (403, "not-your-history"));
    let public = harness.get(&format!("/v1/players/{}", alice.id), &bob).await;
    assert_eq!((public.text("name"), public.body.get("xp")), ("Player 1", None));
}

#[tokio::test]
async fn ids_cursors_and_queries_are_checked() {
    let harness = Harness::start().await;
    let player = harness.login(1).await;
    let rows = [
        ("/v1/tickets/123", 400, "invalid-id"),
        ("/v1/tickets/00000000-0000-4000-8000-000000000001", 404, "unknown-ticket"),
        ("/v1/matches/00000000-0000-4000-8000-000000000001", 404, "unknown-match"),
        ("/v1/players/00000000-0000-4000-8000-000000000001", 404, "unknown-player"),
        ("/v1/players/me/matches?cursor=x", 400, "invalid-cursor"),
        ("/v1/players/me/matches?limit=many", 400, "invalid-query"),
        ("/v1/leaderboards/a%20b", 400, "invalid-id"),
        ("/v1/leaderboards/duel/me", 404, "not-ranked"),
    ];
    for (path, status, slug) in rows {
        let answer = harness.get(path, &player).await;
        assert_eq!((answer.status.as_u16(), answer.problem()), (status, slug), "{path}");
    }
    let regions: Vec<_> = (0..33).map(|n| json!({ "region": n.to_string(), "rtt_ms": 1 })).collect();
    let ticket = json!({ "ticket_id": uuid::Uuid::from_bytes([1; 16]), "queue": "duel", "region_rtts": regions });
    let answer = harness.post("/v1/tickets", Some(&player.access), &ticket).await;
    assert_eq!((answer.status.as_u16(), answer.problem()), (422, "invalid-ticket"));
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_back() {
    let rare = Rate { per_second: 0.001, burst: 2.0 };
    let harness = Harness::start_with(Limits { per_account: rare, ..Limits::default() }, true).await;
    let (alice, bob) = (harness.login(1).await, harness.login(2).await);
    for _ in 0..2 {
        assert_eq!(harness.get("/v1/players/me", &alice).await.status, 200);
    }
    let answer = harness.get("/v1/players/me", &alice).await;
    assert_eq!((answer.status.as_u16(), answer.problem()), (429, "too-many-requests"));
    assert!(answer.headers.contains_key(RETRY_AFTER));
    assert_eq!(harness.get("/v1/players/me", &bob).await.status, 200, "others are not affected");

    let harness = Harness::start_with(Limits { per_address: rare, ..Limits::default() }, true).await;
    for _ in 0..2 {
        assert_eq!(harness.send(harness.request(Method::GET, "/.well-known/jwks.json", None)).await.status, 200);
    }
    let answer = harness.send(harness.request(Method::GET, "/.well-known/jwks.json", None)).await;
    assert_eq!((answer.status.as_u16(), answer.problem()), (429, "too-many-requests"));
}
