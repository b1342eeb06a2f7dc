//! From SQLite to PostgreSQL after real use of every part: what clients see there is what they saw here, and they go on.

use std::collections::BTreeSet;
use std::sync::Arc;

use metagame::core::catalog::file;
use metagame::{BusName, BusPlace, BusSettings, DatabaseLocation, NatsAccess, PostgresUrl, copy_to_postgres};
use protocol::id::PartyId;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::postgres::TestDatabase;
use uuid::Uuid;

use super::economy::give_gold;
use super::harness::{Answer, Harness, Player};
use super::passwords::{register, with_mail};
use super::results::{placed, post, result_of, sign};

/// Tables that real use leaves empty by the end of a quiet minute: what is in them is over as soon as it was made, or another process'.
const MAY_BE_EMPTY: f64 = 0.4;

async fn send(harness: &Harness, method: Method, path: &str, player: &Player, body: &Value) -> Answer {
    let key = hex::encode(service::random::bytes::<16>());
    let request = harness.request(method, path, Some(&player.access)).header("idempotency-key", key);
    let answer = harness.send(request.json(body)).await;
    assert!(answer.status.is_success(), "{path}: {answer:?}");
    answer
}

/// Everything that players do, by the API.
async fn use_everything(harness: &Harness) -> (Player, Player) {
    // A match and its result: tickets, histories, ratings, leaderboards, rewards, events.
    let (ada, bob, match_id) = placed(harness).await;
    let body = sign(&result_of(match_id, &[ada.id, bob.id]), service::clock::unix_s());
    assert_eq!(post(harness, match_id, &body).await.status, 200);
    // Who somebody is.
    let mut read = BTreeSet::new();
    register(harness, &mut read, "grace@example.org").await;
    let again = json!({ "refresh_token": bob.refresh });
    assert_eq!(harness.post("/v1/auth/refresh", None, &again).await.status, 200);
    send(harness, Method::POST, "/v1/auth/mfa/totp", &ada, &json!({})).await;
    // Money and goods.
    give_gold(harness, &ada, 500).await;
    give_gold(harness, &bob, 500).await;
    let bought = send(harness, Method::POST, "/v1/store/purchases", &ada, &json!({ "offer": "potions" })).await;
    send(harness, Method::POST, "/v1/store/purchases", &ada, &json!({ "offer": "daily" })).await;
    send(harness, Method::POST, "/v1/store/purchases", &bob, &json!({ "offer": "rare" })).await;
    send(harness, Method::PUT, "/v1/store/region", &ada, &json!({ "region": "BR" })).await;
    let potion = bought.body["items"][0]["item_id"].clone();
    send(harness, Method::POST, "/v1/inventory/consume", &ada, &json!({ "item_id": potion })).await;
    let gives =
        json!({ "items": [{ "item_id": potion, "quantity": 2 }], "currencies": [{ "currency": "gold", "amount": 7 }] });
    send(harness, Method::POST, "/v1/trades", &ada, &json!({ "to": bob.id, "gives": gives })).await;
    // Each other.
    for (one, other) in [(&ada, &bob), (&bob, &ada)] {
        send(harness, Method::PUT, &format!("/v1/players/me/friends/{}", other.id), one, &json!({})).await;
    }
    let party = PartyId::from_entropy([7; 16]);
    send(harness, Method::POST, "/v1/parties", &ada, &json!({ "party_id": party, "open": true })).await;
    send(harness, Method::POST, "/v1/parties/me/invites", &ada, &json!({ "player_id": bob.id })).await;
    let said = json!({ "message_id": Uuid::from_bytes([8; 16]), "text": "Grüße \u{1F3AE}" });
    send(harness, Method::POST, &format!("/v1/chat/party/{party}/messages"), &ada, &said).await;
    send(harness, Method::PUT, &format!("/v1/players/me/mutes/{}", ada.id), &bob, &json!({})).await;
    // What operators decide.
    let decided = json!({ "build": "1.4.0" });
    let admin = reqwest::Client::new().put(harness.admin_url("/minimum-build")).json(&decided);
    assert!(harness.send(admin).await.status.is_success());
    (ada, bob)
}

/// What a player sees of everything that is its own.
async fn seen(harness: &Harness, players: [&Player; 2]) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    for player in players {
        for path in [
            "/v1/players/me",
            "/v1/players/me/matches",
            "/v1/players/me/wallet",
            "/v1/players/me/wallet/entries?currency=gold",
            "/v1/players/me/inventory",
            "/v1/players/me/friends",
            "/v1/players/me/mutes",
            "/v1/players/me/inbox",
            "/v1/players/me/identities",
            "/v1/players/me/party-invites",
            "/v1/trades",
            "/v1/store/offers",
            "/v1/leaderboards/duel",
        ] {
            let answer = harness.get(path, player).await;
            assert_eq!(answer.status, 200, "{path}: {answer:?}");
            all.push((format!("{} {path}", player.id), answer.body));
        }
    }
    all
}

#[tokio::test]
async fn a_used_metagame_moves_to_postgres_and_its_players_notice_nothing() {
    let mut harness = Harness::start_changed(|config, folder| {
        config.identity = with_mail(folder);
        let catalog = file::parse(include_str!("../economy/catalog.toml")).expect("a catalog");
        config.parts.economy.catalog = Arc::new(catalog);
        // Nobody is there: events wait, and move with the rest.
        let place =
            BusPlace::Nats { url: "nats://127.0.0.1:1".parse().expect("an address"), access: NatsAccess::default() };
        config.parts.events = Some(BusSettings { place, name: BusName::default(), keep: BusSettings::KEEP });
    })
    .await;
    let (ada, bob) = use_everything(&harness).await;
    let before = seen(&harness, [&ada, &bob]).await;
    let key = json!({ "offer": "potions" });
    let buy = |harness: &Harness| {
        harness
            .request(Method::POST, "/v1/store/purchases", Some(&bob.access))
            .header("idempotency-key", "again")
            .json(&key)
    };
    let bought = harness.send(buy(&harness)).await;
    let after_purchase = seen(&harness, [&ada, &bob]).await;
    assert_ne!(before, after_purchase);
    let DatabaseLocation::File(file) = harness.config.database.clone() else { panic!("these tests run on a file") };

    let database = TestDatabase::new();
    let url: PostgresUrl = database.url().parse().expect("an address");
    let running = copy_to_postgres(&file, &url, 1, |_| {}).await.expect_err("metagame runs");
    assert!(running.to_string().contains("stop metagame"), "{running}");
    harness.stop().await;
    let moved = copy_to_postgres(&file, &url, 1, |_| {}).await.expect("moved");
    // Reports of the game lie in files of their own and are not moved.
    let moves = moved.tables.iter().filter(|table| table.name != "telemetry");
    let empty: Vec<&str> = moves.filter(|table| table.rows == 0).map(|table| table.name.as_str()).collect();
    eprintln!("{} tables, of them empty: {empty:?}", moved.tables.len());
    assert!((empty.len() as f64) < MAY_BE_EMPTY * moved.tables.len() as f64, "this says too little: {empty:?}");

    harness.config.database = DatabaseLocation::Postgres(url);
    harness.restart().await;
    assert_eq!(seen(&harness, [&ada, &bob]).await, after_purchase);
    // A purchase that was made over there is answered as it was, and moves nothing.
    let again = harness.send(buy(&harness)).await;
    assert_eq!((again.status, &again.body), (bought.status, &bought.body));
    assert!(again.headers.contains_key("idempotency-replayed"));
    assert_eq!(seen(&harness, [&ada, &bob]).await, after_purchase);
    // And everything goes on: sessions, the open trade, a new match.
    let session = harness.post("/v1/auth/refresh", None, &json!({ "refresh_token": ada.refresh })).await;
    assert_eq!(session.status, 200, "{session:?}");
    let trades = harness.get("/v1/trades", &ada).await;
    let trade = trades.body["trades"][0]["trade_id"].as_str().expect("an open trade").to_owned();
    send(
        &harness,
        Method::POST,
        &format!("/v1/trades/{trade}/accept"),
        &bob,
        &json!({ "currencies": [{ "currency": "gold", "amount": 1 }] }),
    )
    .await;
    send(&harness, Method::POST, &format!("/v1/trades/{trade}/confirm"), &ada, &json!({})).await;
    let events = harness.store().await.event_backlogs().await.expect("counts");
    assert!(events[0].pending > 8 && events[0].taken == 0, "{events:?}");
    let books = harness.store().await.verify_ledger().await.expect("verified");
    assert!(books.faults.is_empty() && books.entries > 8, "{books:?}");
}
