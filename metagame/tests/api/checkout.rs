//! Paying by Stripe, as clients, Stripe and operators see it: a fake of Stripe makes sessions, and tells of them or does not.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Path as UrlPath, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use metagame::core::catalog::file;
use metagame::core::payment::signature::SigningSecret;
use metagame::{StripeSettings, read_stripe};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::wait::until;

use super::harness::{Answer, Harness, Player, any_port};

const KEY: &str = "sk_test_4f1c9a";
const SECRETS: [&str; 2] = ["whsec_new_secret", "whsec_old_secret"];

/// What the fake has been asked, and what it keeps.
#[derive(Default)]
struct Kept {
    /// Sessions by the Idempotency-Key that made them.
    by_key: BTreeMap<String, Value>,
    /// Forms of all calls that make one.
    forms: Vec<BTreeMap<String, String>>,
    /// Statuses that the next calls are answered with.
    failures: Vec<u16>,
    /// The list of events, the oldest first.
    events: Vec<Value>,
    /// Queries for it.
    queries: Vec<BTreeMap<String, String>>,
}

#[derive(Clone, Default)]
pub(crate) struct FakeStripe(Arc<Mutex<Kept>>);

impl FakeStripe {
    pub(crate) async fn serve(&self) -> String {
        let listener = tokio::net::TcpListener::bind(any_port()).await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let router = Router::new()
            .route("/v1/checkout/sessions", post(make))
            .route("/v1/checkout/sessions/{id}", get(show))
            .route("/v1/events", get(list))
            .with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://{address}")
    }

    fn kept<T>(&self, look: impl FnOnce(&mut Kept) -> T) -> T {
        look(&mut self.0.lock().expect("nobody has panicked"))
    }

    /// A player pays, or something else becomes of its session; the session as Stripe tells it.
    fn becomes(&self, order: &str, status: &str, payment_status: &str) -> Value {
        self.kept(|kept| {
            let session = kept.by_key.values_mut().find(|session| session["client_reference_id"] == order);
            let session = session.expect("a session of the order");
            (session["status"], session["payment_status"]) = (status.into(), payment_status.into());
            session["payment_intent"] = format!("pi_{}", &order[..8]).into();
            session.clone()
        })
    }
}

async fn make(State(fake): State<FakeStripe>, headers: HeaderMap, body: String) -> (StatusCode, Json<Value>) {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("").to_owned();
    if header("authorization") != format!("Bearer {KEY}") {
        return (StatusCode::UNAUTHORIZED, Json(json!({ "error": { "type": "invalid_request_error" } })));
    }
    let decode = |text: &str| percent_decoded(&text.replace('+', " "));
    let pairs = body.split('&').filter_map(|pair| pair.split_once('='));
    let form: BTreeMap<String, String> = pairs.map(|(name, value)| (decode(name), decode(value))).collect();
    fake.kept(|kept| {
        kept.forms.push(form.clone());
        if let Some(status) = kept.failures.pop() {
            let status = StatusCode::from_u16(status).expect("a status");
            return (status, Json(json!({ "error": { "type": "api_error", "message": "hush" } })));
        }
        let number = kept.by_key.len();
        let amount: u64 = form["line_items[0][price_data][unit_amount]"].parse().expect("an amount");
        let quantity: u64 = form["line_items[0][quantity]"].parse().expect("a quantity");
        let session = kept.by_key.entry(header("idempotency-key")).or_insert_with(|| {
            json!({ "id": format!("cs_test_{number}"), "object": "checkout.session", "status": "open", "payment_status": "unpaid",
                    "url": format!("https://checkout.stripe.com/c/pay/cs_test_{number}"), "payment_intent": null,
                    "client_reference_id": form["client_reference_id"], "amount_subtotal": amount * quantity,
                    "amount_total": amount * quantity, "currency": form["line_items[0][price_data][currency]"],
                    "metadata": { "muster_order": form["metadata[muster_order]"] } })
        });
        (StatusCode::OK, Json(session.clone()))
    })
}

async fn show(State(fake): State<FakeStripe>, UrlPath(id): UrlPath<String>) -> (StatusCode, Json<Value>) {
    let found = fake.kept(|kept| kept.by_key.values().find(|session| session["id"] == id).cloned());
    found.map_or((StatusCode::NOT_FOUND, Json(json!({}))), |session| (StatusCode::OK, Json(session)))
}

/// Their list of events, in pages of three at most, so that there are several.
async fn list(State(fake): State<FakeStripe>, RawQuery(query): RawQuery) -> (StatusCode, Json<Value>) {
    let query = query.unwrap_or_default();
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let pairs: Vec<_> = pairs.map(|(name, value)| (percent_decoded(name), percent_decoded(value))).collect();
    let kinds: Vec<String> = pairs.iter().filter(|(name, _)| name == "types[]").map(|(_, kind)| kind.clone()).collect();
    let query: BTreeMap<String, String> = pairs.into_iter().collect();
    let second = |name: &str| query[name].parse::<u64>().expect("a second");
    let (since, until) = (second("created[gte]"), second("created[lte]"));
    let most = query["limit"].parse::<usize>().expect("a number").min(3);
    fake.kept(|kept| {
        kept.queries.push(query.clone());
        let is_wanted = |event: &&Value| {
            let at = event["created"].as_u64().expect("a second");
            (since..=until).contains(&at) && kinds.iter().any(|kind| event["type"] == **kind)
        };
        let mut all: Vec<Value> = kept.events.iter().rev().filter(is_wanted).cloned().collect();
        if let Some(after) = query.get("starting_after") {
            let Some(at) = all.iter().position(|event| event["id"] == **after) else {
                return (StatusCode::BAD_REQUEST, Json(json!({ "error": { "type": "invalid_request_error" } })));
            };
            all.drain(..=at);
        }
        let has_more = all.len() > most;
        all.truncate(most);
        (StatusCode::OK, Json(json!({ "object": "list", "data": all, "has_more": has_more })))
    })
}

fn percent_decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        let escaped = (*first == b'%').then(|| hex::decode(&after[..2]).expect("two hex digits"));
        let skip = if escaped.is_some() { 2 } else { 0 };
        bytes.extend(escaped.unwrap_or_else(|| vec![*first]));
        rest = &after[skip..];
    }
    String::from_utf8(bytes).expect("UTF-8")
}

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("chmod");
}

/// Settings with which `address` is Stripe.
pub(crate) fn settings(folder: &Path, address: &str) -> StripeSettings {
    write(folder, "stripe.key", KEY);
    write(folder, "new.secret", SECRETS[0]);
    write(folder, "old.secret", SECRETS[1]);
    let settings = format!(
        "address = \"{address}\"\nkey_file = \"stripe.key\"\nwebhook_secret_files = [\"new.secret\", \"old.secret\"]\n\
         success_url = \"https://game.example/paid?order={{ORDER}}\"\ncancel_url = \"https://game.example/shop\"\n"
    );
    write(folder, "stripe.toml", &settings);
    let mut settings = read_stripe(&folder.join("stripe.toml")).expect("good settings");
    (settings.look_every, settings.list_every) = (Duration::from_millis(50), Duration::from_millis(50));
    settings
}

async fn start() -> (Harness, FakeStripe) {
    let fake = FakeStripe::default();
    let address = fake.serve().await;
    let harness = Harness::start_changed(|config, folder| {
        config.parts.economy.stripe = Some(settings(folder, &address));
        config.parts.economy.catalog =
            Arc::new(file::parse(include_str!("../economy/catalog.toml")).expect("a catalog"));
    })
    .await;
    (harness, fake)
}

async fn checkout(harness: &Harness, player: &Player, key: &str, body: &Value) -> Answer {
    let request = harness.request(Method::POST, "/v1/store/checkout", Some(&player.access));
    harness.send(request.header("idempotency-key", key).json(body)).await
}

async fn tell(harness: &Harness, secret: &str, body: &str) -> Answer {
    let signature = SigningSecret::new(secret).sign(service::clock::unix_s(), body.as_bytes());
    let request = harness.request(Method::POST, "/v1/webhooks/stripe", None).header("stripe-signature", signature);
    harness.send(request.header("content-type", "application/json").body(body.to_owned())).await
}

fn event(id: &str, kind: &str, object: &Value) -> String {
    json!({ "id": id, "type": kind, "created": service::clock::unix_s(), "livemode": false, "data": { "object": object } }).to_string()
}

async fn gems(harness: &Harness, player: &Player) -> i64 {
    let wallet = harness.get("/v1/players/me/wallet", player).await;
    let balances = wallet.body["balances"].as_array().expect("balances").clone();
    balances.iter().find(|one| one["currency"] == "gems").and_then(|one| one["balance"].as_i64()).expect("gems")
}

async fn state(harness: &Harness, player: &Player, order: &str) -> String {
    harness.get(&format!("/v1/store/orders/{order}"), player).await.text("state").to_owned()
}

#[tokio::test]
async fn an_order_is_paid_at_stripe_and_its_goods_come_once() {
    let (harness, fake) = start().await;
    let ada = harness.login(1).await;
    let wanted = json!({ "offer": "gems-100", "quantity": 2, "money": "eur" });
    let made = checkout(&harness, &ada, "k1", &wanted).await;
    assert_eq!(made.status, 201, "{made:?}");
    let order = made.text("order_id").to_owned();
    let again = checkout(&harness, &ada, "k1", &wanted).await;
    assert_eq!((&again.body, again.headers.contains_key("idempotency-replayed")), (&made.body, true));
    let other = checkout(&harness, &ada, "k1", &json!({ "offer": "gems-100" })).await;
    assert_eq!((other.status.as_u16(), other.problem()), (422, "idempotency-key-reused"));
    let form = fake.kept(|kept| kept.forms[0].clone());
    assert_eq!(fake.kept(|kept| kept.forms.len()), 1, "Stripe was asked once");
    let success = format!("https://game.example/paid?order={order}");
    for (name, value) in [
        ("mode", "payment"),
        ("line_items[0][price_data][unit_amount]", "499"),
        ("line_items[0][price_data][currency]", "eur"),
        ("line_items[0][quantity]", "2"),
        ("client_reference_id", order.as_str()),
        ("payment_intent_data[metadata][muster_order]", order.as_str()),
        ("success_url", success.as_str()),
    ] {
        assert_eq!(form.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert_eq!(state(&harness, &ada, &order).await, "open");
    let bob = harness.login(2).await;
    let strange = harness.get(&format!("/v1/store/orders/{order}"), &bob).await;
    assert_eq!((strange.status.as_u16(), strange.problem()), (404, "unknown-order"));

    let session = fake.becomes(&order, "complete", "paid");
    let body = event("evt_1", "checkout.session.completed", &session);
    for secret in [SECRETS[0], SECRETS[1], SECRETS[0]] {
        assert_eq!(tell(&harness, secret, &body).await.status, 200);
    }
    assert_eq!((gems(&harness, &ada).await, state(&harness, &ada, &order).await.as_str()), (200, "paid"));
    let listed = harness.get("/v1/store/orders", &ada).await;
    assert_eq!(
        (&listed.body["orders"][0]["order_id"], &listed.body["orders"][0]["url"]),
        (&json!(order), &Value::Null)
    );
    let refunded = json!({ "id": "ch_1", "payment_intent": session["payment_intent"], "amount_refunded": 499 });
    assert_eq!(tell(&harness, SECRETS[0], &event("evt_2", "charge.refunded", &refunded)).await.status, 200);
    assert_eq!((gems(&harness, &ada).await, state(&harness, &ada, &order).await.as_str()), (100, "partly_refunded"));
}

#[tokio::test]
async fn only_what_stripe_has_signed_is_believed() {
    let (harness, fake) = start().await;
    let ada = harness.login(1).await;
    let made = checkout(&harness, &ada, "k1", &json!({ "offer": "gems-100" })).await;
    let session = fake.becomes(made.text("order_id"), "complete", "paid");
    let body = event("evt_1", "checkout.session.completed", &session);
    let forged = tell(&harness, "whsec_guess", &body).await;
    assert_eq!((forged.status.as_u16(), forged.problem()), (400, "invalid-signature"));
    for header in ["", "t=1,v1=00", "nonsense"] {
        let request = harness.request(Method::POST, "/v1/webhooks/stripe", None).header("stripe-signature", header);
        assert_eq!(harness.send(request.body(body.clone())).await.problem(), "invalid-signature", "{header}");
    }
    let old = SigningSecret::new(SECRETS[0]).sign(service::clock::unix_s() - 400, body.as_bytes());
    let request = harness.request(Method::POST, "/v1/webhooks/stripe", None).header("stripe-signature", old);
    assert_eq!(harness.send(request.body(body.clone())).await.problem(), "invalid-signature");
    // Signed, and about real money, where the key is one for tests.
    let live = body.replace("\"livemode\":false", "\"livemode\":true");
    assert_eq!(tell(&harness, SECRETS[0], &live).await.status, 200);
    assert_eq!(tell(&harness, SECRETS[0], &event("evt_3", "customer.created", &json!({}))).await.status, 200);
    assert_eq!(tell(&harness, SECRETS[0], "{}").await.problem(), "invalid-event");
    assert_eq!(gems(&harness, &ada).await, 0);
}

#[tokio::test]
async fn a_failure_of_stripes_is_tried_again_by_the_same_key_and_makes_one_order() {
    let (harness, fake) = start().await;
    let ada = harness.login(1).await;
    fake.kept(|kept| kept.failures = vec![429, 500]);
    let wanted = json!({ "offer": "hero-pack" });
    for _ in 0..2 {
        let refused = checkout(&harness, &ada, "k1", &wanted).await;
        assert_eq!((refused.status.as_u16(), refused.problem()), (503, "payments-unavailable"));
        assert!(refused.headers.contains_key("retry-after") && !refused.body.to_string().contains("hush"));
    }
    let made = checkout(&harness, &ada, "k1", &wanted).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(harness.get("/v1/store/orders", &ada).await.body["orders"].as_array().map(Vec::len), Some(1));
    let keys: Vec<String> = fake.kept(|kept| kept.by_key.keys().cloned().collect());
    // Stripe repeats a 500 for a day to the same key.
    assert_eq!(keys, [format!("muster-{}-1", made.text("order_id"))]);
}

#[tokio::test]
async fn orders_of_which_no_webhook_tells_are_asked_for() {
    let (harness, fake) = start().await;
    let ada = harness.login(1).await;
    let mut orders = Vec::new();
    for n in 0..2 {
        let made = checkout(&harness, &ada, &format!("k{n}"), &json!({ "offer": "gems-100" })).await;
        orders.push(made.text("order_id").to_owned());
    }
    fake.becomes(&orders[0], "complete", "paid");
    fake.becomes(&orders[1], "expired", "unpaid");
    // As if the first minutes were over.
    let store = harness.store().await;
    let sql = "UPDATE orders SET look_at_ms = 1";
    store.database().statement(metagame::db::Domain::Operations, sql, Vec::new()).await.expect("hastened");
    until("the goods have come", async || (gems(&harness, &ada).await == 100).then_some(())).await;
    until("the other is over", async || (state(&harness, &ada, &orders[1]).await == "closed").then_some(())).await;
    let session = fake.becomes(&orders[0], "complete", "paid");
    tell(&harness, SECRETS[0], &event("evt_late", "checkout.session.completed", &session)).await;
    assert_eq!(gems(&harness, &ada).await, 100, "the late webhook gives nothing more");
    store.close().await;
}

#[tokio::test]
async fn without_stripe_nothing_is_sold_for_money_and_nothing_personal_is_kept_with_it() {
    let plain = Harness::start().await;
    let ada = plain.login(1).await;
    let refused = checkout(&plain, &ada, "k1", &json!({ "offer": "gems-100" })).await;
    assert_eq!((refused.status.as_u16(), refused.problem()), (404, "no-payments"));
    assert_eq!(tell(&plain, SECRETS[0], "{}").await.problem(), "no-payments");

    let (harness, fake) = start().await;
    let bob = harness.login(2).await;
    let made = checkout(&harness, &bob, "k1", &json!({ "offer": "gems-100" })).await;
    let mut session = fake.becomes(made.text("order_id"), "complete", "paid");
    session["customer_details"] = json!({ "email": "bob@private.example", "name": "Robert Private" });
    tell(&harness, SECRETS[0], &event("evt_1", "checkout.session.completed", &session)).await;
    assert_eq!(gems(&harness, &bob).await, 100);
    let kept = harness.database_bytes().await;
    for needle in ["private.example", "Robert Private", KEY, SECRETS[0]] {
        let found = kept.iter().any(|bytes| bytes.windows(needle.len()).any(|window| window == needle.as_bytes()));
        assert!(!found, "{needle} is in the database");
    }
}

#[tokio::test]
async fn an_operator_sees_a_players_orders_and_what_moved_because_of_them() {
    let (harness, fake) = start().await;
    let ada = harness.login(1).await;
    let order = checkout(&harness, &ada, "k1", &json!({ "offer": "gems-100" })).await.text("order_id").to_owned();
    let open = checkout(&harness, &ada, "k2", &json!({ "offer": "gems-100" })).await.text("order_id").to_owned();
    let session = fake.becomes(&order, "complete", "paid");
    tell(&harness, SECRETS[0], &event("evt_1", "checkout.session.completed", &session)).await;
    let disputed =
        json!({ "id": "dp_1", "payment_intent": session["payment_intent"], "amount": 499, "status": "needs_response" });
    tell(&harness, SECRETS[0], &event("evt_2", "charge.dispute.created", &disputed)).await;
    let seen = harness.look(&format!("/players/{}", ada.id)).await;
    let orders: Vec<&Value> = seen.body["orders"].as_array().expect("orders").iter().collect();
    let of = |id: &str| orders.iter().find(|one| one["order_id"] == *id).copied().expect("the order");
    let (one, other) = (of(&order), of(&open));
    assert_eq!((&one["state"], &one["paid"], &one["held"]), (&json!("disputed"), &json!(499), &json!(499)));
    assert_eq!((&one["payment"], &one["entries"]), (&session["payment_intent"], &json!(2)));
    assert_eq!((&other["state"], &other["paid"], &other["session"]), (&json!("open"), &json!(0), &json!("cs_test_1")));
    let moved: Vec<(&str, i64)> = seen.body["movements"]
        .as_array()
        .expect("movements")
        .iter()
        .map(|one| (one["cause"].as_str().expect("a cause"), one["amount"].as_i64().expect("an amount")))
        .collect();
    let cause = |n: u32| format!("payment:{order}:{n}");
    assert_eq!(moved, [(cause(2).as_str(), -100), (cause(1).as_str(), 100)], "the newest first");
    let strange = harness.look("/players/00000000-0000-4000-8000-000000000000").await;
    assert_eq!(strange.problem(), "unknown-player");
}

/// Everything after the payment goes unheard: a webhook whose endpoint is wrong for days.
#[tokio::test]
async fn refunds_and_disputes_of_which_no_webhook_tells_are_found_in_the_list_of_events() {
    let (harness, fake) = start().await;
    let ada = harness.login(1).await;
    let mut orders = Vec::new();
    for n in 0..5 {
        let made = checkout(&harness, &ada, &format!("k{n}"), &json!({ "offer": "gems-100" })).await;
        orders.push(made.text("order_id").to_owned());
    }
    let payments: Vec<Value> = orders
        .iter()
        .map(|order| {
            let session = fake.becomes(order, "complete", "paid");
            let body = event(&format!("evt_paid_{order}").replace('-', ""), "checkout.session.completed", &session);
            fake.kept(|kept| kept.events.push(serde_json::from_str(&body).expect("JSON")));
            session["payment_intent"].clone()
        })
        .collect();
    until("all are paid", async || (gems(&harness, &ada).await == 500).then_some(())).await;
    assert!(fake.kept(|kept| kept.queries.iter().any(|query| query.contains_key("starting_after"))), "by pages");
    let happened = [
        (
            "evt_refund_half",
            "charge.refunded",
            json!({ "id": "ch_0", "payment_intent": payments[0], "amount_refunded": 250 }),
        ),
        (
            "evt_refund_all",
            "charge.refunded",
            json!({ "id": "ch_1", "payment_intent": payments[1], "amount_refunded": 499 }),
        ),
        (
            "evt_dispute",
            "charge.dispute.created",
            json!({ "id": "dp_2", "payment_intent": payments[2], "amount": 499, "status": "needs_response" }),
        ),
        (
            "evt_lost",
            "charge.dispute.closed",
            json!({ "id": "dp_3", "payment_intent": payments[3], "amount": 499, "status": "lost" }),
        ),
        // Nothing of ours, something that cannot be read, and the other mode: none of them keeps the rest from being heard.
        ("evt_other", "customer.created", json!({})),
        ("evt_broken", "charge.refunded", json!({ "id": "ch_9" })),
    ];
    fake.kept(|kept| {
        let tell =
            |(id, kind, object): &(&str, &str, Value)| serde_json::from_str(&event(id, kind, object)).expect("JSON");
        kept.events.extend(happened.iter().map(tell));
        let mut live: Value =
            tell(&("evt_live", "charge.refunded", json!({ "payment_intent": payments[4], "amount_refunded": 499 })));
        live["livemode"] = true.into();
        kept.events.push(live);
    });
    let wanted = ["partly_refunded", "refunded", "disputed", "lost", "paid"];
    for (order, wanted) in orders.iter().zip(wanted) {
        until(wanted, async || (state(&harness, &ada, order).await == wanted).then_some(())).await;
    }
    // Half of the first stay, the third is held, the fifth untouched.
    assert_eq!(gems(&harness, &ada).await, 50 + 100);
    let late = &happened[0];
    assert_eq!(
        tell(&harness, SECRETS[0], &event(late.0, late.1, &late.2)).await.status,
        200,
        "the webhook comes at last"
    );
    assert_eq!(gems(&harness, &ada).await, 50 + 100, "and changes nothing");
    let before = fake.kept(|kept| kept.queries.last().expect("a query")["created[gte]"].clone());
    let before: u64 = before.parse().expect("a second");
    assert!(service::clock::unix_s() - before < 3_600, "what was read is not read again, but for the last minutes");
}
