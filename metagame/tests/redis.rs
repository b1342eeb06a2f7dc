//! The way to Redis: what it does while Redis answers, while it is gone, and while it is silent.

use metagame::redis::{Redis, RedisError, RedisUrl, Script, cmd, pipe};
use testkit::redis::RedisServer;
use testkit::wait::until;

fn way(server: &RedisServer) -> Redis {
    let url: RedisUrl = server.url().parse().expect("an address");
    Redis::new(&url, "test").expect("a way")
}

async fn set(redis: &Redis, value: &str) -> Result<(), RedisError> {
    redis.query("test", cmd("SET").arg(redis.key("a")).arg(value)).await
}

async fn get(redis: &Redis) -> Result<Option<String>, RedisError> {
    redis.query("test", cmd("GET").arg(redis.key("a"))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_pipelines_scripts_and_news_arrive() {
    let server = RedisServer::start();
    let redis = way(&server);
    until("it answers", async || set(&redis, "1").await.ok()).await;
    assert_eq!(server.cli(&["GET", "muster:test:a"]), "1");
    let both: (u64, u64) =
        redis.pipeline("test", pipe().cmd("INCR").arg("n").cmd("INCR").arg("n")).await.expect("a pipeline");
    assert_eq!(both, (1, 2));
    let script = Script::new("return redis.call('INCRBY', KEYS[1], ARGV[1])");
    let sum: u64 = redis.script("test", script.key("n").arg(40)).await.expect("a script");
    assert_eq!(sum, 42);
    let mut heard = redis.pubsub("test").await.expect("a connection");
    heard.subscribe("news").await.expect("subscribed");
    let listeners: u64 = redis.query("test", cmd("PUBLISH").arg("news").arg("hello")).await.expect("published");
    assert_eq!(listeners, 1);
    let message = futures_util::StreamExt::next(&mut heard.on_message()).await.expect("a message");
    assert_eq!(message.get_payload_bytes(), b"hello");
    let refused = redis.query::<()>("test", cmd("INCR").arg(redis.key("a")).arg("too many")).await;
    assert!(matches!(refused, Err(RedisError::Refused(_))), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn gone_is_told_at_once_and_back_is_found_without_a_restart() {
    let mut server = RedisServer::start();
    let redis = way(&server);
    until("it answers", async || set(&redis, "1").await.ok()).await;
    server.kill();
    for _ in 0..20 {
        assert!(matches!(get(&redis).await, Err(RedisError::Away(_))));
    }
    server.start_again();
    let found = until("it is found again", async || get(&redis).await.ok()).await;
    assert_eq!(found, None, "it has forgotten");
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_is_waited_for_a_moment_only_and_then_nobody_asks() {
    let mut server = RedisServer::start();
    let redis = way(&server);
    until("it answers", async || set(&redis, "1").await.ok()).await;
    server.freeze();
    until("nobody asks", async || {
        let Err(RedisError::Away(reason)) = get(&redis).await else { panic!("it is frozen") };
        reason.contains("a moment ago").then_some(())
    })
    .await;
    server.thaw();
    let found = until("it is found again", async || get(&redis).await.ok()).await;
    assert_eq!(found.as_deref(), Some("1"));
}

#[tokio::test]
async fn a_redis_that_was_never_there_keeps_nobody_from_starting() {
    let url: RedisUrl = "redis://127.0.0.1:1".parse().expect("an address");
    let redis = Redis::new(&url, "test").expect("a way");
    assert!(matches!(get(&redis).await, Err(RedisError::Away(_))));
}
