//! The control link against a scripted allocator over real gRPC.

mod support;

use protocol::pb;
use protocol::pb::allocator_message::Message as FromAllocator;
use protocol::pb::server_message::Message as ToAllocator;
use protocol::pb::{MatchPhase, RefusalReason};
use support::allocator::{is_joinable, refusal};
use support::metagame::FakeMetagame;
use support::player::{Player, Style};
use support::{Stage, assign, ended, match_id, player_id, token};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_says_who_it_is_and_answers_pings() {
    let mut stage = Stage::new("http://127.0.0.1:9").await;
    let running = stage.start().await;
    let (mut link, register) = stage.allocator.registered().await;
    assert_eq!(register.server_id, running.server_id.to_string());
    assert_eq!(register.address, running.udp.to_string());
    assert_eq!((register.name.as_str(), register.fleet.as_str(), register.capacity), ("server-1", "test", 1));
    assert_eq!(
        (register.server_key.as_slice(), register.result_key.as_slice()),
        (&running.server_key[..], &running.result_key[..])
    );
    assert_eq!((register.tick_rate_hz, register.routing_token.as_slice(), register.hosted.len()), (60, &[7u8][..], 0));
    link.send(FromAllocator::Ping(pb::Ping { nonce: 42 })).await;
    let pong = |message| if let ToAllocator::Pong(pong) = message { Some(pong.nonce) } else { None };
    assert_eq!(link.until_some("a pong", pong).await, 42);
    let get = async |path: &str| reqwest::get(format!("http://{}{path}", running.admin)).await.expect("an answer");
    testkit::wait::until("readiness", async || get("/readyz").await.status().is_success().then_some(())).await;
    let metrics = get("/metrics").await.text().await.expect("text");
    assert!(metrics.contains("muster_gameserver_link_up"), "{metrics}");
    stage.end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_allocator_always_hears_that_a_server_leaves() {
    // The last message and the end of the process are close to each other: once is luck.
    for _ in 0..20 {
        let mut stage = Stage::new("http://127.0.0.1:9").await;
        let running = stage.start().await;
        let (mut link, _) = stage.allocator.registered().await;
        let leaves = async {
            let leaving =
                |message| if let ToAllocator::Leaving(leaving) = message { Some(leaving.reason) } else { None };
            let reason = link.until_some("Leaving", leaving).await;
            drop(link);
            reason
        };
        let (reason, ()) = tokio::join!(leaves, stage.end(running));
        assert_eq!(reason, "draining");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn assignments_are_answered_by_the_arbiters_rules() {
    let mut stage = Stage::new("http://127.0.0.1:9").await;
    let running = stage.start().await;
    let (mut link, server) = stage.allocator.registered().await;
    let order = |byte, attempt, epoch, settings: &str| {
        let assign = assign(&server, match_id(byte), &[1, 2], settings);
        FromAllocator::Assign(pb::Assign { attempt, epoch, ..assign })
    };
    link.send(order(9, 1, 1, r#"{"refuse": true}"#)).await;
    assert_eq!(refusal(&link.reply().await), Some(RefusalReason::Game));
    link.send(order(9, 2, 1, "no json")).await;
    assert_eq!(refusal(&link.reply().await), Some(RefusalReason::Game));
    link.send(order(1, 1, 5, "{}")).await;
    let first = link.reply().await;
    assert!(is_joinable(&first) && first.attempt == 1, "{first:?}");
    link.send(order(1, 2, 5, "{}")).await;
    let again = link.reply().await;
    assert!(is_joinable(&again) && again.attempt == 2, "{again:?}");
    link.send(order(2, 1, 5, "{}")).await;
    assert_eq!(refusal(&link.reply().await), Some(RefusalReason::Full));
    link.send(order(3, 1, 4, "{}")).await;
    assert_eq!(refusal(&link.reply().await), Some(RefusalReason::StaleEpoch));
    // A stale leader's Retire is ignored; the right one's makes the server leave once it is idle.
    link.send(FromAllocator::Retire(pb::Retire { epoch: 4 })).await;
    link.send(FromAllocator::Retire(pb::Retire { epoch: 5 })).await;
    let leaving = |message| if let ToAllocator::Leaving(leaving) = message { Some(leaving.reason) } else { None };
    assert!(link.until_some("Leaving", leaving).await.contains("retired"));
    link.send(order(4, 1, 5, "{}")).await;
    assert_eq!(refusal(&link.reply().await), Some(RefusalReason::Leaving));
    link.send(FromAllocator::Release(pb::Release {
        match_id: match_id(1).to_string(),
        epoch: 5,
        reason: "test".into(),
    }))
    .await;
    link.until_phase(MatchPhase::Closed).await;
    ended(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_released_match_leaves_no_result_behind() {
    let metagame = FakeMetagame::start(&[200]).await;
    let mut stage = Stage::new(&metagame.url).await;
    let running = stage.start().await;
    let (mut link, server) = stage.allocator.registered().await;
    let id = match_id(1);
    link.assign(assign(&server, id, &[1], "{}")).await;
    link.send(FromAllocator::Release(pb::Release { match_id: id.to_string(), epoch: 1, reason: "late".into() })).await;
    link.until_phase(MatchPhase::Closed).await;
    link.send(FromAllocator::Assign(assign(&server, id, &[1], "{}"))).await;
    assert_eq!(refusal(&link.reply().await), Some(RefusalReason::Ended));
    link.assign(assign(&server, match_id(2), &[1], "{}")).await;
    stage.hurry.trigger();
    ended(running).await;
    let results: Vec<_> = metagame.received().into_iter().map(|(of, _)| of).collect();
    assert_eq!(results, [match_id(2)], "the drained match has a result, the released one has none");
    assert!(!stage.spool_file(id).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_link_is_dialled_again_with_the_hosted_match_and_every_unacknowledged_update() {
    let metagame = FakeMetagame::start(&[200]).await;
    let mut stage = Stage::new(&metagame.url).await;
    let running = stage.start().await;
    let (mut link, server) = stage.allocator.registered().await;
    let id = match_id(1);
    link.assign(assign(&server, id, &[1], r#"{"ticks": 30}"#)).await;
    drop(link);

    let (mut link, again) = stage.allocator.registered().await;
    assert_eq!(again.server_id, server.server_id, "the same incarnation");
    let hosted = &again.hosted[0];
    assert_eq!((hosted.match_id.as_str(), hosted.phase()), (id.to_string().as_str(), MatchPhase::Joinable));
    assert_eq!((hosted.roster.len(), hosted.attempt, again.epoch_seen), (1, 1, 1));
    let _player = Player::join(&running, token(&running, id, player_id(1)), Style { goes: true }).await;
    let playing = link.update().await;
    assert_eq!((playing.phase(), playing.number), (MatchPhase::Playing, 1));
    let repeated = link.until_some("a repetition on the same link", |message| match message {
        ToAllocator::MatchUpdate(update) if update.number == 1 => Some(update),
        _ => None,
    });
    assert_eq!(repeated.await, playing);
    metagame.result(id).await;
    drop(link);

    let (mut link, _) = stage.allocator.registered().await;
    let mut phases = Vec::new();
    while phases.len() < 3 {
        let update = link.update().await;
        if !phases.contains(&update.phase()) {
            phases.push(update.phase());
        }
        link.send(FromAllocator::UpdateAck(pb::UpdateAck { number: update.number })).await;
    }
    assert_eq!(phases, [MatchPhase::Playing, MatchPhase::Ended, MatchPhase::Closed]);
    drop(link);
    let (_link, last) = stage.allocator.registered().await;
    assert!(last.hosted.is_empty());
    stage.end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_match_that_nobody_joins_ends_itself_with_everyone_absent() {
    let metagame = FakeMetagame::start(&[200]).await;
    let mut stage = Stage::new(&metagame.url).await;
    let running = stage.start().await;
    let (mut link, server) = stage.allocator.registered().await;
    let id = match_id(1);
    link.assign(pb::Assign { join_deadline_ms: 100, ..assign(&server, id, &[1, 2], "{}") }).await;
    let update = link.until_phase(MatchPhase::Ended).await;
    assert_eq!(update.reason, "nobody_joined");
    let keys = testkit::tokens::allocator_keys();
    let (_, result) = metagame.result(id).await.verify(&keys, service::clock::unix_s()).expect("a good result");
    let absent = protocol::certificate::Participation::Absent;
    assert!(result.players.len() == 2 && result.players.iter().all(|player| player.participation == absent));
    stage.end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn agones_sees_reserved_then_allocated_then_reserved_and_at_last_shutdown() {
    use agones::{SdkServer, SdkServerConfig, State};
    let metagame = FakeMetagame::start(&[200]).await;
    let mut stage = Stage::new(&metagame.url).await;
    let sdk = SdkServer::start(SdkServerConfig::local("gs-1")).await.expect("an SDK server");
    stage.config.sdk = Some(sdk.local_addr().to_string());
    let running = stage.start().await;
    let mut observed = sdk.observed();
    let mut until = async |state: State| {
        let seen = observed.wait_for(|server| server.state == state);
        tokio::time::timeout(testkit::wait::PATIENCE, seen)
            .await
            .unwrap_or_else(|_| panic!("never {state}"))
            .expect("serving");
    };
    let (mut link, server) = stage.allocator.registered().await;
    assert_eq!(server.name, "gs-1", "the GameServer's name, not the process's");
    until(State::Reserved).await;
    link.assign(pb::Assign { join_deadline_ms: 1, ..assign(&server, match_id(1), &[1], "{}") }).await;
    until(State::Allocated).await;
    link.until_phase(MatchPhase::Closed).await;
    until(State::Reserved).await;
    stage.shutdown.trigger();
    until(State::Shutdown).await;
    ended(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_an_allocator_leaves_the_pool_and_comes_back_with_the_next() {
    use agones::{SdkServer, SdkServerConfig, State};
    let mut stage = Stage::new("http://127.0.0.1:9").await;
    let sdk = SdkServer::start(SdkServerConfig::local("gs-1")).await.expect("an SDK server");
    stage.config.sdk = Some(sdk.local_addr().to_string());
    stage.config.leave_after = std::time::Duration::from_millis(100);
    let running = stage.start().await;
    let mut observed = sdk.observed();
    // The allocator is there but does not answer Register: that is no allocator.
    let mut link = stage.allocator.link().await;
    let seen = observed.wait_for(|server| server.state == State::Ready);
    tokio::time::timeout(testkit::wait::PATIENCE, seen).await.expect("left the pool").expect("serving");
    let register = link.register().await;
    assert_eq!(register.revision, "0123abcd");
    let seen = observed.wait_for(|server| server.state == State::Reserved);
    tokio::time::timeout(testkit::wait::PATIENCE, seen).await.expect("back in the pool").expect("serving");
    link.until_some("the news of it", |message| match message {
        ToAllocator::Load(load) if load.state == "Reserved" => Some(()),
        _ => None,
    })
    .await;
    link.assign(assign(&register, match_id(1), &[1], "{}")).await;
    stage.hurry.trigger();
    ended(running).await;
}
