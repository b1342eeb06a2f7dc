//! Events, settings of the game, and verdicts of anti-cheat, as clients, operators and vendors see them.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use metagame::core::live::document::LiveFile;
use metagame::core::webhook::{Secret, signatures};
use metagame::{LiveSettings, read_integrations};
use reqwest::header::{ETAG, IF_MATCH, IF_NONE_MATCH};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::wait::until;

use super::harness::{Answer, Harness, Player};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

const FILE: &str = r#"
    version = 2
    [[event]]
    id = "always"
    kind = "double_xp"
    starts_at = "2020-01-01T00:00:00Z"
    data = { factor = 2 }
    [[event]]
    id = "over"
    starts_at = "2020-01-01T00:00:00Z"
    ends_at = "2020-02-01T00:00:00Z"
    [[event]]
    id = "veterans"
    starts_at = "2020-01-01T00:00:00Z"
    when = { level_from = 40 }
    [[setting]]
    key = "hud"
    value = "old"
    rules = [{ when = { platforms = ["pc"], build_from = "1.4" }, value = "new" }]
    [[setting]]
    key = "max_players"
    value = 8
"#;

fn integrations(folder: &Path) -> metagame::Integrations {
    let secret = folder.join("warden.secret");
    std::fs::write(&secret, SECRET).expect("write");
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).expect("chmod");
    let file = folder.join("integrations.toml");
    let text =
        "[[anti_cheat]]\nname = \"warden\"\nsecret_files = [\"warden.secret\"]\ncheating = \"ban\"\nban_hours = 1\n";
    std::fs::write(&file, text).expect("write");
    read_integrations(&file).expect("good integrations")
}

/// The settings of these tests.
pub(crate) fn live(folder: &Path) -> LiveSettings {
    LiveSettings { file: Some(LiveFile::parse(FILE).expect("a good file")), integrations: integrations(folder) }
}

async fn start() -> Harness {
    Harness::start_changed(|config, folder| config.parts.live = live(folder)).await
}

async fn admin(harness: &Harness, method: Method, path: &str, seen: Option<u64>, body: Option<&Value>) -> Answer {
    let mut request = reqwest::Client::new().request(method, harness.admin_url(path));
    if let Some(version) = seen {
        request = request.header(IF_MATCH, format!("\"{version}\""));
    }
    if let Some(body) = body {
        request = request.json(body);
    }
    harness.send(request).await
}

fn ids(answer: &Answer) -> Vec<&str> {
    answer.body["events"].as_array().expect("events").iter().filter_map(|event| event["id"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn players_get_the_events_and_settings_that_are_for_them_and_are_told_when_nothing_changed() {
    let harness = start().await;
    let player = harness.login(1).await;
    let events = harness.get("/v1/live/events", &player).await;
    assert_eq!(ids(&events), ["always"], "neither what is over nor what is for veterans");
    assert_eq!(
        (&events.body["events"][0]["active"], &events.body["events"][0]["data"]["factor"]),
        (&json!(true), &json!(2))
    );
    let pc = harness.get("/v1/config?platform=pc&build=1.5.0", &player).await;
    assert_eq!(pc.body["values"], json!({ "hud": "new", "max_players": 8 }));
    let other = harness.get("/v1/config?platform=pc&build=1.3", &player).await;
    assert_eq!(other.body["values"]["hud"], "old");
    assert_ne!(pc.headers[ETAG], other.headers[ETAG]);
    let again = harness.request(Method::GET, "/v1/config?platform=pc&build=1.5.0", Some(&player.access));
    let again = harness.send(again.header(IF_NONE_MATCH, pc.headers[ETAG].clone())).await;
    assert_eq!((again.status, &again.headers[ETAG]), (StatusCode::NOT_MODIFIED, &pc.headers[ETAG]));
    let long = format!("/v1/config?region={}", "x".repeat(65));
    assert_eq!(harness.get(&long, &player).await.problem(), "invalid-query");
    let nobody = harness.send(harness.request(Method::GET, "/v1/config", None)).await;
    assert_eq!(nobody.problem(), "unauthenticated");
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_publish_versions_and_take_them_back() {
    let harness = start().await;
    let player = harness.login(1).await;
    let shown = admin(&harness, Method::GET, "/live", None, None).await;
    assert_eq!(
        (&shown.headers[ETAG], shown.body["settings"][0]["key"].as_str()),
        (&"\"2\"".parse().expect("a tag"), Some("hud"))
    );
    let new = json!({ "settings": [{ "key": "max_players", "value": 12 }] });
    assert_eq!(admin(&harness, Method::PUT, "/live", None, Some(&new)).await.problem(), "version-missing");
    let stale = admin(&harness, Method::PUT, "/live", Some(1), Some(&new)).await;
    assert_eq!((stale.status.as_u16(), stale.problem(), &stale.body["version"]), (412, "stale", &json!(2)));
    let bad = json!({ "settings": [{ "key": "k", "value": 1, "rules": [{ "value": "text" }] }] });
    let refused = admin(&harness, Method::PUT, "/live", Some(2), Some(&bad)).await;
    assert_eq!(refused.problem(), "invalid-document");
    assert!(refused.text("detail").contains("rule 1"), "{refused:?}");
    assert_eq!(admin(&harness, Method::PUT, "/live", Some(2), Some(&new)).await.body["version"], 3);
    assert_eq!(harness.get("/v1/config", &player).await.body["values"], json!({ "max_players": 12 }));
    assert!(ids(&harness.get("/v1/live/events", &player).await).is_empty());
    let back = admin(&harness, Method::POST, "/live/rollback", Some(3), Some(&json!({ "version": 2 }))).await;
    assert_eq!(back.body["version"], 4);
    assert_eq!(harness.get("/v1/config", &player).await.body["values"]["max_players"], 8);
    let versions = admin(&harness, Method::GET, "/live/versions", None, None).await;
    let numbers: Vec<_> = versions.body.as_array().expect("a list").iter().map(|one| one["version"].clone()).collect();
    assert_eq!(numbers, [json!(4), json!(3), json!(2)]);
    let whom = json!({ "player_id": player.id, "level": 50, "platform": "pc", "build": "2.0" });
    let seen = admin(&harness, Method::POST, "/live/preview", None, Some(&whom)).await;
    assert_eq!(seen.body["settings"]["hud"], json!({ "value": "new", "rule": 1 }));
    assert_eq!(seen.body["events"].as_array().map(Vec::len), Some(2), "veterans have one more");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_operators_published_outlasts_a_restart_with_an_older_file_and_a_changed_file_is_refused() {
    let mut harness = start().await;
    let new = json!({ "settings": [{ "key": "max_players", "value": 12 }] });
    assert_eq!(admin(&harness, Method::PUT, "/live", Some(2), Some(&new)).await.status, 200);
    harness.restart().await;
    let player = harness.login(1).await;
    assert_eq!(harness.get("/v1/config", &player).await.body["values"]["max_players"], 12);
    harness.stop().await;
    let changed = FILE.replace("version = 2", "version = 3").replace("value = 8", "value = 9");
    harness.config.parts.live.file = Some(LiveFile::parse(&changed).expect("a good file"));
    let refused = metagame::start(harness.config.clone(), service::Shutdown::new()).await.expect_err("it has changed");
    assert!(refused.to_string().contains("raise `version`"), "{refused}");
    harness.config.parts.live.file =
        Some(LiveFile::parse(&changed.replace("version = 3", "version = 9")).expect("a good file"));
    harness.restart().await;
    let player = harness.login(1).await;
    assert_eq!(harness.get("/v1/config", &player).await.body["values"]["max_players"], 9);
}

/// Sends a verdict as the vendor does.
pub(crate) async fn tell(harness: &Harness, id: &str, sent_at_s: u64, body: &Value, signed: Option<&str>) -> Answer {
    let (text, secret) = (body.to_string(), Secret::parse(SECRET).expect("a secret"));
    let own = signatures(&[secret], id, sent_at_s, &text);
    let request = harness.request(Method::POST, "/v1/webhooks/anti-cheat/warden", None);
    let request = request.header("webhook-id", id).header("webhook-timestamp", sent_at_s);
    harness.send(request.header("webhook-signature", signed.unwrap_or(&own)).body(text)).await
}

fn verdict(player: &Player, verdict: &str) -> Value {
    json!({ "player_id": player.id, "verdict": verdict, "reason": "it aims too well" })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_verdict_counts_once_and_a_cheater_is_kept_out() {
    let harness = start().await;
    let (cheater, suspect) = (harness.login(1).await, harness.login(2).await);
    let now_s = service::clock::unix_s();
    let said = verdict(&cheater, "cheating");
    let forged = tell(&harness, "m1", now_s, &said, Some("v1,AAAA")).await;
    assert_eq!((forged.status.as_u16(), forged.problem()), (401, "signature-invalid"));
    assert_eq!(
        tell(&harness, "m1", now_s - 400, &said, None).await.problem(),
        "signature-invalid",
        "somebody's old copy"
    );
    let unknown = harness.post("/v1/webhooks/anti-cheat/nobody", None, &said).await;
    assert_eq!(unknown.problem(), "unknown-vendor");
    assert_eq!(harness.get("/v1/players/me", &cheater).await.status, 200, "nothing has followed yet");
    assert_eq!(tell(&harness, "m1", now_s, &said, None).await.body, json!({ "first": true, "outcome": "ban" }));
    assert_eq!(harness.get("/v1/players/me", &cheater).await.problem(), "session-ended");
    let login = json!({ "device_id": format!("{:02x}{:030x}", 1, 7) });
    assert_eq!(harness.post("/v1/auth/device", None, &login).await.problem(), "banned");
    // The same message again, by now about somebody else: it is the first one's.
    assert_eq!(
        tell(&harness, "m1", now_s, &verdict(&suspect, "cheating"), None).await.body,
        json!({ "first": false, "outcome": "ban" })
    );
    assert_eq!(tell(&harness, "m2", now_s, &verdict(&suspect, "suspicious"), None).await.body["outcome"], "flag");
    assert_eq!(tell(&harness, "m3", now_s, &verdict(&suspect, "clean"), None).await.body["outcome"], "none");
    assert_eq!(harness.get("/v1/players/me", &suspect).await.status, 200);
    let nobody = json!({ "player_id": uuid::Uuid::from_u128(7), "verdict": "cheating" });
    assert_eq!(tell(&harness, "m4", now_s, &nobody, None).await.body["outcome"], "unknown_player");
    assert_eq!(tell(&harness, "m5", now_s, &json!({ "verdict": "cheating" }), None).await.problem(), "wrong-type");
    let open = admin(&harness, Method::GET, "/anti-cheat/verdicts", None, None).await;
    assert_eq!(open.body.as_array().map(Vec::len), Some(2), "{open:?}");
    let resolve = json!({ "vendor": "warden", "message_id": "m2" });
    assert_eq!(admin(&harness, Method::POST, "/anti-cheat/resolve", None, Some(&resolve)).await.status, 204);
    let open = admin(&harness, Method::GET, "/anti-cheat/verdicts", None, None).await;
    assert_eq!(open.body.as_array().map(Vec::len), Some(1));
    let path = format!("/anti-cheat/verdicts?player_id={}", suspect.id);
    assert_eq!(admin(&harness, Method::GET, &path, None, None).await.body.as_array().map(Vec::len), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_copies_of_a_verdict_at_once_count_once() {
    let harness = start().await;
    let suspect = harness.login(1).await;
    let (now_s, said) = (service::clock::unix_s(), verdict(&suspect, "suspicious"));
    let copies = futures_util::future::join_all((0..6).map(|_| tell(&harness, "m1", now_s, &said, None))).await;
    let firsts = copies.iter().filter(|answer| answer.body["first"] == true).count();
    assert_eq!(firsts, 1, "{copies:?}");
    assert!(copies.iter().all(|answer| answer.body["outcome"] == "flag"), "{copies:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_instance_hears_of_a_version() {
    let harness = start().await;
    if harness.is_on_file() {
        return;
    }
    let other = harness.another().await;
    let player = harness.login(1).await;
    let new = json!({ "settings": [{ "key": "max_players", "value": 12 }] });
    assert_eq!(admin(&harness, Method::PUT, "/live", Some(2), Some(&new)).await.status, 200);
    until("the other instance has it", async || {
        let url = format!("http://{}/v1/config", other.address);
        let answer = harness.send(reqwest::Client::new().get(url).bearer_auth(&player.access)).await;
        (answer.body["values"]["max_players"] == 12).then_some(())
    })
    .await;
}
