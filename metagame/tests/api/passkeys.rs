//! Passkeys as second factors, with an authenticator in a few lines (WebAuthn level 2, 6.1 and 6.5).

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::harness::{Answer, Harness, Player};
use super::passwords::{player, register, with_mail};
use super::vouchers::settings;

const ORIGIN: &str = "https://play.example.org";
const BEGIN: &str = "/v1/auth/mfa/webauthn";
const PASSWORD: &str = "tenacious badger";

/// The lines of the settings with which there are passkeys.
pub(crate) fn lines() -> String {
    format!("[passkeys]\ndomain = \"example.org\"\nname = \"Arena\"\norigins = [\"{ORIGIN}\"]\n")
}

async fn start() -> Harness {
    Harness::start_changed(|config, folder| {
        config.identity = settings(folder, &lines());
        config.identity.mail = with_mail(folder).mail;
    })
    .await
}

/// Something that has one key.
pub(crate) struct Authenticator {
    pub(crate) id: Vec<u8>,
    key: EcdsaKeyPair,
    counter: u32,
    origin: &'static str,
}

impl Authenticator {
    pub(crate) fn new() -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).expect("a key");
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref(), &random);
        let id = service::random::bytes::<16>().to_vec();
        Self { id, key: key.expect("its own key"), counter: 1, origin: ORIGIN }
    }

    fn client_data(&self, kind: &str, challenge: &Answer) -> String {
        let challenge = &challenge.body["options"]["publicKey"]["challenge"];
        json!({ "type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": false }).to_string()
    }

    /// Its data: user present and verified, and with `attested` its key.
    fn data(&self, attested: bool) -> Vec<u8> {
        let mut data = Sha256::digest(b"example.org").to_vec();
        data.push(if attested { 0x45 } else { 0x05 });
        data.extend(self.counter.to_be_bytes());
        if attested {
            data.extend([0; 16]);
            data.extend(u16::try_from(self.id.len()).expect("short").to_be_bytes());
            data.extend(&self.id);
            let point = self.key.public_key().as_ref();
            // A COSE key: EC2, ES256, P-256, x, y.
            data.extend([0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20]);
            data.extend(&point[1..33]);
            data.extend([0x22, 0x58, 0x20]);
            data.extend(&point[33..]);
        }
        data
    }

    /// What `navigator.credentials.create` gives.
    fn create(&self, challenge: &Answer) -> Value {
        let data = self.data(true);
        // CBOR: {"fmt": "none", "attStmt": {}, "authData": data}.
        let mut object = b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x58".to_vec();
        object.push(u8::try_from(data.len()).expect("less than 256 bytes"));
        object.extend(data);
        self.credential(&json!({
            "attestationObject": URL_SAFE_NO_PAD.encode(object),
            "clientDataJSON": URL_SAFE_NO_PAD.encode(self.client_data("webauthn.create", challenge)),
        }))
    }

    /// What `navigator.credentials.get` gives.
    fn get(&mut self, challenge: &Answer) -> Value {
        self.counter += 1;
        let (data, client) = (self.data(false), self.client_data("webauthn.get", challenge));
        let signed = [&data[..], &Sha256::digest(client.as_bytes())].concat();
        let signature = self.key.sign(&SystemRandom::new(), &signed).expect("a signature");
        self.credential(&json!({
            "authenticatorData": URL_SAFE_NO_PAD.encode(data),
            "clientDataJSON": URL_SAFE_NO_PAD.encode(client),
            "signature": URL_SAFE_NO_PAD.encode(signature.as_ref()),
            "userHandle": null,
        }))
    }

    fn credential(&self, response: &Value) -> Value {
        let id = URL_SAFE_NO_PAD.encode(&self.id);
        json!({ "id": id, "rawId": id, "type": "public-key", "response": response, "clientExtensionResults": {} })
    }
}

async fn ask(harness: &Harness, path: &str, access: &str) -> Answer {
    harness.send(harness.request(Method::POST, path, Some(access))).await
}

/// Adds a passkey; the answer.
pub(crate) async fn add(harness: &Harness, access: &str, authenticator: &Authenticator) -> Answer {
    let challenge = ask(harness, BEGIN, access).await;
    assert_eq!(challenge.status, 200, "{challenge:?}");
    let credential = authenticator.create(&challenge);
    let body = json!({ "challenge_id": challenge.text("challenge_id"), "name": "phone", "credential": credential });
    harness.post(&format!("{BEGIN}/confirm"), Some(access), &body).await
}

/// Steps up with a passkey; the answer.
async fn step_up(harness: &Harness, player: &Player, authenticator: &mut Authenticator) -> Answer {
    let challenge = ask(harness, &format!("{BEGIN}/challenge"), &player.access).await;
    assert_eq!(challenge.status, 200, "{challenge:?}");
    let answer = answer_to(&challenge, authenticator);
    harness.post("/v1/auth/mfa", Some(&player.access), &answer).await
}

fn answer_to(challenge: &Answer, authenticator: &mut Authenticator) -> Value {
    let credential = authenticator.get(challenge);
    json!({ "passkey": { "challenge_id": challenge.text("challenge_id"), "credential": credential } })
}

#[tokio::test]
async fn a_passkey_is_asked_for_by_what_changes_the_account() {
    let (harness, mut phone) = (start().await, Authenticator::new());
    let ada = harness.login(1).await;
    let added = add(&harness, &ada.access, &phone).await;
    assert_eq!(added.status, 200, "{added:?}");
    assert_eq!(added.body["recovery_codes"].as_array().map(Vec::len), Some(10), "the account's first factor");
    let session = harness.login(1).await;
    let path = format!("{BEGIN}/{}", added.text("passkey_id"));
    let remove = async |access: &str| harness.send(harness.request(Method::DELETE, &path, Some(access))).await;
    assert_eq!(remove(&session.access).await.problem(), "step-up-required");
    assert_eq!(ask(&harness, BEGIN, &session.access).await.problem(), "step-up-required", "one more needs the first");
    assert_eq!(ask(&harness, "/v1/auth/mfa/totp", &session.access).await.problem(), "step-up-required");
    let stepped = step_up(&harness, &session, &mut phone).await;
    assert_eq!(stepped.status, 200, "{stepped:?}");
    let strong = Player { access: stepped.text("access_token").into(), ..session };
    let listed = harness.get(BEGIN, &strong).await;
    let passkey = &listed.body["passkeys"][0];
    assert_eq!((&passkey["name"], passkey["used_at_ms"].is_u64()), (&json!("phone"), true), "{listed:?}");
    let second = add(&harness, &strong.access, &Authenticator::new()).await;
    assert_eq!(second.body["recovery_codes"].as_array().map(Vec::len), Some(0), "those on paper are still good");
    assert_eq!(remove(&strong.access).await.status, 204);
    assert_eq!(remove(&strong.access).await.problem(), "no-passkey");
    let third = harness.login(1).await;
    let gone = step_up(&harness, &third, &mut phone).await;
    assert_eq!(gone.problem(), "passkey-wrong", "it was removed");
}

#[tokio::test]
async fn a_challenge_is_answered_once_by_its_player_and_where_the_game_is() {
    let (harness, mut phone) = (start().await, Authenticator::new());
    let (ada, eve) = (harness.login(1).await, harness.login(2).await);
    assert_eq!(add(&harness, &ada.access, &phone).await.status, 200);
    let challenge = ask(&harness, &format!("{BEGIN}/challenge"), &ada.access).await;
    let answer = answer_to(&challenge, &mut phone);
    let show = async |access: &str, answer: &Value| harness.post("/v1/auth/mfa", Some(access), answer).await;
    assert_eq!(show(&eve.access, &answer).await.problem(), "challenge-gone", "another's");
    assert_eq!(show(&ada.access, &answer).await.status, 200);
    assert_eq!(show(&ada.access, &answer).await.problem(), "challenge-gone", "once");
    phone.origin = "https://play.example.org.eve.example";
    assert_eq!(step_up(&harness, &ada, &mut phone).await.problem(), "passkey-wrong", "a copy of the game's page");
    phone.origin = ORIGIN;
    let mut stranger = Authenticator::new();
    assert_eq!(step_up(&harness, &ada, &mut stranger).await.problem(), "passkey-wrong");
    let other = ask(&harness, &format!("{BEGIN}/challenge"), &eve.access).await;
    assert_eq!((other.status.as_u16(), other.problem()), (404, "no-passkey"));
    let taken = add(&harness, &eve.access, &phone).await;
    assert_eq!((taken.status.as_u16(), taken.problem()), (409, "passkey-exists"));
    let nonsense = json!({ "passkey": { "challenge_id": challenge.text("challenge_id"), "credential": { "id": 7 } } });
    assert_eq!(show(&ada.access, &nonsense).await.problem(), "invalid-passkey");
    assert_eq!(show(&ada.access, &json!({})).await.problem(), "no-factor");
}

#[tokio::test]
async fn a_passkey_whose_counter_stands_still_may_be_a_copy() {
    let (harness, mut phone) = (start().await, Authenticator::new());
    let ada = harness.login(1).await;
    assert_eq!(add(&harness, &ada.access, &phone).await.status, 200);
    assert_eq!(step_up(&harness, &ada, &mut phone).await.status, 200);
    phone.counter -= 1;
    let copied = step_up(&harness, &ada, &mut phone).await;
    assert_eq!((copied.status.as_u16(), copied.problem()), (403, "passkey-cloned"));
    // Two challenges at once, answered with the same counter: the second is the copy's.
    let challenge = async || ask(&harness, &format!("{BEGIN}/challenge"), &ada.access).await;
    let (first, second) = (challenge().await, challenge().await);
    let answers = [answer_to(&first, &mut phone), {
        phone.counter -= 1;
        answer_to(&second, &mut phone)
    }];
    let show = async |answer: &Value| harness.post("/v1/auth/mfa", Some(&ada.access), answer).await;
    assert_eq!(show(&answers[0]).await.status, 200);
    assert_eq!(show(&answers[1]).await.problem(), "passkey-cloned");
}

#[tokio::test]
async fn a_login_by_password_asks_for_the_passkey() {
    let (harness, mut read, mut phone) = (start().await, BTreeSet::new(), Authenticator::new());
    let ada = register(&harness, &mut read, "ada@example.org").await;
    let added = add(&harness, &ada.access, &phone).await;
    assert_eq!(added.status, 200, "{added:?}");
    let login = async |more: Value| {
        let mut body = json!({ "email": "ada@example.org", "password": PASSWORD });
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        harness.post("/v1/auth/password", None, &body).await
    };
    let missing = login(json!({})).await;
    assert_eq!((missing.status.as_u16(), missing.problem()), (401, "second-factor-required"));
    let challenge = Answer { body: missing.body["challenge"].clone(), ..missing };
    let answer = answer_to(&challenge, &mut phone);
    let strong = login(answer.clone()).await;
    assert_eq!(strong.status, 200, "{strong:?}");
    assert_eq!(login(answer).await.problem(), "challenge-gone", "once");
    let paper = &added.body["recovery_codes"][0];
    assert_eq!(login(json!({ "factor": paper })).await.status, 200);
    // What was shown at the login counts: the passkey can be removed, and with it the codes on paper go.
    let path = format!("{BEGIN}/{}", added.text("passkey_id"));
    let access = player(&strong).access;
    assert_eq!(harness.send(harness.request(Method::DELETE, &path, Some(&access))).await.status, 204);
    assert_eq!(login(json!({})).await.status, 200);
}

#[tokio::test]
async fn without_settings_there_are_no_passkeys() {
    let harness = Harness::start().await;
    let ada = harness.login(1).await;
    assert_eq!(ask(&harness, BEGIN, &ada.access).await.problem(), "passkeys-not-configured");
}
