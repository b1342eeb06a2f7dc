//! Progress and loadouts as clients see them.

use metagame::core::catalog::file as catalog_file;
use metagame::core::progression::file::parse;
use reqwest::Method;
use serde_json::{Value, json};

use super::economy::grant;
use super::harness::{Answer, Harness, Player};
use super::results::{match_id, post, result_of, sign};

const CATALOG: &str = r#"
    version = 2
    [[currency]]
    id = "gold"
    kind = "soft"
    [[item]]
    id = "pass"
    stacks = true
    [[item]]
    id = "sword"
    tradable = true
"#;

/// A metagame with the rules of the tests: its season runs, whenever that is.
async fn game() -> Harness {
    Harness::start_changed(|config, _| {
        let catalog = catalog_file::parse(CATALOG).expect("a catalog");
        let text = include_str!("../players/progression.toml");
        let text = text.replace("2026-11-01T", "2020-11-01T").replace("2026-12-01T", "2120-12-01T");
        config.parts.progression = parse(&text, &catalog).expect("rules").into();
        config.parts.economy.catalog = catalog.into();
    })
    .await
}

async fn play(harness: &Harness, players: [&Player; 2]) {
    let match_id = match_id();
    let result = result_of(match_id, &players.map(|player| player.id));
    let recorded = post(harness, match_id, &sign(&result, service::clock::unix_s())).await;
    assert_eq!(recorded.body["first"], true, "{recorded:?}");
}

async fn claim(harness: &Harness, player: &Player, path: &str, body: Value) -> Answer {
    harness.post(&format!("/v1/progression/{path}"), Some(&player.access), &body).await
}

#[tokio::test]
async fn a_player_plays_sees_progress_and_claims_it() {
    let harness = game().await;
    let (ada, bob) = (harness.login(1).await, harness.login(2).await);
    let fresh = harness.get("/v1/progression", &ada).await;
    assert_eq!(
        (&fresh.body["level"], &fresh.body["next_level_xp"], &fresh.body["season"]),
        (&json!(1), &json!(100), &json!("s1"))
    );
    for _ in 0..3 {
        play(&harness, [&ada, &bob]).await;
    }
    let now = harness.get("/v1/progression", &ada).await.body;
    assert_eq!(
        (&now["xp"], &now["level"], &now["level_xp"], &now["can_prestige"]),
        (&json!(300), &json!(3), &json!(0), &json!(true))
    );
    assert_eq!((&now["levels"][0]["is_reached"], &now["levels"][0]["is_claimed"]), (&json!(true), &json!(false)));
    let stats = harness.get(&format!("/v1/players/{}/stats", ada.id), &bob).await;
    assert_eq!(stats.body["stats"], json!({ "kills": 6, "longest_streak": 0 }));
    let challenges = harness.get("/v1/progression/challenges", &ada).await.body;
    let win = challenges["challenges"].as_array().expect("a list").iter().find(|one| one["challenge"] == "win");
    let win = win.expect("the day's").clone();
    assert_eq!((&win["count"], &win["goal"], &win["is_reached"]), (&json!(3), &json!(2), &json!(true)));
    for first in [true, false] {
        let claimed = claim(&harness, &ada, "challenges/win/claim", json!({ "period": win["period"] })).await;
        assert_eq!((claimed.status.as_u16(), &claimed.body["first"]), (200, &json!(first)));
        assert_eq!(claimed.body["gave"], json!([{ "currency": "gold", "amount": 20 }]));
    }
    let achievements = harness.get("/v1/progression/achievements", &ada).await.body;
    let achievements = achievements["achievements"].as_array().expect("a list");
    assert_eq!(achievements.len(), 1, "the hidden one is not reached: {achievements:?}");
    assert!(achievements[0]["unlocked_at_ms"].is_u64());
    assert_eq!(claim(&harness, &ada, "achievements/veteran/claim", json!({})).await.status, 200);
    assert_eq!(claim(&harness, &ada, "levels/2/claim", json!({})).await.status, 200);
    let paid = json!({ "tier": 1, "track": "paid" });
    assert_eq!(claim(&harness, &ada, "seasons/s1/claim", paid.clone()).await.problem(), "no-pass");
    let order = json!({ "player_id": ada.id, "operator": "grace", "reason": "a test",
                        "items": [{ "item": "pass", "quantity": 1 }, { "item": "sword", "quantity": 1 }] });
    assert_eq!(grant(&harness, "pass", &order).await.status, 200);
    assert_eq!(claim(&harness, &ada, "seasons/s1/claim", paid).await.status, 200);
    let season = harness.get("/v1/progression/seasons/s1", &ada).await.body;
    assert_eq!(
        (&season["xp"], &season["has_pass"], &season["tiers"][0]["paid_is_claimed"]),
        (&json!(330), &json!(true), &json!(true))
    );
    assert_eq!(harness.get("/v1/progression/seasons", &bob).await.body["seasons"][0]["xp"], 150);
    let wallet = harness.get("/v1/players/me/wallet", &ada).await;
    assert_eq!(wallet.body["balances"][0]["balance"], 20 + 7 + 5 + 1_000);
    assert_eq!(claim(&harness, &ada, "unlocks/pistol", json!({})).await.body["first"], true);
    assert_eq!(harness.get("/v1/progression/unlocks", &ada).await.body["unlocks"][1]["is_unlocked"], true);
    let anew = claim(&harness, &ada, "prestige", json!({ "from": 0 })).await;
    assert_eq!(anew.body, json!({ "prestige": 1, "level": 1, "first": true }));
    let profile = harness.get("/v1/players/me", &ada).await.body;
    assert_eq!((&profile["xp"], &profile["level"], &profile["prestige"]), (&json!(300), &json!(1), &json!(1)));
}

#[tokio::test]
async fn what_cannot_be_claimed_is_refused_by_name() {
    let harness = game().await;
    let ada = harness.login(1).await;
    let today = service::clock::unix_ms() / 86_400_000;
    let rows = [
        ("levels/2/claim", json!({}), 409, "not-reached"),
        ("levels/9/claim", json!({}), 404, "unknown-reward"),
        ("levels/x/claim", json!({}), 400, "invalid-id"),
        ("achievements/none/claim", json!({}), 404, "unknown-reward"),
        ("achievements/a%20b/claim", json!({}), 400, "invalid-id"),
        ("challenges/win/claim", json!({ "period": today }), 409, "not-reached"),
        ("challenges/win/claim", json!({ "period": 1 }), 410, "claim-over"),
        ("challenges/win/claim", json!({ "period": u64::MAX }), 409, "not-reached"),
        ("challenges/win/claim", json!({}), 422, "wrong-type"),
        ("seasons/s1/claim", json!({ "tier": 3, "track": "free" }), 404, "unknown-reward"),
        ("seasons/s1/claim", json!({ "tier": 1, "track": "gold" }), 422, "wrong-type"),
        ("unlocks/none", json!({}), 404, "unknown-unlock"),
        ("unlocks/rifle", json!({}), 409, "needs-unlocks"),
        ("unlocks/pistol", json!({}), 402, "too-poor"),
        ("prestige", json!({ "from": 0 }), 409, "no-prestige"),
        ("prestige", json!({ "from": 4 }), 409, "other-prestige"),
    ];
    for (path, body, status, slug) in rows {
        let answer = claim(&harness, &ada, path, body.clone()).await;
        assert_eq!((answer.status.as_u16(), answer.problem()), (status, slug), "{path} {body}");
    }
    let nobody = format!("/v1/players/{}/stats", uuid::Uuid::from_bytes([7; 16]));
    assert_eq!(harness.get(&nobody, &ada).await.problem(), "unknown-player");
    assert_eq!(harness.get("/v1/progression/seasons/none", &ada).await.problem(), "unknown-season");
}

#[tokio::test]
async fn a_loadout_is_saved_shown_and_read_by_servers() {
    let harness = game().await;
    let ada = harness.login(1).await;
    let order = json!({ "player_id": ada.id, "operator": "grace", "reason": "a test", "items": [{ "item": "sword", "quantity": 1 }] });
    assert_eq!(grant(&harness, "sword", &order).await.status, 200);
    let sword = harness.get("/v1/players/me/inventory", &ada).await.body["items"][0]["item_id"].clone();
    let save = async |slot: &str, body: &Value, tag: Option<&str>| {
        let path = format!("/v1/players/me/loadouts/{slot}");
        let request = harness.request(Method::PUT, &path, Some(&ada.access)).json(body);
        let request = tag.map_or(request.try_clone().expect("no stream"), |tag| request.header("if-match", tag));
        harness.send(request).await
    };
    let good = json!({ "items": { "hand": sword } });
    let saved = save("duel", &good, None).await;
    assert_eq!(saved.status, 204);
    let stolen = json!({ "items": { "hand": uuid::Uuid::from_bytes([7; 16]) } });
    let refused = save("duel", &stolen, None).await;
    assert_eq!(
        (refused.status.as_u16(), refused.problem(), &refused.body["places"]),
        (409, "not-your-items", &json!(["hand"]))
    );
    for tag in ["\"7\"", "nonsense"] {
        let late = save("duel", &json!({ "items": {} }), Some(tag)).await;
        assert_eq!((late.status.as_u16(), late.problem()), (412, "stale"), "{tag}");
    }
    assert_eq!(save("du%20el", &good, None).await.problem(), "invalid-id");
    assert_eq!(save("duel", &json!({ "items": { "a b": sword } }), None).await.problem(), "invalid-loadout");
    let bearer = harness.config.tokens.bearer(metagame::ACCESS_ISSUER).expect("minted");
    let path = format!("/v1/players/{}/loadouts", ada.id);
    let server = harness.request(Method::GET, &path, None).header("authorization", bearer);
    for read in [harness.send(server).await, harness.get("/v1/players/me/loadouts", &ada).await] {
        assert_eq!(read.body["loadouts"][0]["items"]["hand"]["item"], "sword", "{read:?}");
    }
    assert_eq!(harness.get(&path, &ada).await.status, 401, "only servers look into others' bags");
    let remove = harness.request(Method::DELETE, "/v1/players/me/loadouts/duel", Some(&ada.access));
    assert_eq!(harness.send(remove).await.status, 204);
}
