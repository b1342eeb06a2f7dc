//! Wallets, shop and inventory as clients see them.

use reqwest::Method;
use serde_json::{Value, json};

use super::harness::{Answer, Harness, Player};

/// An operator's order.
pub(crate) async fn grant(harness: &Harness, key: &str, body: &Value) -> Answer {
    let request = reqwest::Client::new().post(harness.admin_url("/grants"));
    harness.send(request.header("idempotency-key", key).json(body)).await
}

pub(crate) async fn give_gold(harness: &Harness, player: &Player, amount: u64) {
    let body = json!({ "player_id": player.id, "operator": "grace", "reason": "a test",
                       "currencies": [{ "currency": "gold", "amount": amount }] });
    let key = hex::encode(service::random::bytes::<16>());
    assert_eq!(grant(harness, &key, &body).await.status, 200);
}

#[tokio::test]
async fn an_operator_gives_once_per_key_and_the_player_sees_it() {
    let harness = Harness::start().await;
    let ada = harness.login(1).await;
    let wallet = harness.get("/v1/players/me/wallet", &ada).await;
    assert_eq!(wallet.body["balances"][1], json!({ "currency": "gold", "name": "Gold", "kind": "soft", "balance": 0 }));
    let order = |amount: u64| {
        json!({ "player_id": ada.id, "operator": "grace", "reason": "compensation",
                "currencies": [{ "currency": "gold", "amount": amount }] })
    };
    let first = grant(&harness, "k-1", &order(50)).await;
    assert_eq!((first.status.as_u16(), &first.body), (200, &json!({ "granted": true })));
    assert!(!first.headers.contains_key("idempotency-replayed"));
    let again = grant(&harness, "\"k-1\"", &order(50)).await;
    assert_eq!((again.status, &again.body), (first.status, &first.body));
    assert_eq!(again.headers["idempotency-replayed"], "true");
    let other = grant(&harness, "k-1", &order(51)).await;
    assert_eq!((other.status.as_u16(), other.problem()), (422, "idempotency-key-reused"));
    for n in 2..6_u64 {
        grant(&harness, &format!("k-{n}"), &order(n)).await;
    }
    let wallet = harness.get("/v1/players/me/wallet", &ada).await;
    assert_eq!(wallet.body["balances"][1]["balance"], 50 + 2 + 3 + 4 + 5);
    let page = harness.get("/v1/players/me/wallet/entries?currency=gold&limit=3", &ada).await;
    let amounts = |page: &Answer| -> Vec<i64> {
        page.body["entries"].as_array().expect("entries").iter().filter_map(|one| one["amount"].as_i64()).collect()
    };
    assert_eq!(amounts(&page), [5, 4, 3]);
    let path = format!("/v1/players/me/wallet/entries?currency=gold&limit=3&cursor={}", page.text("next_cursor"));
    let page = harness.get(&path, &ada).await;
    assert_eq!((amounts(&page), &page.body["next_cursor"]), (vec![2, 50], &Value::Null));
    assert_eq!(page.body["entries"][1]["kind"], "operator");
}

#[tokio::test]
async fn orders_that_cannot_be_are_refused_by_name() {
    let harness = Harness::start().await;
    let ada = harness.login(1).await;
    let rows = [
        (json!({ "currencies": [{ "currency": "dust", "amount": 1 }] }), 422, "invalid-grant"),
        (json!({ "currencies": [{ "currency": "gold", "amount": 0 }] }), 422, "invalid-grant"),
        (json!({ "items": [{ "item": "sword", "quantity": 1 }] }), 422, "invalid-grant"),
        (json!({}), 422, "invalid-grant"),
        (json!({ "coins": 1 }), 422, "wrong-type"),
    ];
    for (mut body, status, slug) in rows {
        for (name, value) in [("player_id", json!(ada.id)), ("operator", json!("grace")), ("reason", json!("a test"))] {
            body[name] = value;
        }
        let answer = grant(&harness, "k", &body).await;
        assert_eq!(
            (answer.status.as_u16(), answer.body["type"].as_str()),
            (status, Some(format!("urn:muster:problem:{slug}").as_str())),
            "{body}"
        );
    }
    let request = reqwest::Client::new().post(harness.admin_url("/grants")).json(&json!({}));
    let answer = harness.send(request).await;
    assert_eq!(
        (answer.status.as_u16(), answer.body["type"].as_str()),
        (400, Some("urn:muster:problem:idempotency-key-missing"))
    );
    let query = harness.get("/v1/players/me/wallet/entries", &ada).await;
    assert_eq!((query.status.as_u16(), query.problem()), (400, "invalid-query"));
    let cursor = harness.get("/v1/players/me/wallet/entries?currency=gold&cursor=x", &ada).await;
    assert_eq!((cursor.status.as_u16(), cursor.problem()), (400, "invalid-cursor"));
    let nobody = harness.send(harness.request(Method::GET, "/v1/players/me/wallet", None)).await;
    assert_eq!((nobody.status.as_u16(), nobody.problem()), (401, "unauthenticated"));
}

/// A metagame with the shop of the tests, and a player.
pub(crate) async fn shop() -> (Harness, Player) {
    let mut harness = Harness::start().await;
    let text = include_str!("../economy/catalog.toml").replacen("version = 1", "version = 2", 1);
    harness.config.parts.economy.catalog = metagame::core::catalog::file::parse(&text).expect("a catalog").into();
    harness.restart().await;
    let ada = harness.login(1).await;
    (harness, ada)
}

pub(crate) async fn keyed(harness: &Harness, player: &Player, path: &str, key: &str, body: &Value) -> Answer {
    let request = harness.request(Method::POST, path, Some(&player.access)).header("idempotency-key", key);
    harness.send(request.json(body)).await
}

#[tokio::test]
async fn a_player_sees_offers_buys_once_per_key_and_has_it() {
    let (harness, ada) = shop().await;
    give_gold(&harness, &ada, 60).await;
    let offers = harness.get("/v1/store/offers", &ada).await;
    let potions = offers.body["offers"].as_array().expect("offers").iter().find(|one| one["offer"] == "potions");
    assert_eq!(potions.expect("potions")["prices"][0], json!({ "currency": "gold", "money": null, "amount": 20 }));
    let buy = |key: &'static str, quantity: u64| {
        let (harness, ada) = (&harness, &ada);
        async move {
            let body = json!({ "offer": "potions", "quantity": quantity });
            keyed(harness, ada, "/v1/store/purchases", key, &body).await
        }
    };
    let copies = futures_util::future::join_all((0..6).map(|_| buy("k1", 2))).await;
    let sold: Vec<_> = copies.iter().filter(|one| one.status == 201).collect();
    assert!(sold.iter().filter(|one| !one.headers.contains_key("idempotency-replayed")).count() == 1, "{copies:?}");
    assert!(sold.iter().all(|one| one.body == sold[0].body), "{copies:?}");
    assert!(copies.iter().all(|one| one.status == 201 || one.problem() == "request-in-flight"), "{copies:?}");
    assert_eq!((&sold[0].body["paid"], &sold[0].body["items"][0]["quantity"]), (&json!(40), &json!(10)));
    let poor = buy("k2", 2).await;
    assert_eq!((poor.status.as_u16(), poor.problem(), &poor.body["balance"]), (402, "too-poor", &json!(20)));
    let again = buy("k2", 2).await;
    assert_eq!((again.status.as_u16(), again.problem()), (402, "too-poor"), "a refusal is an answer too");
    assert_eq!(again.headers["idempotency-replayed"], "true");
    let inventory = harness.get("/v1/players/me/inventory", &ada).await;
    assert_eq!(
        (&inventory.body["items"][0]["item"], &inventory.body["items"][0]["quantity"]),
        (&json!("potion"), &json!(10))
    );
    let item_id = &inventory.body["items"][0]["item_id"];
    let bob = harness.login(2).await;
    let gift = json!({ "to": bob.id, "item_id": item_id, "quantity": 4 });
    let given = keyed(&harness, &ada, "/v1/inventory/gift", "g1", &gift).await;
    assert_eq!((given.status.as_u16(), &given.body["given"][0]["quantity"]), (200, &json!(4)));
    let used = json!({ "item_id": item_id, "quantity": 7 });
    let used = keyed(&harness, &ada, "/v1/inventory/consume", "c1", &used).await;
    assert_eq!((used.status.as_u16(), used.problem(), &used.body["have"]), (409, "too-few-items", &json!(6)));
}

#[tokio::test]
async fn the_aliases_buy_and_show_as_the_addresses_that_they_stand_for() {
    let (harness, ada) = shop().await;
    give_gold(&harness, &ada, 60).await;
    let body = json!({ "offer": "potions" });
    let bare = harness.post("/store/purchase", Some(&ada.access), &body).await;
    assert_eq!((bare.status.as_u16(), bare.problem()), (400, "idempotency-key-missing"));
    let bought = keyed(&harness, &ada, "/store/purchase", "k1", &body).await;
    let again = keyed(&harness, &ada, "/v1/store/purchases", "k1", &body).await;
    assert_eq!((bought.status.as_u16(), &again.body), (201, &bought.body), "one purchase by either address");
    let path = format!("/inventory/{}?limit=5", ada.id);
    let shown = harness.get(&path, &ada).await;
    assert_eq!(shown.body, harness.get("/v1/players/me/inventory?limit=5", &ada).await.body);
    assert_eq!(shown.body["items"][0]["item"], "potion");
    let bob = harness.login(2).await;
    assert_eq!(harness.get(&path, &bob).await.problem(), "not-your-inventory");
}

#[tokio::test]
async fn what_cannot_be_bought_or_done_is_refused_by_name() {
    let (harness, ada) = shop().await;
    let nothing = uuid::Uuid::from_bytes([7; 16]);
    let rows = [
        ("/v1/store/purchases", json!({ "offer": "nothing" }), 404, "unknown-offer"),
        ("/v1/store/purchases", json!({ "offer": "gems-100" }), 409, "not-sold"),
        ("/v1/store/purchases", json!({ "offer": "potions" }), 402, "too-poor"),
        ("/v1/store/purchases", json!({ "offer": "potions", "quantity": 0 }), 422, "invalid-quantity"),
        ("/v1/store/purchases", json!({ "offer": 5 }), 422, "wrong-type"),
        ("/v1/inventory/consume", json!({ "item_id": nothing }), 409, "too-few-items"),
        ("/v1/inventory/consume", json!({ "item_id": nothing, "quantity": 0 }), 422, "invalid-quantity"),
        ("/v1/inventory/craft", json!({ "recipe": "nothing" }), 404, "unknown-recipe"),
        ("/v1/inventory/gift", json!({ "item_id": nothing, "to": ada.id }), 409, "not-possible"),
        ("/v1/inventory/gift", json!({ "item_id": nothing, "to": nothing }), 404, "unknown-player"),
    ];
    for (n, (path, body, status, slug)) in rows.into_iter().enumerate() {
        let answer = keyed(&harness, &ada, path, &format!("k{n}"), &body).await;
        assert_eq!((answer.status.as_u16(), answer.problem()), (status, slug), "{path} {body}");
        let keyless = harness.post(path, Some(&ada.access), &body).await;
        assert_eq!((keyless.status.as_u16(), keyless.problem()), (400, "idempotency-key-missing"), "{path}");
    }
    let region =
        harness.request(Method::PUT, "/v1/store/region", Some(&ada.access)).json(&json!({ "region": "Brazil" }));
    assert_eq!(harness.send(region).await.problem(), "invalid-region");
    for (region, status) in [("BR", 200), ("BR", 200), ("DE", 409)] {
        let request = harness.request(Method::PUT, "/v1/store/region", Some(&ada.access));
        assert_eq!(harness.send(request.json(&json!({ "region": region }))).await.status, status, "{region}");
    }
}
