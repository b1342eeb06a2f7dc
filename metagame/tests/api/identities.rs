//! Ways into an account, second factors, and what a login meets that looks like guessing.

use std::collections::BTreeSet;

use metagame::core::factor::TotpSecret;
use reqwest::Method;
use serde_json::{Value, json};

use super::harness::{Answer, Harness, Player};
use super::passwords::{code, mail, player, register, start};

const PASSWORD: &str = "tenacious badger";

async fn delete(harness: &Harness, path: &str, access: &str) -> Answer {
    harness.send(harness.request(Method::DELETE, path, Some(access))).await
}

async fn identities(harness: &Harness, player: &Player) -> Vec<Value> {
    let answer = harness.get("/v1/players/me/identities", player).await;
    answer.body["identities"].as_array().unwrap_or_else(|| panic!("{answer:?}")).clone()
}

fn path_of(identity: &Value) -> String {
    format!("/v1/players/me/identities/{}", identity["identity_id"].as_str().expect("an id"))
}

#[tokio::test]
async fn a_device_gets_an_address_and_either_can_be_removed_but_not_both() {
    let (harness, mut read) = (start().await, BTreeSet::new());
    let ada = harness.login(1).await;
    let only = identities(&harness, &ada).await;
    assert_eq!((only.len(), &only[0]["provider"]), (1, &json!("device")));
    assert_eq!(delete(&harness, &path_of(&only[0]), &ada.access).await.problem(), "last-identity");
    let body = json!({ "email": "ada@example.org", "password": PASSWORD });
    let sent = harness.post("/v1/players/me/identities/password", Some(&ada.access), &body).await;
    assert_eq!(sent.status, 202, "{sent:?}");
    let body = json!({ "code_id": sent.text("code_id"), "code": code(&mail(&harness, &mut read).await.1) });
    let bob = harness.login(2).await;
    let verify = "/v1/players/me/identities/password/verify";
    assert_eq!(harness.post(verify, Some(&bob.access), &body).await.problem(), "code-gone", "another's code");
    assert_eq!(harness.post(verify, Some(&ada.access), &body).await.status, 204);
    let both = identities(&harness, &ada).await;
    assert_eq!((both.len(), &both[1]["name"]), (2, &json!("ada@example.org")));
    let body = json!({ "email": "ada@example.org", "password": PASSWORD });
    let login = harness.post("/v1/auth/password", None, &body).await;
    assert_eq!(login.text("player_id"), ada.id.to_string(), "one player by both");
    assert_eq!(delete(&harness, &path_of(&both[0]), &bob.access).await.problem(), "unknown-identity");
    let by_mail = player(&login);
    assert_eq!(delete(&harness, &path_of(&both[0]), &by_mail.access).await.status, 204);
    assert_eq!(harness.get("/v1/players/me", &ada).await.problem(), "session-ended", "it may be the removed way's");
    assert_eq!(delete(&harness, &path_of(&both[1]), &by_mail.access).await.problem(), "last-identity");
    assert_ne!(harness.login(1).await.id, ada.id, "the device leads to a new account now");
}

#[tokio::test]
async fn accounts_are_never_joined_without_their_owner() {
    let (harness, mut read) = (start().await, BTreeSet::new());
    register(&harness, &mut read, "ada@example.org").await;
    let eve = harness.login(1).await;
    let body = json!({ "email": "ada@example.org", "password": PASSWORD });
    let sent = harness.post("/v1/players/me/identities/password", Some(&eve.access), &body).await;
    assert_eq!(sent.status, 202, "like an address that nobody has");
    let (_, text) = mail(&harness, &mut read).await;
    assert!(text.contains("wanted to make an account"), "the owner is told, and gets no code: {text}");
    let bob = harness.login(2).await;
    let body = json!({ "device_id": format!("{:02x}{:030x}", 1, 7) });
    let answer = harness.post("/v1/players/me/identities/device", Some(&bob.access), &body).await;
    assert_eq!((answer.status.as_u16(), answer.problem()), (409, "identity-in-use"));
    let own = json!({ "device_id": format!("{:02x}{:030x}", 2, 7) });
    assert_eq!(harness.post("/v1/players/me/identities/device", Some(&bob.access), &own).await.status, 204);
    assert_eq!(identities(&harness, &bob).await.len(), 1, "it was there");
}

fn unix_s() -> u64 {
    service::clock::unix_s()
}

pub(crate) fn secret(answer: &Answer) -> TotpSecret {
    let bits = answer.text("secret").bytes().flat_map(|digit| {
        let value = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".iter().position(|one| *one == digit).expect("base32");
        (0..5).rev().map(move |bit| value >> bit & 1)
    });
    let bits: Vec<usize> = bits.collect();
    let bytes: Vec<u8> = bits.chunks(8).map(|byte| byte.iter().fold(0, |value, bit| value << 1 | *bit as u8)).collect();
    TotpSecret(bytes.try_into().expect("160 bits"))
}

#[tokio::test]
async fn an_authenticator_app_is_asked_for_and_each_code_works_once() {
    let (harness, mut read) = (start().await, BTreeSet::new());
    let ada = register(&harness, &mut read, "ada@example.org").await;
    let begun = harness.send(harness.request(Method::POST, "/v1/auth/mfa/totp", Some(&ada.access))).await;
    let secret = secret(&begun);
    let login = async |factor: Option<&str>| {
        let body = json!({ "email": "ada@example.org", "password": PASSWORD, "factor": factor });
        harness.post("/v1/auth/password", None, &body).await
    };
    assert_eq!(login(None).await.status, 200, "an app that has shown nothing is not asked for");
    let confirm =
        async |code: &str| harness.post("/v1/auth/mfa/totp/confirm", Some(&ada.access), &json!({ "code": code })).await;
    assert_eq!(confirm("nonsense").await.problem(), "factor-wrong");
    let first = secret.code(unix_s());
    let confirmed = confirm(&first).await;
    let papers = confirmed.body["recovery_codes"].as_array().unwrap_or_else(|| panic!("{confirmed:?}")).clone();
    assert_eq!(papers.len(), 10);
    let missing = login(None).await;
    assert_eq!((missing.status.as_u16(), missing.problem()), (401, "second-factor-required"));
    assert_eq!(login(Some(&first)).await.problem(), "factor-wrong", "it confirmed the app already");
    // The next step's code is accepted a little early.
    let next = secret.code(unix_s() + 30);
    assert_eq!(login(Some(&next)).await.status, 200);
    assert_eq!(login(Some(&next)).await.problem(), "factor-wrong", "once");
    let paper = papers[0].as_str().expect("a code").to_uppercase().replace('-', " ");
    let session = player(&login(Some(&paper)).await);
    assert_eq!(login(Some(&paper)).await.problem(), "factor-wrong", "once");
    assert_eq!(delete(&harness, "/v1/auth/mfa/totp", &session.access).await.status, 204, "shown a moment ago");
    assert_eq!(login(None).await.status, 200);
}

#[tokio::test]
async fn changing_the_account_asks_for_the_second_factor_again() {
    let harness = start().await;
    let ada = harness.login(1).await;
    let begun = harness.send(harness.request(Method::POST, "/v1/auth/mfa/totp", Some(&ada.access))).await;
    let secret = secret(&begun);
    let body = json!({ "code": secret.code(unix_s()) });
    let confirmed = harness.post("/v1/auth/mfa/totp/confirm", Some(&ada.access), &body).await;
    let paper = confirmed.body["recovery_codes"][0].clone();
    // Devices are not asked: the device is something that its owner has. But what changes the account is.
    let again = harness.login(1).await;
    let link = json!({ "device_id": format!("{:02x}{:030x}", 9, 7) });
    let refused = harness.post("/v1/players/me/identities/device", Some(&again.access), &link).await;
    assert_eq!((refused.status.as_u16(), refused.problem()), (401, "step-up-required"));
    assert_eq!((&refused.body["acr_values"], &refused.body["max_age_s"]), (&json!("urn:muster:acr:2fa"), &json!(600)));
    assert_eq!(delete(&harness, "/v1/auth/mfa/totp", &again.access).await.problem(), "step-up-required");
    let wrong = harness.post("/v1/auth/mfa", Some(&again.access), &json!({ "code": "aaaaa-aaaaa" })).await;
    assert_eq!(wrong.problem(), "factor-wrong");
    let stepped = harness.post("/v1/auth/mfa", Some(&again.access), &json!({ "code": paper })).await;
    assert_eq!(stepped.status, 200, "{stepped:?}");
    let strong = stepped.text("access_token");
    assert_eq!(harness.post("/v1/players/me/identities/device", Some(strong), &link).await.status, 204);
    let refreshed = harness.post("/v1/auth/refresh", None, &json!({ "refresh_token": again.refresh })).await;
    let link = json!({ "device_id": format!("{:02x}{:030x}", 8, 7) });
    let answer = harness.post("/v1/players/me/identities/device", Some(refreshed.text("access_token")), &link).await;
    assert_eq!(answer.status, 204, "a refresh remembers it");
}

#[tokio::test]
async fn guessing_gets_harder_and_the_owner_is_not_locked_out() {
    let (harness, mut read) = (start().await, BTreeSet::new());
    register(&harness, &mut read, "ada@example.org").await;
    let login = async |email: &str, password: &str| {
        harness.post("/v1/auth/password", None, &json!({ "email": email, "password": password })).await
    };
    // Ten wrong passwords for an account that nobody plays from here: whether there is one makes no difference.
    for _ in 0..10 {
        assert_eq!(login("zoe@example.org", "wrong password").await.problem(), "invalid-credentials");
    }
    let refused = login("zoe@example.org", "wrong password").await;
    assert_eq!((refused.status.as_u16(), refused.problem()), (429, "too-many-requests"));
    assert!(refused.headers.contains_key("retry-after"));
    assert_eq!(login("ada@example.org", PASSWORD).await.status, 200, "from where the account was registered");
}

#[tokio::test]
async fn codes_are_not_sent_without_end() {
    let (harness, mut read) = (start().await, BTreeSet::new());
    let forgot = async |email: &str| harness.post("/v1/auth/password/forgot", None, &json!({ "email": email })).await;
    for _ in 0..5 {
        assert_eq!(forgot("ada@example.org").await.status, 202);
    }
    assert_eq!(forgot("ada@example.org").await.problem(), "too-many-requests");
    assert_eq!(forgot("bob@example.org").await.status, 202, "another address");
    register(&harness, &mut read, "eve@example.org").await;
}
