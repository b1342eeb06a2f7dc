//! Events in a stream of Redis, which is killed, frozen and full.

use std::sync::Arc;

use metagame::events::BusName;
use metagame::events::stream::RedisStream;
use metagame::redis::{Redis, RedisUrl};
use serde_json::Value;
use testkit::redis::RedisServer;
use testkit::wait::until;

use super::hands::{assert_in_order, backlog, first_times, give, player, run, told};

fn stream(server: &RedisServer, keep: u64) -> Arc<RedisStream> {
    let url: RedisUrl = server.url().parse().expect("an address");
    let redis = Redis::new(&url, "test").expect("a way");
    Arc::new(RedisStream::new(redis, BusName::default(), keep, "/muster/test".into()))
}

/// The events in the stream, in order.
fn events(server: &RedisServer) -> Vec<Value> {
    let answer = server.cli(&["XRANGE", "muster.events", "-", "+"]);
    answer.lines().filter(|line| line.starts_with('{')).map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_have_the_event_and_by_what_it_is_filtered() {
    for (store, _keep) in told().await {
        let server = RedisServer::start();
        let _relay = run(&store, stream(&server, 1_000));
        let ada = player(&store, 1).await;
        for n in 1..=3 {
            give(&store, ada, n).await;
        }
        until("everything is taken", async || (backlog(&store).await.pending == 0).then_some(())).await;
        let events = events(&server);
        assert_in_order(&events, &[ada], 3);
        let first = &events[0];
        assert_eq!((&first["specversion"], &first["source"]), (&"1.0".into(), &"/muster/test".into()));
        assert_eq!(first["type"], "dev.muster.account.created.v1");
        assert_eq!(first["data"]["player_id"], ada.to_string());
        let entry = server.cli(&["XRANGE", "muster.events", "-", "+", "COUNT", "1"]);
        let fields: Vec<&str> = entry.lines().skip(1).collect();
        let (id, subject) = (format!("account_created_{ada}"), format!("player/{ada}"));
        assert_eq!(fields[..6], ["id", &id, "type", "dev.muster.account.created.v1", "subject", &subject]);
        assert_eq!(fields[6], "event");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_was_dead_or_silent_for_a_while_has_everything_afterwards() {
    for (store, _keep) in told().await {
        let mut server = RedisServer::start();
        let _relay = run(&store, stream(&server, 10_000));
        let ada = player(&store, 1).await;
        until("the first is there", async || (backlog(&store).await.pending == 0).then_some(())).await;
        server.freeze();
        for n in 1..=120 {
            give(&store, ada, n).await;
        }
        assert_eq!(backlog(&store).await.pending, 120, "nobody has waited for it");
        server.thaw();
        until("everything is taken", async || (backlog(&store).await.pending == 0).then_some(())).await;
        assert_in_order(&events(&server), &[ada], 120);
        // Without a file of its own it forgets what it has acknowledged; what it has not waits for it.
        server.kill();
        for n in 121..=240 {
            give(&store, ada, n).await;
        }
        assert_eq!(backlog(&store).await.pending, 120);
        server.start_again();
        until("everything is taken", async || (backlog(&store).await.pending == 0).then_some(())).await;
        let after = events(&server);
        let figures: Vec<u64> =
            first_times(&after).iter().filter_map(|event| event["data"]["currencies"][0]["amount"].as_u64()).collect();
        assert_eq!(figures, (121..=240).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_redis_gets_whole_batches_or_nothing_and_the_stream_stays_bounded() {
    for (store, _keep) in told().await {
        let server = RedisServer::start();
        assert_eq!(server.cli(&["CONFIG", "SET", "maxmemory", "1"]), "OK");
        let _relay = run(&store, stream(&server, 100));
        let ada = player(&store, 1).await;
        for n in 1..=500 {
            give(&store, ada, n).await;
        }
        assert_eq!((backlog(&store).await.pending, server.cli(&["EXISTS", "muster.events"]).as_str()), (501, "0"));
        assert_eq!(server.cli(&["CONFIG", "SET", "maxmemory", "0"]), "OK");
        until("everything is taken", async || (backlog(&store).await.pending == 0).then_some(())).await;
        let kept = events(&server);
        // Trimmed by whole nodes of a hundred entries.
        assert!((100..=300).contains(&kept.len()), "{}", kept.len());
        let figures: Vec<u64> =
            kept.iter().map(|event| event["data"]["currencies"][0]["amount"].as_u64().expect("a figure")).collect();
        assert_eq!(figures, (501 - kept.len() as u64..=500).collect::<Vec<_>>(), "the newest, in order");
    }
}
