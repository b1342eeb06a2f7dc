//! Logging in by Steam, whatever Steam says.

use reqwest::Method;
use serde_json::{Value, json};

use super::harness::{Answer, Harness};
use super::passwords::player;
use super::vouchers::{FakeSteam, settings};

const ADA: u64 = 76_561_197_960_287_930;

async fn start(more: &str) -> (Harness, FakeSteam) {
    let steam = FakeSteam::default();
    let lines = format!("{}{more}", steam.start().await);
    let harness = Harness::start_changed(|config, folder| config.identity = settings(folder, &lines)).await;
    (harness, steam)
}

async fn login(harness: &Harness, ticket: &str) -> Answer {
    harness.post("/v1/auth/steam", None, &json!({ "ticket": ticket, "name": "Ada" })).await
}

#[tokio::test]
async fn a_ticket_makes_an_account_once_and_leads_to_it_ever_after() {
    let (harness, steam) = start("").await;
    let ticket = steam.ticket(ADA);
    let first = login(&harness, &ticket).await;
    assert_eq!((first.status.as_u16(), &first.body["created"]), (200, &json!(true)), "{first:?}");
    let asked = steam.asked();
    let expected = [("appid", "480"), ("identity", "arena"), ("key", "hush"), ("ticket", ticket.as_str())];
    assert_eq!(asked[0].iter().map(|(name, value)| (name.as_str(), value.as_str())).collect::<Vec<_>>(), expected);
    let again = login(&harness, &steam.ticket(ADA)).await;
    assert_eq!((again.text("player_id"), &again.body["created"]), (first.text("player_id"), &json!(false)));
    assert_ne!(login(&harness, &steam.ticket(ADA + 1)).await.text("player_id"), first.text("player_id"));
    let used = login(&harness, &ticket.to_uppercase()).await;
    assert_eq!((used.status.as_u16(), used.problem()), (401, "proof-used"));
    let listed = harness.get("/v1/players/me/identities", &player(&again)).await;
    let identity = &listed.body["identities"][0];
    assert_eq!((&identity["provider"], &identity["name"]), (&json!("steam"), &json!(ADA.to_string())));
    let sessions = harness.get("/v1/auth/sessions", &player(&again)).await;
    assert_eq!(sessions.body["sessions"][0]["method"], "steam");
    let id = ADA.to_string().into_bytes();
    let holds = |bytes: &Vec<u8>| bytes.windows(id.len()).any(|part| part == id);
    assert!(!harness.database_bytes().await.iter().any(holds), "a Steam id is personal data");
}

#[tokio::test]
async fn a_ticket_that_steam_does_not_know_is_refused_and_so_is_a_network_of_them() {
    let (harness, _steam) = start("").await;
    let unknown = "00".repeat(40);
    let refused = login(&harness, &unknown).await;
    assert_eq!((refused.status.as_u16(), refused.problem()), (401, "steam-ticket-refused"));
    for wrong in ["", "no hex", &"00".repeat(4_000)] {
        assert_eq!(login(&harness, wrong).await.problem(), "invalid-ticket", "{wrong}");
    }
    for _ in 1..200 {
        assert_eq!(login(&harness, &unknown).await.problem(), "steam-ticket-refused");
    }
    let limited = login(&harness, &unknown).await;
    assert_eq!((limited.status.as_u16(), limited.problem()), (429, "too-many-requests"));
    harness.login(1).await;
}

#[tokio::test]
async fn a_device_of_refused_tickets_is_refused_before_steam_is_asked_and_others_of_its_network_are_not() {
    let (harness, steam) = start("").await;
    let try_on = async |ticket: &str, device: &str| {
        let body = json!({ "ticket": ticket, "device_id": device });
        harness.post("/v1/auth/steam", None, &body).await
    };
    let unknown = "00".repeat(40);
    for _ in 0..20 {
        assert_eq!(try_on(&unknown, "one").await.problem(), "steam-ticket-refused");
    }
    let asked = steam.asked().len();
    let limited = try_on(&steam.ticket(ADA), "one").await;
    assert_eq!((limited.status.as_u16(), limited.problem()), (429, "too-many-requests"));
    assert_eq!(steam.asked().len(), asked, "Steam is left alone");
    assert_eq!(try_on(&steam.ticket(ADA), "two").await.status, 200);
}

#[tokio::test]
async fn one_device_bears_so_many_logins_to_whichever_accounts() {
    let (harness, steam) = start("").await;
    let login_on = async |account: u64, device: &str| {
        let body = json!({ "ticket": steam.ticket(account), "device_id": device });
        harness.post("/v1/auth/steam", None, &body).await
    };
    for n in 0..120 {
        assert_eq!(login_on(ADA + n % 3, "one").await.status, 200, "{n}");
    }
    let limited = login_on(ADA + 3, "one").await;
    assert_eq!((limited.status.as_u16(), limited.problem()), (429, "too-many-requests"));
    assert_eq!(login_on(ADA + 3, "two").await.status, 200);
}

#[tokio::test]
async fn who_may_not_log_in_is_a_matter_of_settings() {
    let (harness, steam) = start("refuse_borrowed = true\n").await;
    let rows = [
        ((ADA, ADA, true, false), None),
        ((ADA, ADA, false, true), Some("publisher-banned")),
        ((ADA, ADA + 1, false, false), Some("borrowed")),
    ];
    for (owner, reason) in rows {
        let answer = login(&harness, &steam.ticket_of(owner)).await;
        match reason {
            None => assert_eq!(answer.status, 200, "{answer:?}"),
            Some(reason) => {
                assert_eq!((answer.status.as_u16(), answer.problem()), (403, "steam-refused"));
                assert_eq!(answer.body["reason"], reason);
            }
        }
    }
}

#[tokio::test]
async fn a_steam_that_is_out_of_order_is_nobody_elses_problem() {
    let (harness, steam) = start("").await;
    let ticket = steam.ticket(ADA);
    // Its own failure, a key that it does not take, and no end of them.
    for status in [500, 403, 503, 503, 503, 503, 503, 503, 503] {
        steam.answer(Some(status));
        let answer = login(&harness, &ticket).await;
        assert_eq!((answer.status.as_u16(), answer.problem()), (503, "steam-unavailable"));
        assert!(answer.headers.contains_key("retry-after"));
    }
    harness.login(1).await;
    steam.answer(None);
    let back = testkit::wait::until("steam is asked again", async || {
        Some(login(&harness, &ticket).await).filter(|answer| answer.status == 200)
    });
    back.await;
}

#[tokio::test]
async fn without_settings_nobody_logs_in_by_steam() {
    let harness = Harness::start().await;
    let answer = login(&harness, &"00".repeat(40)).await;
    assert_eq!((answer.status.as_u16(), answer.problem()), (404, "steam-not-configured"));
}

#[tokio::test]
async fn a_steam_account_is_linked_and_unlinked_like_any_other_way() {
    let (harness, steam) = start("").await;
    let (ada, bob) = (harness.login(1).await, harness.login(2).await);
    let link = async |access: &str, ticket: String| {
        harness.post("/v1/players/me/identities/steam", Some(access), &json!({ "ticket": ticket })).await
    };
    let ticket = steam.ticket(ADA);
    assert_eq!(link(&ada.access, ticket.clone()).await.status, 204);
    assert_eq!(link(&bob.access, ticket.clone()).await.problem(), "proof-used");
    assert_eq!(login(&harness, &ticket).await.problem(), "proof-used");
    assert_eq!(link(&bob.access, steam.ticket(ADA)).await.problem(), "identity-in-use");
    assert_eq!(login(&harness, &steam.ticket(ADA)).await.text("player_id"), ada.id.to_string());
    let listed = harness.get("/v1/players/me/identities", &ada).await;
    let is_steam = |one: &&Value| one["provider"] == "steam";
    let identity = listed.body["identities"].as_array().expect("a list").iter().find(is_steam).expect("steam").clone();
    let path = format!("/v1/players/me/identities/{}", identity["identity_id"].as_str().expect("an id"));
    let gone = harness.send(harness.request(Method::DELETE, &path, Some(&ada.access))).await;
    assert_eq!(gone.status, 204, "{gone:?}");
    assert_ne!(login(&harness, &steam.ticket(ADA)).await.text("player_id"), ada.id.to_string());
}
