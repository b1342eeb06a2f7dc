//! A metagame that is killed again and again while its events go to a bus.

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::instance::Instance;
use serde_json::{Value, json};
use testkit::postgres::TestDatabase;
use testkit::redis::RedisServer;
use tokio::task::JoinSet;

const KILLS: u64 = 6;
/// Players at once, each of whom is somebody new with every login.
const CALLERS: u64 = 8;
/// Logins that are answered between two kills.
const ANSWERED: u64 = 40;

/// The accounts that the bus was told of.
fn told(redis: &RedisServer) -> BTreeSet<String> {
    let answer = redis.cli(&["XRANGE", "muster.events", "-", "+"]);
    let events = answer.lines().filter(|line| line.starts_with('{'));
    let events = events.map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let created = events.filter(|event| event["type"] == "dev.muster.account.created.v1");
    created.map(|event| event["data"]["player_id"].as_str().expect("an id").to_owned()).collect()
}

/// Makes accounts until nobody answers any more; those that were answered for.
async fn make_accounts(api: u16, round: u64, caller: u64, answered: Arc<AtomicU64>) -> Vec<String> {
    let (client, url) = (reqwest::Client::new(), format!("http://127.0.0.1:{api}/v1/auth/device"));
    let mut made = Vec::new();
    for n in 0.. {
        let device = u128::from(round) << 96 | u128::from(caller) << 64 | n | 1 << 127;
        let body = json!({ "device_id": format!("{device:032x}") });
        let Ok(answer) = client.post(&url).json(&body).send().await else { break };
        assert!(answer.status().is_success(), "{answer:?}");
        let Ok(answer) = answer.json::<Value>().await else { break };
        made.push(answer["player_id"].as_str().expect("an id").to_owned());
        answered.fetch_add(1, Ordering::Relaxed);
    }
    made
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_was_answered_for_is_told_of_on_the_bus_although_metagame_is_killed_all_the_time() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (database, redis) = (TestDatabase::new(), RedisServer::start());
    let mut metagame = Instance::start(folder.path(), &database, &redis, &["--events=redis"]).await;
    let mut made = BTreeSet::new();
    for round in 0..KILLS {
        let (api, answered) = (metagame.api, Arc::new(AtomicU64::new(0)));
        let mut callers = JoinSet::new();
        for caller in 0..CALLERS {
            callers.spawn(make_accounts(api, round, caller, Arc::clone(&answered)));
        }
        testkit::wait::until("logins", async || (answered.load(Ordering::Relaxed) >= ANSWERED).then_some(())).await;
        metagame.kill();
        made.extend(callers.join_all().await.into_iter().flatten());
        metagame.begin().await;
    }
    assert!(made.len() as u64 >= KILLS * ANSWERED, "{}", made.len());
    testkit::wait::until("everybody is told of", async || made.is_subset(&told(&redis)).then_some(())).await;
}
