//! Results on their way to metagame: retried, final, spooled, and offered again.

mod support;

use protocol::certificate::SignedResult;
use protocol::pb;
use protocol::pb::MatchPhase;
use support::metagame::FakeMetagame;
use support::{Stage, assign, ended, match_id};

/// Plays a match that nobody joins, up to its Closed update.
async fn match_without_players(stage: &mut Stage) -> pb::MatchUpdate {
    let (mut link, server) = stage.allocator.registered().await;
    link.assign(pb::Assign { join_deadline_ms: 1, ..assign(&server, match_id(1), &[1], "{}") }).await;
    link.until_phase(MatchPhase::Closed).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_is_repeated_until_metagame_has_it() {
    let metagame = FakeMetagame::start(&[503, 429, 408, 200]).await;
    let mut stage = Stage::new(&metagame.url).await;
    let running = stage.start().await;
    let closed = match_without_players(&mut stage).await;
    assert_eq!(closed.reason, "");
    let received = metagame.received();
    assert_eq!(received.len(), 4);
    assert!(received.iter().all(|(_, signed)| *signed == received[0].1), "the same bytes each time");
    assert!(!stage.spool_file(match_id(1)).exists(), "acknowledged: nothing is left in the spool");
    stage.end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_result_is_put_aside_and_not_repeated() {
    let metagame = FakeMetagame::start(&[409]).await;
    let mut stage = Stage::new(&metagame.url).await;
    let running = stage.start().await;
    let closed = match_without_players(&mut stage).await;
    assert!(closed.reason.contains("409"), "{}", closed.reason);
    stage.end(running).await;
    assert_eq!(metagame.received().len(), 1);
    assert!(!stage.spool_file(match_id(1)).exists());
    assert!(stage.spool_file(match_id(1)).with_extension("rejected").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_drain_deadline_results_stay_in_the_spool_and_the_next_server_offers_them() {
    let metagame = FakeMetagame::start(&[503]).await;
    let mut stage = Stage::new(&metagame.url).await;
    stage.config.drain_deadline = std::time::Duration::from_millis(50);
    let running = stage.start().await;
    let (mut link, server) = stage.allocator.registered().await;
    // This match would wait for its players; the drain ends it.
    link.assign(assign(&server, match_id(1), &[1], "{}")).await;
    stage.shutdown.trigger();
    assert_eq!(link.until_phase(MatchPhase::Ended).await.reason, "drained");
    assert!(link.until_phase(MatchPhase::Closed).await.reason.contains("spool"));
    ended(running).await;
    let file = std::fs::read(stage.spool_file(match_id(1))).expect("a spooled result");
    let spooled: SignedResult = serde_json::from_slice(&file).expect("JSON");
    let keys = testkit::tokens::allocator_keys();
    let (_, result) = spooled.verify(&keys, service::clock::unix_s()).expect("a good result");
    assert_eq!(result.reason, "drained");

    let recovered = FakeMetagame::start(&[200]).await;
    let mut next = Stage::new(&recovered.url).await;
    next.config.spool = stage.config.spool.clone();
    let running = next.start().await;
    assert_eq!(recovered.result(match_id(1)).await, spooled);
    let gone = || async { (!stage.spool_file(match_id(1)).exists()).then_some(()) };
    testkit::wait::until("an empty spool", gone).await;
    next.end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_is_reported_only_once_its_result_is_on_the_disk() {
    let metagame = FakeMetagame::start(&[503]).await;
    let stage = &mut Stage::new(&metagame.url).await;
    let running = stage.start().await;
    let (mut link, server) = stage.allocator.registered().await;
    link.assign(pb::Assign { join_deadline_ms: 1, ..assign(&server, match_id(1), &[1], "{}") }).await;
    link.until_phase(MatchPhase::Ended).await;
    // A server that is killed in this moment loses nothing.
    assert!(stage.spool_file(match_id(1)).exists(), "the end was reported before the result was safe");
    stage.hurry.trigger();
    stage.end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_disk_that_refuses_an_end_is_reported_once_metagame_has_the_result() {
    let metagame = FakeMetagame::start(&[503, 200]).await;
    let mut stage = Stage::new(&metagame.url).await;
    let running = stage.start().await;
    let (mut link, server) = stage.allocator.registered().await;
    std::fs::remove_dir_all(&stage.config.spool).expect("the spool can be removed");
    link.assign(pb::Assign { join_deadline_ms: 1, ..assign(&server, match_id(1), &[1], "{}") }).await;
    let ended = link.until_phase(MatchPhase::Ended).await;
    assert_eq!(metagame.received().len(), 2, "the end was reported before the result was safe");
    assert!(ended.stats.is_some());
    assert_eq!(link.until_phase(MatchPhase::Closed).await.reason, "");
    stage.end(running).await;
}
