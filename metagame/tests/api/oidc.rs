//! Logging in with an identity provider, good and bad.

use serde_json::{Value, json};

use super::harness::{Answer, Harness};
use super::passwords::player;
use super::vouchers::{CLIENT, FakeProvider, settings, sign};

const BACK: &str = "http://127.0.0.1:51004/back";
const LOGIN: &str = "/v1/auth/oidc/studio";

async fn start() -> (Harness, FakeProvider) {
    let (provider, lines) = FakeProvider::start().await;
    let harness = Harness::start_changed(|config, folder| config.identity = settings(folder, &lines)).await;
    (harness, provider)
}

async fn begin(harness: &Harness, redirect_uri: Option<&str>) -> Answer {
    let answer = harness.post(&format!("{LOGIN}/start"), None, &json!({ "redirect_uri": redirect_uri })).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

/// A login with a token that the client got itself.
async fn bring(harness: &Harness, token: impl FnOnce(&str) -> String) -> Answer {
    let begun = begin(harness, None).await;
    let body = json!({ "flow": begun.text("flow"), "id_token": token(begun.text("nonce")) });
    harness.post(LOGIN, None, &body).await
}

#[tokio::test]
async fn a_player_logs_in_in_a_browser_and_each_part_fits_once() {
    let (harness, provider) = start().await;
    let begun = begin(&harness, Some(BACK)).await;
    assert!(begun.body["nonce"].is_null(), "the browser has it");
    let back = provider.agree(begun.text("authorization_url"), "ada");
    let body = json!({ "flow": begun.text("flow"), "code": back.code, "state": back.state, "name": "Ada" });
    let first = harness.post(LOGIN, None, &body).await;
    assert_eq!((first.status.as_u16(), &first.body["created"]), (200, &json!(true)), "{first:?}");
    assert_eq!(harness.post(LOGIN, None, &body).await.problem(), "flow-gone", "once");
    let listed = harness.get("/v1/players/me/identities", &player(&first)).await;
    let identity = &listed.body["identities"][0];
    assert_eq!((&identity["provider"], &identity["name"]), (&json!("studio"), &json!("ada@example.org")));
    let again = bring(&harness, |nonce| provider.sign(&provider.claims("ada", nonce))).await;
    assert_eq!(again.text("player_id"), first.text("player_id"), "one player by both ways");
    let other = bring(&harness, |nonce| provider.sign_elliptic(&provider.claims("bob", nonce))).await;
    assert_ne!(other.text("player_id"), first.text("player_id"));
}

#[tokio::test]
async fn what_came_back_with_another_browser_is_refused() {
    let (harness, provider) = start().await;
    let (ada, eve) = (begin(&harness, Some(BACK)).await, begin(&harness, Some(BACK)).await);
    let back = provider.agree(eve.text("authorization_url"), "eve");
    // Eve's code in Ada's login.
    let body = json!({ "flow": ada.text("flow"), "code": back.code, "state": back.state });
    let answer = harness.post(LOGIN, None, &body).await;
    assert_eq!((answer.status.as_u16(), answer.problem()), (401, "state-mismatch"));
    // With Ada's state, the provider finds that the code belongs to another verifier.
    let ada = begin(&harness, Some(BACK)).await;
    let state = provider.agree(ada.text("authorization_url"), "ada").state;
    let body = json!({ "flow": ada.text("flow"), "code": back.code, "state": state });
    assert_eq!(harness.post(LOGIN, None, &body).await.problem(), "code-refused");
    let begun = begin(&harness, Some(BACK)).await;
    let back = provider.agree(begun.text("authorization_url"), "ada");
    let body =
        json!({ "flow": begun.text("flow"), "code": back.code, "state": back.state, "iss": "https://eve.example" });
    let answer = harness.post(LOGIN, None, &body).await;
    assert_eq!((answer.problem(), &answer.body["reason"]), ("id-token-refused", &json!("issuer")), "RFC 9207");
    let begun = begin(&harness, Some(BACK)).await;
    let body = json!({ "flow": begun.text("flow"), "id_token": provider.sign(&provider.claims("eve", "")) });
    assert_eq!(harness.post(LOGIN, None, &body).await.problem(), "wrong-flow");
}

#[tokio::test]
async fn each_bad_token_is_refused_by_its_reason() {
    let (harness, provider) = start().await;
    let now_s = service::clock::unix_s();
    let rows = [
        ("iss", json!("https://eve.example"), "issuer"),
        ("aud", json!("another game"), "audience"),
        ("aud", json!([CLIENT, "another game"]), "audience"),
        ("azp", json!("another game"), "authorized-party"),
        ("exp", json!(now_s - 600), "expired"),
        ("iat", json!(now_s - 6_000), "issued-at"),
        ("iat", json!(now_s + 6_000), "issued-at"),
        ("nonce", json!("another login's"), "nonce"),
        ("sub", json!(""), "subject"),
        ("exp", Value::Null, "form"),
    ];
    for (name, value, reason) in rows {
        let answer = bring(&harness, |nonce| {
            let mut claims = provider.claims("ada", nonce);
            claims[name] = value.clone();
            provider.sign(&claims)
        });
        let answer = answer.await;
        assert_eq!((answer.status.as_u16(), answer.problem()), (401, "id-token-refused"), "{name}: {value}");
        assert_eq!(answer.body["reason"], reason, "{name}: {value}");
    }
    let headers = [
        (json!({ "alg": "none" }), 1, "algorithm"),
        (json!({ "alg": "HS256", "kid": "key-1" }), 1, "algorithm"),
        (json!({ "alg": "EdDSA", "kid": "key-1" }), 9, "signature"),
        (json!({ "alg": "EdDSA", "kid": "key-9" }), 9, "unknown-key"),
    ];
    for (header, seed, reason) in headers {
        let answer = bring(&harness, |nonce| sign(&header, &provider.claims("ada", nonce), seed)).await;
        assert_eq!((answer.problem(), &answer.body["reason"]), ("id-token-refused", &json!(reason)), "{header}");
    }
    let phone = bring(&harness, |nonce| {
        let mut claims = provider.claims("ada", nonce);
        claims["aud"] = "arena-phone".into();
        provider.sign(&claims)
    });
    assert_eq!(phone.await.status, 200, "the game's own program on a phone");
}

#[tokio::test]
async fn new_keys_are_found_and_invented_ones_do_not_make_the_provider_busy() {
    let (harness, provider) = start().await;
    let login = async || bring(&harness, |nonce| provider.sign(&provider.claims("ada", nonce))).await;
    assert_eq!((login().await.status.as_u16(), login().await.status.as_u16()), (200, 200));
    assert_eq!((provider.reads("metadata"), provider.reads("keys")), (1, 1), "they are kept");
    provider.rotate();
    assert_eq!(login().await.status, 200);
    assert_eq!(provider.reads("keys"), 2);
    for n in 0..10 {
        let header = json!({ "alg": "EdDSA", "kid": format!("invented-{n}") });
        let answer = bring(&harness, |nonce| sign(&header, &provider.claims("ada", nonce), 1)).await;
        assert_eq!(answer.body["reason"], "unknown-key");
    }
    // Once per half a minute: at most once more, should the machine have stood still meanwhile.
    assert!(provider.reads("keys") <= 3, "{}", provider.reads("keys"));
    provider.set_down(true);
    assert_eq!(login().await.status, 200, "what is known is enough");
}

#[tokio::test]
async fn a_provider_that_is_gone_is_nobody_elses_problem() {
    let (harness, provider) = start().await;
    provider.set_down(true);
    let body = json!({ "redirect_uri": BACK });
    let answer = harness.post(&format!("{LOGIN}/start"), None, &body).await;
    assert_eq!((answer.status.as_u16(), answer.problem()), (503, "provider-unavailable"));
    assert!(answer.headers.contains_key("retry-after"));
    harness.login(1).await;
    provider.set_down(false);
    testkit::wait::until("it is asked again", async || {
        let answer = harness.post(&format!("{LOGIN}/start"), None, &body).await;
        (answer.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn only_what_the_settings_say_is_begun() {
    let (harness, _provider) = start().await;
    let body = json!({ "redirect_uri": "https://eve.example/back" });
    let answer = harness.post(&format!("{LOGIN}/start"), None, &body).await;
    assert_eq!((answer.status.as_u16(), answer.problem()), (422, "redirect-not-allowed"));
    let answer = harness.post("/v1/auth/oidc/other/start", None, &json!({})).await;
    assert_eq!((answer.status.as_u16(), answer.problem()), (404, "unknown-provider"));
}

#[tokio::test]
async fn an_account_elsewhere_is_linked_by_whoever_began_it_alone() {
    let (harness, provider) = start().await;
    let (ada, eve) = (harness.login(1).await, harness.login(2).await);
    let link = "/v1/players/me/identities/oidc/studio";
    let begun = harness.post(&format!("{link}/start"), Some(&ada.access), &json!({})).await;
    let token = provider.sign(&provider.claims("ada", begun.text("nonce")));
    let body = json!({ "flow": begun.text("flow"), "id_token": token });
    assert_eq!(harness.post(link, Some(&eve.access), &body).await.problem(), "flow-gone", "another's");
    assert_eq!(harness.post(LOGIN, None, &body).await.problem(), "flow-gone", "begun for something else");
    assert_eq!(harness.post(link, Some(&ada.access), &body).await.status, 204);
    let login = bring(&harness, |nonce| provider.sign(&provider.claims("ada", nonce))).await;
    assert_eq!(login.text("player_id"), ada.id.to_string());
    let begun = harness.post(&format!("{link}/start"), Some(&eve.access), &json!({})).await;
    let token = provider.sign(&provider.claims("ada", begun.text("nonce")));
    let body = json!({ "flow": begun.text("flow"), "id_token": token });
    assert_eq!(harness.post(link, Some(&eve.access), &body).await.problem(), "identity-in-use");
}
