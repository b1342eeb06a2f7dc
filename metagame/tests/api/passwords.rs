//! E-mail and password over HTTP: registering, logging in, changing, forgetting; and that no answer tells who has an account.

use std::collections::BTreeSet;
use std::path::Path;

use metagame::{HashingLimits, IdentitySettings, MailSettings, MailWay};
use protocol::id::PlayerId;
use reqwest::Method;
use serde_json::{Value, json};

use super::harness::{Answer, Harness, Player};

const PASSWORD: &str = "tenacious badger";

/// Mail goes into a folder of the harness.
pub(crate) fn with_mail(folder: &Path) -> IdentitySettings {
    IdentitySettings {
        mail: Some(MailSettings {
            from: "Arena <no-reply@example.org>".into(),
            game: "Arena".into(),
            way: MailWay::Folder(folder.join("mail")),
        }),
        ..IdentitySettings::default()
    }
}

pub(crate) async fn start() -> Harness {
    Harness::start_changed(|config, folder| config.identity = with_mail(folder)).await
}

/// The next mail that was not read yet, and its address.
pub(crate) async fn mail(harness: &Harness, read: &mut BTreeSet<String>) -> (String, String) {
    let folder = harness.folder.path().join("mail");
    let known = &*read;
    let (name, text) = testkit::wait::until("a mail", || async {
        let names = std::fs::read_dir(&folder).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let name =
            names.filter(|name| name.ends_with(".eml") && !name.starts_with('.') && !known.contains(name)).min()?;
        let text = std::fs::read_to_string(folder.join(&name)).ok()?;
        Some((name, text))
    })
    .await;
    read.insert(name);
    let to = text.lines().find_map(|line| line.strip_prefix("To: ")).expect("an address").to_owned();
    (to, text)
}

/// The code in a mail.
pub(crate) fn code(mail: &str) -> String {
    let is_code = |word: &&str| word.len() == 8 && word.bytes().all(|one| one.is_ascii_digit());
    mail.split_whitespace().find(is_code).expect("a code").to_owned()
}

/// An account with this address.
pub(crate) async fn register(harness: &Harness, read: &mut BTreeSet<String>, email: &str) -> Player {
    let body = json!({ "email": email, "password": PASSWORD, "name": "Ada" });
    let sent = harness.post("/v1/auth/password/register", None, &body).await;
    assert_eq!(sent.status, 202, "{sent:?}");
    let (to, mail) = mail(harness, read).await;
    assert_eq!(to, email.to_lowercase());
    let body = json!({ "code_id": sent.text("code_id"), "code": code(&mail) });
    let answer = harness.post("/v1/auth/password/register/verify", None, &body).await;
    assert_eq!((answer.status.as_u16(), &answer.body["created"]), (200, &json!(true)), "{answer:?}");
    player(&answer)
}

pub(crate) fn player(answer: &Answer) -> Player {
    Player {
        id: answer.text("player_id").parse::<PlayerId>().expect("a player id"),
        access: answer.text("access_token").into(),
        refresh: answer.text("refresh_token").into(),
    }
}

async fn login(harness: &Harness, email: &str, password: &str) -> Answer {
    harness.post("/v1/auth/password", None, &json!({ "email": email, "password": password })).await
}

#[tokio::test]
async fn an_address_is_registered_by_a_code_and_logs_in_by_its_password() {
    let (harness, mut read) = (start().await, BTreeSet::new());
    let ada = register(&harness, &mut read, "Ada@Example.org").await;
    assert_eq!(harness.get("/v1/players/me", &ada).await.text("name"), "Ada");
    let again = login(&harness, "ada@example.ORG", PASSWORD).await;
    assert_eq!((again.status.as_u16(), again.text("player_id")), (200, ada.id.to_string().as_str()));
    for (email, password) in [
        ("ada@example.org", "tenacious badges"),
        ("bob@example.org", PASSWORD),
        ("not an address", PASSWORD),
        ("ada@example.org", &"x".repeat(300)),
    ] {
        let answer = login(&harness, email, password).await;
        assert_eq!((answer.status.as_u16(), answer.problem()), (401, "invalid-credentials"), "{email}");
    }
}

#[tokio::test]
async fn nothing_but_mail_tells_whether_an_address_has_an_account() {
    let (harness, mut read) = (start().await, BTreeSet::new());
    register(&harness, &mut read, "ada@example.org").await;
    let shape = |answer: &Answer| {
        let mut names: Vec<_> = answer.body.as_object().expect("an object").keys().cloned().collect();
        names.sort();
        (answer.status, names)
    };
    let ask = async |path: &str, email: &str| {
        harness.post(path, None, &json!({ "email": email, "password": "another password", "name": "Eve" })).await
    };
    let known = ask("/v1/auth/password/register", "ada@example.org").await;
    let (to, text) = mail(&harness, &mut read).await;
    assert!(to == "ada@example.org" && text.contains("wanted to make an account"), "its owner is told: {text}");
    let fresh = ask("/v1/auth/password/register", "eve@example.org").await;
    assert_eq!(shape(&known), shape(&fresh));
    let (to, text) = mail(&harness, &mut read).await;
    assert_eq!(to, "eve@example.org");
    let known = ask("/v1/auth/password/forgot", "ada@example.org").await;
    let nobody = ask("/v1/auth/password/forgot", "zoe@example.org").await;
    assert_eq!(shape(&known), shape(&nobody));
    // A code belongs to whoever asked for it: the one in the mail is worth nothing with another id.
    let (to, reset) = mail(&harness, &mut read).await;
    assert_eq!(to, "ada@example.org");
    let stolen = json!({ "code_id": nobody.text("code_id"), "code": code(&reset), "new_password": "my own password" });
    let answer = harness.post("/v1/auth/password/reset", None, &stolen).await;
    assert_eq!((answer.status.as_u16(), answer.problem()), (403, "code-wrong"));
    assert_eq!(login(&harness, "ada@example.org", PASSWORD).await.status, 200, "the password is what it was");
    assert!(!text.contains("ada@"), "{text}");
    assert_eq!(login(&harness, "eve@example.org", "another password").await.problem(), "invalid-credentials");
}

#[tokio::test]
async fn a_forgotten_password_is_replaced_by_a_code_and_all_sessions_end() {
    let (mut harness, mut read) = (start().await, BTreeSet::new());
    let ada = register(&harness, &mut read, "ada@example.org").await;
    let forgot = json!({ "email": "ada@example.org" });
    let sent = harness.post("/v1/auth/password/forgot", None, &forgot).await;
    let code = code(&mail(&harness, &mut read).await.1);
    let body =
        |code: &str| json!({ "code_id": sent.text("code_id"), "code": code, "new_password": "quite another one" });
    let wrong = format!("{:08}", (code.parse::<u32>().expect("digits") + 1) % 100_000_000);
    assert_eq!(harness.post("/v1/auth/password/reset", None, &body(&wrong)).await.problem(), "code-wrong");
    // What was promised outlasts a restart.
    harness.restart().await;
    assert_eq!(harness.post("/v1/auth/password/reset", None, &body(&code)).await.status, 204);
    assert!(mail(&harness, &mut read).await.1.contains("was changed"));
    assert_eq!(harness.post("/v1/auth/password/reset", None, &body(&code)).await.problem(), "code-gone");
    let refresh = json!({ "refresh_token": ada.refresh });
    assert_eq!(harness.post("/v1/auth/refresh", None, &refresh).await.problem(), "session-ended");
    assert_eq!(login(&harness, "ada@example.org", PASSWORD).await.problem(), "invalid-credentials");
    assert_eq!(login(&harness, "ada@example.org", "quite another one").await.status, 200);
}

#[tokio::test]
async fn a_code_bears_five_guesses() {
    let (harness, mut read) = (start().await, BTreeSet::new());
    register(&harness, &mut read, "ada@example.org").await;
    let sent = harness.post("/v1/auth/password/forgot", None, &json!({ "email": "ada@example.org" })).await;
    let code = code(&mail(&harness, &mut read).await.1);
    let try_code = async |code: String| {
        let body = json!({ "code_id": sent.text("code_id"), "code": code, "new_password": "quite another one" });
        harness.post("/v1/auth/password/reset", None, &body).await
    };
    for n in 1..=5_u32 {
        let wrong = format!("{:08}", (code.parse::<u32>().expect("digits") + n) % 100_000_000);
        assert_eq!(try_code(wrong).await.problem(), "code-wrong", "guess {n}");
    }
    assert_eq!(try_code(code).await.problem(), "code-gone", "even the right one");
}

#[tokio::test]
async fn changing_the_password_ends_every_other_session() {
    let (harness, mut read) = (start().await, BTreeSet::new());
    let ada = register(&harness, &mut read, "ada@example.org").await;
    let other = player(&login(&harness, "ada@example.org", PASSWORD).await);
    let change = async |player: &Player, current: &str, new: &str| {
        let body = json!({ "current_password": current, "new_password": new });
        harness.post("/v1/auth/password/change", Some(&player.access), &body).await
    };
    assert_eq!(change(&ada, "wrong", "quite another one").await.problem(), "invalid-credentials");
    for bad in ["short", "password1", "aaaaaaaaaaaa", "ada@example.org"] {
        assert_eq!(change(&ada, PASSWORD, bad).await.problem(), "invalid-password", "{bad}");
    }
    assert_eq!(change(&ada, PASSWORD, "quite another one").await.status, 204);
    let refresh = async |player: &Player| {
        harness.post("/v1/auth/refresh", None, &json!({ "refresh_token": player.refresh })).await
    };
    assert_eq!(refresh(&ada).await.status, 200, "the session that changed it goes on");
    assert_eq!(refresh(&other).await.problem(), "session-ended");
    let device = harness.login(1).await;
    assert_eq!(change(&device, PASSWORD, "quite another one").await.problem(), "no-password");
}

#[tokio::test]
async fn bad_addresses_and_passwords_are_refused_by_name() {
    let harness = start().await;
    let rows = [
        ("ada", PASSWORD, "invalid-email"),
        ("ada@example.org\r\nBcc: eve@example.org", PASSWORD, "invalid-email"),
        ("ada@example.org", "short", "invalid-password"),
        ("ada@example.org", "password123", "invalid-password"),
        ("longname@example.org", "longname99", "invalid-password"),
    ];
    for (email, password, slug) in rows {
        let body = json!({ "email": email, "password": password });
        let answer = harness.post("/v1/auth/password/register", None, &body).await;
        assert_eq!((answer.status.as_u16(), answer.problem()), (422, slug), "{email}");
    }
    let body = json!({ "code_id": uuid::Uuid::nil(), "code": "12345678" });
    assert_eq!(harness.post("/v1/auth/password/register/verify", None, &body).await.problem(), "code-gone");
    let body = json!({ "code_id": uuid::Uuid::nil(), "code": "x" });
    assert_eq!(harness.post("/v1/auth/password/register/verify", None, &body).await.problem(), "invalid-code");
}

#[tokio::test]
async fn without_mail_nobody_registers_and_devices_log_in_as_before() {
    let harness = Harness::start().await;
    let body = json!({ "email": "ada@example.org", "password": PASSWORD });
    let answer = harness.post("/v1/auth/password/register", None, &body).await;
    assert_eq!((answer.status.as_u16(), answer.problem()), (404, "mail-not-configured"));
    harness.login(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_passwords_is_answered_and_stalls_nobody_else() {
    let harness = Harness::start_changed(|config, folder| {
        config.identity = with_mail(folder);
        config.identity.hashing = HashingLimits { threads: 1, queue: 2 };
    })
    .await;
    let ada = harness.login(1).await;
    let flood = (0..40).map(|_| login(&harness, "ada@example.org", PASSWORD));
    let reads = async {
        for _ in 0..20 {
            assert_eq!(harness.get("/v1/players/me", &ada).await.status, 200);
        }
    };
    let (answers, ()) = tokio::join!(futures_util::future::join_all(flood), reads);
    let busy = answers.iter().filter(|answer| answer.status == 503).collect::<Vec<_>>();
    assert!(!busy.is_empty() && busy.len() < answers.len(), "{} of {}", busy.len(), answers.len());
    for answer in &busy {
        assert_eq!(answer.problem(), "logins-busy");
        assert!(answer.headers.contains_key("retry-after"));
    }
    assert!(
        answers.iter().filter(|answer| answer.status != 503).all(|answer| [401, 429].contains(&answer.status.as_u16()))
    );
}

#[tokio::test]
async fn the_database_holds_no_address() {
    let (harness, mut read) = (start().await, BTreeSet::new());
    register(&harness, &mut read, "ada.lovelace@example.org").await;
    let forgot = harness.post("/v1/auth/password/forgot", None, &json!({ "email": "ada.lovelace@example.org" })).await;
    assert_eq!(forgot.status, 202);
    for bytes in harness.database_bytes().await {
        let found = bytes.windows(12).any(|window| window.eq_ignore_ascii_case(b"ada.lovelace"));
        assert!(!found, "the address is in the database");
    }
}

#[tokio::test]
async fn a_barred_account_stays_out_and_its_sessions_end() {
    let (harness, mut read) = (start().await, BTreeSet::new());
    let ada = register(&harness, &mut read, "ada@example.org").await;
    let store = harness.store().await;
    let now_ms = service::clock::unix_ms();
    store.bar_account(ada.id, now_ms + 3_600_000, now_ms).await.expect("barred");
    let answer = login(&harness, "ada@example.org", PASSWORD).await;
    assert_eq!((answer.status.as_u16(), answer.problem()), (403, "banned"));
    assert_eq!(answer.body["until_ms"], now_ms + 3_600_000);
    assert_eq!(
        login(&harness, "ada@example.org", "wrong").await.problem(),
        "invalid-credentials",
        "strangers learn nothing"
    );
    let refresh = harness.post("/v1/auth/refresh", None, &json!({ "refresh_token": ada.refresh })).await;
    assert_eq!(refresh.problem(), "session-ended");
    let device = harness.login(1).await;
    store.bar_account(device.id, i64::MAX as u64, now_ms).await.expect("barred");
    let body = json!({ "device_id": format!("{:02x}{:030x}", 1, 7) });
    let answer = harness.send(harness.request(Method::POST, "/v1/auth/device", None).json(&body)).await;
    assert_eq!((answer.problem(), answer.body.get("until_ms")), ("banned", None::<&Value>));
    store.unbar_account(device.id).await.expect("let in again");
    assert_eq!(harness.login(1).await.id, device.id);
}
