//! Two metagames on one PostgreSQL database, as behind one address.

use std::collections::BTreeSet;

use metagame::{Config, Running};
use protocol::id::MatchId;
use reqwest::Client;
use serde_json::{Value, json};
use service::Shutdown;
use testkit::wait::until;

use super::harness::{Harness, any_port};
use super::results::{match_id, result_of, sign};
use super::webhooks::{PATIENT, Receiver, both, fine, telling};

/// The second one.
struct Twin {
    running: Running,
    shutdown: Shutdown,
}

impl Twin {
    async fn of(harness: &Harness) -> Self {
        let config = Config { api_address: any_port(), admin_address: any_port(), ..harness.config.clone() };
        let shutdown = Shutdown::new();
        Self { running: metagame::start(config, shutdown.clone()).await.expect("a second metagame"), shutdown }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.running.address)
    }

    fn admin_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.running.admin_address)
    }

    async fn stop(self) {
        self.shutdown.trigger();
        self.running.wait().await.expect("a clean end");
    }
}

/// Records a match at one of them, by this address of its API.
async fn play(url: impl Fn(&str) -> String) -> MatchId {
    let match_id = match_id();
    let players = [[1; 16], [2; 16]].map(protocol::id::PlayerId::from_entropy);
    let body = sign(&result_of(match_id, &players), service::clock::unix_s());
    let sent = Client::new().post(url(&format!("/v1/matches/{match_id}/result"))).json(&body).send().await;
    assert_eq!(sent.expect("an answer").status(), 200);
    match_id
}

async fn admission(url: String) -> Value {
    reqwest::get(url).await.expect("an answer").json().await.expect("JSON")
}

#[tokio::test]
async fn one_of_two_instances_tells_of_an_event_and_the_other_goes_on_when_it_is_gone() {
    let receiver = Receiver::start(fine).await;
    let mut harness = Harness::start_telling(telling(&[("ladder", &receiver)], PATIENT)).await;
    let twin = Twin::of(&harness).await;
    let mut expected = Vec::new();
    for number in 0..6 {
        let played =
            if number % 2 == 0 { play(|path| harness.url(path)).await } else { play(|path| twin.url(path)).await };
        expected.extend(both(played));
    }
    receiver.got(&expected).await;
    let told = receiver.ids();
    let once: BTreeSet<&String> = told.iter().collect();
    assert_eq!(told.len(), once.len(), "each is told once: {told:?}");

    // It leaves its endpoints behind, so the other need not wait for the hold to end.
    harness.stop().await;
    let last = play(|path| twin.url(path)).await;
    receiver.got(&both(last)).await;
    twin.stop().await;
}

#[tokio::test]
async fn a_decision_at_one_instance_soon_holds_at_the_other_and_two_at_once_both_count() {
    let harness = Harness::start().await;
    let twin = Twin::of(&harness).await;
    let notice = json!({ "message": "Back at noon.", "retry_after_s": 90 });
    let maintenance = Client::new().put(harness.admin_url("/maintenance")).json(&notice).send();
    let minimum = Client::new().put(twin.admin_url("/minimum-build")).json(&json!({ "build": "1.4.0" })).send();
    let (maintenance, minimum) = tokio::join!(maintenance, minimum);
    for answer in [maintenance, minimum] {
        assert_eq!(answer.expect("an answer").status(), 200);
    }
    for url in [harness.admin_url("/admission"), twin.admin_url("/admission")] {
        until("both decisions hold", async || {
            let now = admission(url.clone()).await;
            (now["maintenance"]["message"] == "Back at noon." && now["minimum_build"] == "1.4.0").then_some(())
        })
        .await;
    }
    twin.stop().await;
}
