//! A studio's own rules: what players, game servers and operators see of them.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use metagame::core::webhook::{Secret, verify};
use metagame::read_integrations;
use reqwest::Method;
use reqwest::header::IF_MATCH;
use serde_json::{Value, json};

use super::economy::{give_gold, keyed, shop};
use super::harness::{Answer, Harness, Player};
use super::results::{match_id, post, result_of, sign};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Has these rules hold.
async fn publish(harness: &Harness, seen: u64, rules: &Value) -> u64 {
    let request = reqwest::Client::new().put(harness.admin_url("/live")).header(IF_MATCH, format!("\"{seen}\""));
    let answer = harness.send(request.json(&json!({ "rules": rules }))).await;
    answer.body["version"].as_u64().unwrap_or_else(|| panic!("{answer:?}"))
}

async fn rename(harness: &Harness, player: &Player, name: &str) -> Answer {
    let request = harness.request(Method::PATCH, "/v1/players/me", Some(&player.access));
    harness.send(request.json(&json!({ "name": name }))).await
}

fn words() -> Value {
    json!([{ "id": "reserved-names", "act": "name", "code": "reserved", "message": "This name is taken by the studio.",
             "when": [{ "fact": "name", "contains": ["admin"] }] }])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_about_names_holds_for_renaming_and_for_new_accounts() {
    let harness = Harness::start().await;
    let ada = harness.login(1).await;
    assert_eq!(rename(&harness, &ada, "A.D.M.I.N").await.status, 200, "there is no rule yet");
    publish(&harness, 0, &words()).await;
    let refused = rename(&harness, &ada, "xx Ad-min xx").await;
    assert_eq!((refused.status.as_u16(), refused.problem()), (403, "refused-by-rule"));
    assert_eq!((refused.text("rule"), refused.text("code")), ("reserved-names", "reserved"));
    assert_eq!(refused.text("detail"), "This name is taken by the studio.");
    assert_eq!(rename(&harness, &ada, "Ada").await.text("name"), "Ada");

    let login = async |n: u8, name: &str| {
        let body = json!({ "device_id": format!("{n:02x}{:030x}", 7), "name": name });
        let answer = harness.post("/v1/auth/device", None, &body).await;
        assert_eq!(answer.status, 200, "nobody is kept out for a name: {answer:?}");
        let me = harness.request(Method::GET, "/v1/players/me", Some(answer.text("access_token")));
        harness.send(me).await.text("name").to_owned()
    };
    assert_eq!(login(5, "Bob").await, "Bob");
    assert!(login(6, "the admin").await.starts_with("Player-"));
    assert_eq!(login(1, "the admin").await, "Ada", "an account that is there keeps its name");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_that_a_rule_refuses_does_not_happen_and_its_key_keeps_its_answer() {
    let (harness, ada) = shop().await;
    give_gold(&harness, &ada, 500).await;
    let buy = async |key: &str, path: &str| {
        keyed(&harness, &ada, path, key, &json!({ "offer": "potions", "quantity": 2 })).await
    };
    let before = buy("k1", "/v1/store/purchases").await;
    assert_eq!(before.status, 201, "{before:?}");
    let rule = json!([{ "id": "level-5", "act": "purchase", "code": "level-too-low",
                        "when": [{ "fact": "offer", "one_of": ["potions"] }, { "fact": "level", "at_most": 4 }] }]);
    let version = publish(&harness, 0, &rule).await;
    for path in ["/v1/store/purchases", "/store/purchase"] {
        let refused = buy("k2", path).await;
        assert_eq!((refused.status.as_u16(), refused.problem()), (403, "refused-by-rule"), "{path}");
        assert_eq!(refused.text("code"), "level-too-low");
    }
    let again = buy("k1", "/v1/store/purchases").await;
    assert_eq!((again.status, &again.body), (before.status, &before.body), "what was bought was bought");
    publish(&harness, version, &json!([])).await;
    let late = buy("k2", "/v1/store/purchases").await;
    assert_eq!((late.status.as_u16(), late.problem()), (403, "refused-by-rule"), "a refusal is an answer");
    assert_eq!(late.headers["idempotency-replayed"], "true");
    assert_eq!(buy("k3", "/v1/store/purchases").await.status, 201);
    let wallet = harness.get("/v1/players/me/wallet", &ada).await;
    let gold = wallet.body["balances"].as_array().expect("balances").iter().find(|one| one["currency"] == "gold");
    assert_eq!(gold.expect("gold")["balance"], 500 - 2 * 40, "two purchases, and nothing for those that were refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_a_rule_refuses_counts_for_nobody_until_it_is_allowed_and_stays_once_it_counts() {
    let harness = Harness::start().await;
    let (ada, bob) = (harness.login(1).await, harness.login(2).await);
    let rule = json!([{ "id": "kills", "act": "result", "code": "impossible", "when": [{ "fact": "stat.kills", "at_least": 2 }] }]);
    let version = publish(&harness, 0, &rule).await;
    let (id, now_s) = (match_id(), service::clock::unix_s());
    let body = sign(&result_of(id, &[ada.id, bob.id]), now_s);
    for _ in 0..2 {
        let refused = post(&harness, id, &body).await;
        assert_eq!((refused.status.as_u16(), refused.problem()), (403, "refused-by-rule"));
    }
    assert_eq!(harness.get("/v1/players/me/matches", &ada).await.body["matches"], json!([]));
    let noted: Vec<u64> = harness
        .store()
        .await
        .database()
        .all(
            metagame::db::Domain::Operations,
            "SELECT audit_id FROM audit WHERE kind = 'result_refused_by_rule'",
            metagame::args![],
        )
        .await
        .expect("read");
    assert_eq!(noted.len(), 1, "once, however often it is sent");
    let version = publish(&harness, version, &json!([])).await;
    assert_eq!(post(&harness, id, &body).await.body["first"], true);
    publish(&harness, version, &rule).await;
    let again = post(&harness, id, &body).await;
    assert_eq!((again.status.as_u16(), &again.body["first"]), (200, &json!(false)));
}

#[tokio::test(flavor = "multi_thread")]
async fn parties_and_queues_have_rules_and_what_is_there_already_is_not_asked_about_again() {
    let harness = Harness::start().await;
    let (ada, cleo) = (harness.login(1).await, harness.login(3).await);
    let ticket = harness.queue(&cleo).await;
    let party = json!({ "party_id": uuid::Uuid::from_u128(4) });
    let made = harness.post("/v1/parties", Some(&ada.access), &party).await;
    assert_eq!(made.status, 201, "{made:?}");
    let rules = json!([
        { "id": "no-duel", "act": "queue", "code": "closed", "when": [{ "fact": "queue", "one_of": ["duel"] }] },
        { "id": "no-parties", "act": "party", "code": "closed", "when": [{ "fact": "action", "one_of": ["make", "invite"] }] },
    ]);
    publish(&harness, 0, &rules).await;
    let bob = harness.login(2).await;
    let join = json!({ "queue": "duel" });
    for (path, body) in [
        ("/v1/tickets", json!({ "ticket_id": uuid::Uuid::from_u128(9), "queue": "duel" })),
        ("/matchmaking/join", join),
        ("/v1/parties", json!({ "party_id": uuid::Uuid::from_u128(5) })),
    ] {
        let refused = harness.post(path, Some(&bob.access), &body).await;
        assert_eq!((refused.status.as_u16(), refused.problem()), (403, "refused-by-rule"), "{path}");
    }
    let other = harness.post("/v1/parties/me/invites", Some(&ada.access), &json!({ "player_id": bob.id })).await;
    assert_eq!(other.problem(), "refused-by-rule");
    let same = harness.post("/v1/tickets", Some(&cleo.access), &json!({ "ticket_id": ticket, "queue": "duel" })).await;
    assert_eq!(same.status, 200, "{same:?}");
    assert!(harness.post("/v1/parties", Some(&ada.access), &party).await.status.is_success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_cannot_be_meant_is_not_published_and_operators_can_try_them() {
    let harness = Harness::start().await;
    let bad = json!([{ "id": "a", "act": "purchase", "code": "x", "when": [{ "fact": "price", "at_least": 1 }] },
                     { "id": "b", "act": "name", "code": "x", "when": [] }]);
    let request = reqwest::Client::new().put(harness.admin_url("/live")).header(IF_MATCH, "\"0\"");
    let refused = harness.send(request.json(&json!({ "rules": bad }))).await;
    assert_eq!(refused.problem(), "invalid-document");
    assert!(
        refused.text("detail").contains("for_money") && refused.text("detail").contains("everything"),
        "{refused:?}"
    );
    publish(&harness, 0, &words()).await;
    let ask = async |body: &Value| {
        harness.send(reqwest::Client::new().post(harness.admin_url("/rules/try")).json(body)).await
    };
    let tried = ask(&json!({ "act": "name", "facts": { "name": "Administrator" } })).await;
    assert_eq!((&tried.body["allowed"], &tried.body["refused_by"]["id"]), (&json!(false), &json!("reserved-names")));
    assert_eq!(ask(&json!({ "act": "name", "facts": { "name": "Ada" } })).await.body["allowed"], true);
    assert_eq!(ask(&json!({ "act": "name", "facts": { "name": 5 } })).await.problem(), "invalid-facts");
    let others = json!({ "act": "party", "facts": { "level": 1 }, "rules": [
        { "id": "a", "act": "party", "code": "x", "when": [{ "fact": "level", "at_most": 1 }] }] });
    assert_eq!(ask(&others).await.body["refused_by"]["id"], "a");
    let shown = harness.send(reqwest::Client::new().get(harness.admin_url("/rules"))).await;
    assert_eq!((&shown.body["rules"][0]["id"], &shown.body["hooks"]), (&json!("reserved-names"), &json!([])));
}

/// What a hook was asked.
#[derive(Debug, Clone)]
struct Asked {
    headers: HeaderMap,
    body: Bytes,
}

/// How a hook answers; `None`: never.
type Manners = Option<(u16, &'static str)>;

/// A studio's service.
#[derive(Clone)]
struct Service {
    url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    manners: Arc<Mutex<Manners>>,
}

impl Service {
    async fn start(manners: Manners) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/ask?key=hush", listener.local_addr().expect("bound"));
        let service = Self { url, asked: Arc::default(), manners: Arc::new(Mutex::new(manners)) };
        let app = Router::new().fallback(answer).with_state(service.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        service
    }

    fn behave(&self, manners: Manners) {
        *self.manners.lock().expect("no panic") = manners;
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no panic").clone()
    }
}

async fn answer(State(service): State<Service>, headers: HeaderMap, body: Bytes) -> Response {
    service.asked.lock().expect("no panic").push(Asked { headers, body });
    let manners = *service.manners.lock().expect("no panic");
    match manners {
        Some((status, body)) => (StatusCode::from_u16(status).expect("a status"), body).into_response(),
        None => std::future::pending().await,
    }
}

/// Hooks about names: their names, services and what happens without them.
fn hooks(folder: &Path, hooks: &[(&str, &Service, &str)]) -> metagame::Integrations {
    let secret = folder.join("hook.secret");
    std::fs::write(&secret, SECRET).expect("write");
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).expect("chmod");
    let hook = |(name, service, if_down): &(&str, &Service, &str)| {
        format!(
            "[[hook]]\nname = \"{name}\"\nurl = \"{}\"\nsecret_files = [\"hook.secret\"]\nacts = [\"name\"]\n\
             timeout_ms = 2000\nif_down = \"{if_down}\"\n",
            service.url
        )
    };
    let file = folder.join("integrations.toml");
    std::fs::write(&file, hooks.iter().map(hook).collect::<String>()).expect("write");
    read_integrations(&file).expect("good integrations")
}

const YES: Manners = Some((200, "{\"allow\": true}"));
const NO: Manners = Some((200, "{\"allow\": false, \"code\": \"rude\", \"message\": \"Choose another one.\"}"));

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_is_asked_with_a_signature_and_its_word_counts() {
    let service = Service::start(YES).await;
    let harness = Harness::start_changed(|config, folder| {
        config.parts.live.integrations = hooks(folder, &[("moderation", &service, "refuse")]);
    })
    .await;
    let ada = harness.login(1).await;
    let begun = service.asked().len();
    assert_eq!(begun, 1, "a new account's name is asked about once");
    harness.login(1).await;
    assert_eq!(service.asked().len(), begun, "a login of an account that is there asks nothing");
    assert_eq!(rename(&harness, &ada, "Ada").await.status, 200);
    let asked = service.asked().pop().expect("it was asked");
    let header = |name: &str| asked.headers[name].to_str().expect("ASCII");
    let secret = Secret::parse(SECRET).expect("a secret");
    let (id, at, signed) = (header("webhook-id"), header("webhook-timestamp"), header("webhook-signature"));
    verify(&[secret], id, at, &asked.body, signed, service::clock::unix_s()).expect("a good signature");
    let body: Value = serde_json::from_slice(&asked.body).expect("JSON");
    assert_eq!((&body["act"], &body["facts"]), (&json!("name"), &json!({ "name": "Ada" })));
    assert_eq!((&body["player_id"], body["request_id"].is_string()), (&json!(ada.id), true));
    service.behave(NO);
    let refused = rename(&harness, &ada, "Bad").await;
    assert_eq!((refused.status.as_u16(), refused.problem()), (403, "refused-by-rule"));
    assert_eq!(
        (refused.text("rule"), refused.text("code"), refused.text("detail")),
        ("moderation", "rude", "Choose another one.")
    );
    assert_eq!(harness.get("/v1/players/me", &ada).await.text("name"), "Ada");
    let shown = harness.send(reqwest::Client::new().get(harness.admin_url("/rules"))).await;
    assert!(!shown.body.to_string().contains("hush") && shown.body["hooks"][0]["if_down"] == "refuse", "{shown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_hook_happens_what_the_studio_has_chosen_and_it_is_never_waited_for_long() {
    let (open, closed) = (Service::start(YES).await, Service::start(YES).await);
    let harness = Harness::start_changed(|config, folder| {
        config.parts.live.integrations = hooks(folder, &[("open", &open, "allow"), ("closed", &closed, "refuse")]);
    })
    .await;
    let ada = harness.login(1).await;
    let broken: [Manners; 4] = [None, Some((500, "{\"allow\": true}")), Some((200, "yes")), Some((204, ""))];
    for (n, manners) in broken.into_iter().enumerate() {
        open.behave(manners);
        closed.behave(YES);
        let name = format!("Ada {n}");
        assert_eq!(rename(&harness, &ada, &name).await.text("name"), name, "{manners:?}");
        open.behave(YES);
        closed.behave(manners);
        let refused = rename(&harness, &ada, "Other").await;
        assert_eq!((refused.status.as_u16(), refused.problem()), (503, "rule-unavailable"), "{manners:?}");
        assert!(refused.headers.contains_key("retry-after") && refused.text("rule") == "closed");
    }
    open.behave(NO);
    closed.behave(Some((500, "")));
    let refused = rename(&harness, &ada, "Other").await;
    assert_eq!(refused.problem(), "refused-by-rule", "a refusal says more than silence");
    closed.behave(YES);
    assert_eq!(rename(&harness, &ada, "Other").await.problem(), "refused-by-rule");
    open.behave(YES);
    assert_eq!(rename(&harness, &ada, "Other").await.status, 200);
    let metrics = reqwest::get(harness.admin_url("/metrics")).await.expect("metrics").text().await.expect("text");
    for (rule, outcome) in [("open", "down_allowed"), ("closed", "down_refused"), ("open", "refused")] {
        // Labels are sorted by name.
        let found = metrics.lines().any(|line| {
            line.starts_with("muster_metagame_rules_total{")
                && [format!("rule=\"{rule}\""), format!("outcome=\"{outcome}\"")].iter().all(|part| line.contains(part))
        });
        assert!(found, "{rule} {outcome}");
    }
}
