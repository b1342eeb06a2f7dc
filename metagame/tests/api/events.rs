//! Events through the whole program: to webhooks that name them, and to a bus.

use metagame::{BusName, BusPlace, BusSettings, StartError};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::redis::RedisServer;
use testkit::wait::until;

use super::harness::Harness;
use super::webhooks::{PATIENT, Receiver, fine, telling_of};

async fn admin(harness: &Harness, path: &str) -> Value {
    reqwest::get(harness.admin_url(path)).await.expect("an answer").json().await.expect("JSON")
}

fn to_redis() -> BusSettings {
    BusSettings { place: BusPlace::Redis, name: BusName::default(), keep: BusSettings::KEEP }
}

#[tokio::test]
async fn a_webhook_hears_of_what_its_settings_name_besides_matches() {
    let receiver = Receiver::start(fine).await;
    let webhooks = telling_of(&[("crm", &receiver)], &["account.created", "sanction.imposed"], PATIENT);
    let harness = Harness::start_telling(webhooks).await;
    let ada = harness.login(1).await;
    let body = json!({ "kind": "mute", "reason": "spam", "for_s": 60 });
    let ordered = harness.order(&format!("/players/{}/sanctions", ada.id), &body).await;
    assert_eq!(ordered.status, 201, "{ordered:?}");
    let imposed = format!("sanction_imposed_{}", ordered.text("sanction_id"));
    let both = [format!("account_created_{}", ada.id), imposed];
    receiver.got(&both).await;
    assert_eq!(receiver.ids(), both, "one after the other, each once");
    let told = &receiver.bodies()[1];
    assert_eq!((&told["type"], &told["data"]["reason"]), (&"sanction.imposed".into(), &"spam".into()));
    assert_eq!(told["data"]["player_id"], ada.id.to_string());
    until("nothing waits", async || (admin(&harness, "/events").await[0]["pending"] == 0).then_some(())).await;
    assert_eq!(admin(&harness, "/events").await[0]["taken"], 2);
}

#[tokio::test]
async fn a_bus_hears_of_everything_and_operators_see_how_far_it_is() {
    let server = RedisServer::start();
    let url = server.url().parse().expect("an address");
    let harness = Harness::start_changed(|config, _| {
        config.parts.redis = Some(url);
        config.parts.events = Some(to_redis());
    })
    .await;
    let ada = harness.login(1).await;
    let party = json!({ "party_id": uuid::Uuid::from_bytes(service::random::bytes()) });
    let made = harness.send(harness.request(Method::POST, "/v1/parties", Some(&ada.access)).json(&party)).await;
    assert!(made.status.is_success(), "{made:?}");
    until("both are taken", async || (admin(&harness, "/events").await[0]["taken"] == 2).then_some(())).await;
    let entries = server.cli(&["XRANGE", "muster.events", "-", "+"]);
    let events: Vec<Value> = entries.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let events: Vec<&Value> = events.iter().filter(|event| event.is_object()).collect();
    assert_eq!(events.len(), 2, "{entries}");
    assert_eq!(events[0]["id"], format!("account_created_{}", ada.id));
    assert_eq!(
        (&events[1]["type"], &events[1]["data"]["leader_id"]),
        (&"dev.muster.party.changed.v1".into(), &ada.id.to_string().into())
    );
    let source = events[0]["source"].as_str().expect("a source");
    assert!(source.starts_with("/muster/") && source.len() > "/muster/".len(), "{source}");
    let status = admin(&harness, "/events").await;
    assert_eq!((&status[0]["sink"], &status[0]["pending"]), (&"bus".into(), &0.into()));
    assert_eq!(status[0]["oldest_pending_age_ms"], Value::Null);
    let metrics = reqwest::get(harness.admin_url("/metrics")).await.expect("metrics").text().await.expect("text");
    assert!(metrics.contains("muster_metagame_events_handed_total{sink=\"bus\",outcome=\"taken\"}"), "{metrics}");
    assert!(metrics.contains("muster_metagame_events_oldest_pending_seconds{sink=\"bus\"}"), "{metrics}");
}

#[tokio::test]
async fn a_bus_in_a_redis_that_nobody_named_is_told_before_anything_starts() {
    let mut harness = Harness::start().await;
    harness.stop().await;
    harness.config.parts.events = Some(to_redis());
    let refused = metagame::start(harness.config.clone(), service::Shutdown::new()).await.expect_err("no Redis");
    assert!(matches!(&refused, StartError::Events(_)) && refused.to_string().contains("--redis"), "{refused}");
}
