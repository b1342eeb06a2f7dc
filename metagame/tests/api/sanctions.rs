//! Bans and mutes: ordered on the admin port by who shows an operator's token, heard at the next login, and all in a log that
//! cannot be changed unseen.

use std::sync::Arc;

use metagame::{ACCESS_ISSUER, OPERATOR_AUDIENCE};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use service::token::ServiceTokens;

use super::harness::{Answer, Harness, Player};

impl Harness {
    /// A request to the admin port by this operator.
    pub(crate) async fn operate(&self, method: Method, path: &str, who: &str, body: Option<&Value>) -> Answer {
        let tokens = ServiceTokens::new(Arc::new(self.service_key()), who);
        let bearer = tokens.bearer(OPERATOR_AUDIENCE).expect("a token");
        let request = reqwest::Client::new().request(method, self.admin_url(path)).header("authorization", bearer);
        self.send(if let Some(body) = body { request.json(body) } else { request }).await
    }

    pub(crate) async fn order(&self, path: &str, body: &Value) -> Answer {
        self.operate(Method::POST, path, "operator:ada", Some(body)).await
    }

    pub(crate) async fn look(&self, path: &str) -> Answer {
        self.operate(Method::GET, path, "operator:ada", None).await
    }

    async fn try_login(&self, n: u8) -> Answer {
        self.post("/v1/auth/device", None, &json!({ "device_id": format!("{n:02x}{:030x}", 7) })).await
    }

    async fn impose(&self, player: &Player, body: Value) -> Answer {
        let answer = self.order(&format!("/players/{}/sanctions", player.id), &body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        answer
    }

    async fn acts(&self) -> Vec<Value> {
        self.look("/acts").await.body["acts"].as_array().expect("a list").clone()
    }
}

#[tokio::test]
async fn a_ban_ends_all_sessions_at_once_and_logins_hear_until_when_why_and_where_to_appeal() {
    let harness = Harness::start().await;
    let bob = harness.login(1).await;
    assert_eq!(harness.get("/v1/players/me", &bob).await.status, 200);
    let wish = json!({ "kind": "ban", "reason": "cheating", "note": "aim bot, see replay 7", "for_s": 3_600 });
    let ban = harness.impose(&bob, wish).await;
    assert_eq!(harness.get("/v1/players/me", &bob).await.problem(), "session-ended");
    let refresh = harness.post("/v1/auth/refresh", None, &json!({ "refresh_token": bob.refresh })).await;
    assert_eq!(refresh.status, StatusCode::UNAUTHORIZED, "{refresh:?}");

    let login = harness.try_login(1).await;
    assert_eq!((login.status, login.problem()), (StatusCode::FORBIDDEN, "banned"));
    assert_eq!(login.body["until_ms"], ban.body["until_ms"]);
    assert_eq!(login.body["reason"], "cheating");
    assert!(!login.body.to_string().contains("replay"), "the note is for operators: {login:?}");
    let id = login.text("sanction_id").to_owned();
    assert_eq!(ban.text("sanction_id"), id);

    let appeal = json!({ "text": "My brother played." });
    assert_eq!(harness.post(&format!("/v1/sanctions/{id}/appeal"), None, &appeal).await.status, 202);
    let again = harness.post(&format!("/v1/sanctions/{id}/appeal"), None, &appeal).await;
    assert_eq!(again.problem(), "appealed-already");
    let open = harness.look("/appeals").await;
    assert_eq!(
        (&open.body[0]["appeal"], &open.body[0]["note"]),
        (&"My brother played.".into(), &"aim bot, see replay 7".into())
    );

    let lifted = harness.order(&format!("/sanctions/{id}/lift"), &json!({ "reason": "mistake" })).await;
    assert_eq!((lifted.status, &lifted.body["holds"]), (StatusCode::OK, &false.into()), "{lifted:?}");
    assert_eq!(harness.try_login(1).await.status, 200);
    assert_eq!(harness.look("/appeals").await.body, json!([]));
    let over = harness.order(&format!("/sanctions/{id}/lift"), &json!({ "reason": "mistake" })).await;
    assert_eq!(over.problem(), "sanction-over");
    harness.shutdown.trigger();
}

#[tokio::test]
async fn of_two_bans_the_longer_holds_and_one_without_an_end_has_to_be_said() {
    let harness = Harness::start().await;
    let bob = harness.login(1).await;
    let path = format!("/players/{}/sanctions", bob.id);
    for wish in [
        json!({ "kind": "ban", "reason": "spam" }),
        json!({ "kind": "ban", "reason": "spam", "for_s": 60, "for_ever": true }),
        json!({ "kind": "ban", "reason": "spam", "until_ms": 5 }),
        json!({ "kind": "warn", "reason": "spam", "for_s": 60 }),
        json!({ "kind": "ban", "reason": "He said his name is Bob", "for_s": 60 }),
    ] {
        let answer = harness.order(&path, &wish).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{wish} {answer:?}");
    }
    assert_eq!(harness.try_login(1).await.status, 200, "nothing was imposed");
    let for_ever = harness.impose(&bob, json!({ "kind": "ban", "reason": "fraud", "for_ever": true })).await;
    let short = harness.impose(&bob, json!({ "kind": "ban", "reason": "spam", "for_s": 60 })).await;
    let login = harness.try_login(1).await;
    assert!(login.body.get("until_ms").is_none() && login.body["reason"] == "fraud", "{login:?}");
    let lift = |id: String| format!("/sanctions/{id}/lift");
    harness.order(&lift(for_ever.text("sanction_id").into()), &json!({ "reason": "mistake" })).await;
    let login = harness.try_login(1).await;
    assert_eq!((login.problem(), &login.body["until_ms"]), ("banned", &short.body["until_ms"]));
    let unknown = harness
        .order(
            "/players/00000000-0000-4000-8000-000000000000/sanctions",
            &json!({ "kind": "ban", "reason": "spam", "for_s": 9 }),
        )
        .await;
    assert_eq!(unknown.problem(), "unknown-player");
    harness.shutdown.trigger();
}

#[tokio::test]
async fn who_is_muted_says_nothing_until_it_is_lifted_and_may_do_everything_else() {
    let harness = Harness::start().await;
    let (ada, bob) = (harness.login(1).await, harness.login(2).await);
    for (own, other) in [(&ada, &bob), (&bob, &ada)] {
        let path = format!("/v1/players/me/friends/{}", other.id);
        assert!(harness.send(harness.request(Method::PUT, &path, Some(&own.access))).await.status.is_success());
    }
    let say = async || {
        let body = json!({ "message_id": uuid::Uuid::from_bytes(service::random::bytes()), "text": "hello" });
        harness.post(&format!("/v1/chat/direct/{}/messages", ada.id), Some(&bob.access), &body).await
    };
    assert_eq!(say().await.status, 200);
    let mute = harness.impose(&bob, json!({ "kind": "mute", "reason": "insults", "for_s": 600 })).await;
    let refused = say().await;
    assert_eq!((refused.status, refused.problem()), (StatusCode::FORBIDDEN, "muted"));
    assert_eq!(refused.body["until_ms"], mute.body["until_ms"]);
    assert_eq!(harness.get("/v1/players/me", &bob).await.status, 200, "a mute is no ban");
    let own = harness.get("/v1/players/me/sanctions", &bob).await;
    assert_eq!(
        (&own.body["sanctions"][0]["kind"], &own.body["sanctions"][0]["reason"]),
        (&"mute".into(), &"insults".into())
    );
    let id = own.body["sanctions"][0]["sanction_id"].as_str().expect("an id").to_owned();
    harness.order(&format!("/sanctions/{id}/lift"), &json!({ "reason": "served" })).await;
    assert_eq!(say().await.status, 200);
    harness.shutdown.trigger();
}

#[tokio::test]
async fn only_an_operators_token_opens_these_doors() {
    let harness = Harness::start().await;
    let bob = harness.login(1).await;
    let path = format!("/players/{}", bob.id);
    let nobody = harness.send(reqwest::Client::new().get(harness.admin_url(&path))).await;
    assert_eq!((nobody.status, nobody.problem()), (StatusCode::UNAUTHORIZED, "unauthenticated"));
    for who in ["gameserver", "operator", "operator:"] {
        let refused = harness.operate(Method::GET, &path, who, None).await;
        assert_eq!((refused.status, refused.problem()), (StatusCode::FORBIDDEN, "not-an-operator"), "{who}");
    }
    // A token that is good for score writes is none of an operator, and the player's own is none at all.
    let tokens = ServiceTokens::new(Arc::new(harness.service_key()), "operator:eve");
    for bearer in [tokens.bearer(ACCESS_ISSUER).expect("a token"), format!("Bearer {}", bob.access)] {
        let request = reqwest::Client::new().get(harness.admin_url(&path)).header("authorization", bearer);
        assert_eq!(harness.send(request).await.problem(), "token-invalid");
    }
    assert_eq!(harness.look(&path).await.body["name"], "Player 1");
    assert_eq!(harness.look("/players?search=pLaYeR").await.body[0]["player_id"], bob.id.to_string());
    assert_eq!(harness.look(&format!("/players?search={}", bob.id)).await.body[0]["name"], "Player 1");
    assert_eq!(harness.look("/players?search=nobody").await.body, json!([]));
    harness.shutdown.trigger();
}

#[tokio::test]
async fn each_act_is_in_the_log_with_who_what_whom_and_why_and_a_changed_log_is_found_out() {
    let harness = Harness::start().await;
    let bob = harness.login(1).await;
    let ban = harness.impose(&bob, json!({ "kind": "ban", "reason": "cheating", "note": "words", "for_s": 60 })).await;
    harness.order(&format!("/sanctions/{}/lift", ban.text("sanction_id")), &json!({ "reason": "mistake" })).await;
    let end = format!("/players/{}/sessions/end", bob.id);
    let ended = harness.operate(Method::POST, &end, "operator:eve", Some(&json!({ "reason": "stolen-account" }))).await;
    assert_eq!(ended.status, StatusCode::NO_CONTENT);
    let acts = harness.acts().await;
    let told: Vec<_> = acts
        .iter()
        .map(|act| ["actor", "act", "subject", "reason"].map(|name| act[name].as_str().expect("text")))
        .collect();
    let subject = format!("player:{}", bob.id);
    assert_eq!(
        told,
        [
            ["operator:eve", "end-sessions", &subject, "stolen-account"],
            ["operator:ada", "lift-ban", &subject, "mistake"],
            ["operator:ada", "ban", &subject, "cheating"],
        ]
    );
    assert_eq!((&acts[2]["note"], &acts[2]["number"]), (&"words".into(), &1.into()));
    assert_eq!(acts[2]["request_id"], ban.headers["x-request-id"].to_str().expect("text"));
    let page = harness.look("/acts?limit=1&before=3").await;
    assert_eq!((&page.body["acts"][0]["act"], &page.body["next_before"]), (&"lift-ban".into(), &2.into()));
    assert_eq!(
        harness.look(&format!("/acts?subject={subject}&limit=2")).await.body["acts"].as_array().map(Vec::len),
        Some(2)
    );

    let store = harness.store().await;
    let verified = store.verify_acts().await.expect("verified");
    assert!(verified.faults.is_empty() && verified.entries == 3, "{verified:?}");
    let change = "UPDATE acts SET actor = 'operator:eve' WHERE number = 1";
    store.database().statement(metagame::db::Domain::Operations, change, metagame::args![]).await.expect("changed");
    let verified = store.verify_acts().await.expect("verified");
    assert_eq!(verified.faults.first().map(|fault| fault.number), Some(1), "{verified:?}");
    harness.shutdown.trigger();
}

#[tokio::test]
async fn acts_at_the_same_time_make_one_chain_without_gaps() {
    let harness = Harness::start().await;
    let mut players = Vec::new();
    for n in 1..=8 {
        players.push(harness.login(n).await);
    }
    let bans =
        players.iter().map(|player| harness.impose(player, json!({ "kind": "mute", "reason": "spam", "for_s": 60 })));
    futures_util::future::join_all(bans).await;
    let verified = harness.store().await.verify_acts().await.expect("verified");
    assert!(verified.faults.is_empty(), "{verified:?}");
    assert_eq!((verified.entries, verified.newest.map(|(number, _)| number)), (8, Some(8)));
    harness.shutdown.trigger();
}
