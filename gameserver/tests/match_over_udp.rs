//! Whole matches: a real server, real clients over real UDP, tokens minted by the test.

mod support;

use std::time::Duration;

use protocol::certificate::Participation;
use protocol::id::ServerId;
use protocol::pb::server_message::Message as ToAllocator;
use protocol::pb::{MatchPhase, PlayerPhase};
use protocol::wire::{CloseReason, Refusal};
use support::metagame::FakeMetagame;
use support::player::{Player, Style};
use support::{Stage, assign, claims, forged_token, match_id, player_id, token};

const GOES: Style = Style { goes: true };
const STANDS: Style = Style { goes: false };

#[tokio::test(flavor = "multi_thread")]
async fn players_play_the_match_ends_and_its_signed_result_verifies() {
    let metagame = FakeMetagame::start(&[200]).await;
    let mut stage = Stage::new(&metagame.url).await;
    let running = stage.start().await;
    let (mut link, server) = stage.allocator.registered().await;
    let id = match_id(1);
    link.assign(assign(&server, id, &[1, 2, 3], r#"{"ticks": 120}"#)).await;
    let mut winner = Player::join(&running, token(&running, id, player_id(1)), GOES).await;
    let mut loser = Player::join(&running, token(&running, id, player_id(2)), STANDS).await;
    let welcome = winner.connected().await;
    assert_eq!((welcome.match_id, welcome.players.len(), welcome.tick_rate_hz), (id, 3, 60));
    loser.connected().await;
    let ending = winner.ended().await;
    assert_eq!((ending.reason.as_str(), ending.standings.len()), ("finished", 3));
    loser.ended().await;
    assert_eq!((winner.closed().await, loser.closed().await), (CloseReason::MatchEnded, CloseReason::MatchEnded));
    assert!(winner.snapshots().await > 30, "most of 120 snapshots arrive on loopback");

    let ended = link.until_phase(MatchPhase::Ended).await.stats.expect("statistics");
    assert_eq!((ended.ticks, ended.joins, ended.udp_clients), (120, 2, 2));
    assert_eq!((ended.disconnects, ended.join_failures, ended.reconnects), (0, 0, 0));
    assert!(ended.client_ms > 1_000 && ended.snapshot_bytes > 0 && !ended.tick_us.is_empty());
    let signed = metagame.result(id).await;
    let keys = testkit::tokens::allocator_keys();
    let (certificate, result) = signed.verify(&keys, service::clock::unix_s()).expect("a good result");
    assert_eq!((certificate.mid, result.ticks, result.reason.as_str()), (id, 120, "finished"));
    let rows: Vec<_> = result.players.iter().map(|p| (p.player_id, p.place, p.participation)).collect();
    assert_eq!(rows[0], (player_id(1), 1, Participation::Played));
    assert_eq!(rows[1].2, Participation::Played);
    assert_eq!(rows[2].2, Participation::Absent);
    assert!(result.players[0].score > 30 && result.players[1].score == 0, "{:?}", result.players);
    link.until_phase(MatchPhase::Closed).await;
    stage.end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_tokens_are_refused_by_number_while_junk_does_nothing() {
    let mut stage = Stage::new("http://127.0.0.1:9").await;
    let running = stage.start().await;
    let (mut link, server) = stage.allocator.registered().await;
    let id = match_id(1);
    link.assign(assign(&server, id, &[1, 2], r#"{"ticks": 100000}"#)).await;
    let one = player_id(1);
    let used = token(&running, id, one);
    let mut player = Player::join(&running, used.clone(), GOES).await;
    player.connected().await;
    let junk = tokio::spawn(throw_junk(running.udp));

    let mut elsewhere = claims(&running, id, one);
    elsewhere.aud = ServerId::from_entropy([9; 16]);
    let mut expired = claims(&running, id, one);
    (expired.iat, expired.exp) = (expired.iat - 100, expired.exp - 100);
    let table = [
        (testkit::tokens::join_token(&elsewhere), Refusal::TokenAudience),
        (testkit::tokens::join_token(&expired), Refusal::TokenExpired),
        (used, Refusal::TokenUsed),
        (forged_token(&running, id, one), Refusal::TokenSignature),
        (token(&running, match_id(2), one), Refusal::NoMatch),
        (token(&running, id, player_id(3)), Refusal::NotOnRoster),
        ("nonsense".into(), Refusal::TokenMalformed),
    ];
    for (token, expected) in table {
        assert_eq!(Player::join(&running, token, GOES).await.refused().await, expected);
    }
    // The client that knows another server's key is refused too, and the one who plays never noticed any of it.
    let token = token(&running, id, player_id(2));
    assert_eq!(Player::join_at(running.udp, [5; 32], token, GOES).await.refused().await, Refusal::ServerKey);
    junk.await.expect("no panic");
    player.leave();
    assert_eq!(player.closed().await, CloseReason::Left);
    stage.hurry.trigger();
    stage.end(running).await;
}

/// Datagrams of every length and kind of nonsense.
async fn throw_junk(server: std::net::SocketAddr) {
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    for n in 0..2_000usize {
        let mut datagram = vec![0u8; n % 1_400];
        for chunk in datagram.chunks_mut(32) {
            let random = service::random::bytes::<32>();
            let length = chunk.len();
            chunk.copy_from_slice(&random[..length]);
        }
        if let Some(first) = datagram.first_mut() {
            *first = u8::try_from(n % 256).expect("below 256");
        }
        let _ = socket.send_to(&datagram, server).await;
        if n % 64 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_token_takes_the_seat_over_and_the_older_session_learns_it() {
    let metagame = FakeMetagame::start(&[200]).await;
    let mut stage = Stage::new(&metagame.url).await;
    let running = stage.start().await;
    let (mut link, server) = stage.allocator.registered().await;
    let id = match_id(1);
    link.assign(assign(&server, id, &[1, 2], r#"{"ticks": 100000}"#)).await;
    let mut older = Player::join(&running, token(&running, id, player_id(1)), GOES).await;
    older.connected().await;
    let mut newer = Player::join(&running, token(&running, id, player_id(1)), GOES).await;
    assert_eq!(newer.connected().await.seat, game::SeatId(0));
    assert_eq!(older.closed().await, CloseReason::SeatTaken);
    // A crashed client leaves its session standing; its next start takes the seat all the same.
    newer.vanish();
    let mut newest = Player::join(&running, token(&running, id, player_id(1)), GOES).await;
    newest.connected().await;
    newest.leave();
    assert_eq!(newest.closed().await, CloseReason::Left);
    stage.shutdown.trigger();
    stage.hurry.trigger();
    let stats = link.until_phase(MatchPhase::Ended).await.stats.expect("statistics");
    assert_eq!((stats.joins, stats.reconnects, stats.udp_clients, stats.disconnects), (1, 2, 1, 0));
    let keys = testkit::tokens::allocator_keys();
    let (_, result) = metagame.result(id).await.verify(&keys, service::clock::unix_s()).expect("a good result");
    assert_eq!(result.players[0].participation, Participation::Abandoned);
    stage.end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_player_is_lost_and_returns_with_a_fresh_token() {
    let mut stage = Stage::new("http://127.0.0.1:9").await;
    let running = stage.start().await;
    let (mut link, server) = stage.allocator.registered().await;
    let id = match_id(1);
    link.assign(assign(&server, id, &[1], r#"{"ticks": 100000}"#)).await;
    let mut player = Player::join(&running, token(&running, id, player_id(1)), GOES).await;
    player.connected().await;
    player.vanish();
    let lost = |message| match message {
        ToAllocator::PlayerUpdate(update) if update.phase() == PlayerPhase::Lost => Some(update.player_id),
        _ => None,
    };
    assert_eq!(link.until_some("the news that the player is lost", lost).await, player_id(1).to_string());
    let mut again = Player::join(&running, token(&running, id, player_id(1)), GOES).await;
    again.connected().await;
    stage.hurry.trigger();
    let stats = link.until_phase(MatchPhase::Ended).await.stats.expect("statistics");
    assert_eq!((stats.joins, stats.disconnects, stats.reconnects), (1, 1, 1));
    support::ended(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_game_says_while_a_player_is_lost_arrives_once_when_it_resumes() {
    let mut stage = Stage::new("http://127.0.0.1:9").await;
    let running = stage.start().await;
    let (mut link, server) = stage.allocator.registered().await;
    let id = match_id(1);
    link.assign(assign(&server, id, &[1], r#"{"ticks": 100000, "tell_every": 10}"#)).await;
    let mut player = Player::join(&running, token(&running, id, player_id(1)), GOES).await;
    player.connected().await;
    let mut told = vec![player.told().await];
    let kept = player.go_away().await;
    // What the client had taken before it went.
    while let Ok(event) = player.events.try_recv() {
        if let client::Event::Game(bytes) = event {
            told.extend(bytes.try_into().map(u32::from_le_bytes));
        }
    }
    let lost = |message| match message {
        ToAllocator::PlayerUpdate(update) if update.phase() == PlayerPhase::Lost => Some(update.player_id),
        _ => None,
    };
    link.until_some("the news that the player is lost", lost).await;
    let credential = client::Credential::Resume(Box::new(kept.clone()));
    let mut again = Player::join(&running, credential.clone(), GOES).await;
    again.connected().await;
    for _ in 0..40 {
        told.push(again.told().await);
    }
    let expected: Vec<u32> = (0..).map(|n| told[0] + 10 * n).take(told.len()).collect();
    assert_eq!(told, expected, "every message once, in order");
    assert_eq!(Player::join(&running, credential, GOES).await.refused().await, Refusal::ResumeTicket);
    stage.hurry.trigger();
    let stats = link.until_phase(MatchPhase::Ended).await.stats.expect("statistics");
    assert_eq!((stats.joins, stats.disconnects, stats.reconnects), (1, 1, 1));
    support::ended(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panicking_game_loses_only_its_own_match() {
    let metagame = FakeMetagame::start(&[200]).await;
    let mut stage = Stage::new(&metagame.url).await;
    stage.config.capacity = 2;
    let running = stage.start().await;
    let (mut link, server) = stage.allocator.registered().await;
    let (doomed, healthy) = (match_id(1), match_id(2));
    link.assign(assign(&server, doomed, &[1], r#"{"panic_at": 30, "ticks": 90}"#)).await;
    link.assign(assign(&server, healthy, &[2], r#"{"ticks": 90}"#)).await;
    let mut survivor = Player::join(&running, token(&running, healthy, player_id(2)), GOES).await;
    survivor.connected().await;
    let mut victim = Player::join(&running, token(&running, doomed, player_id(1)), GOES).await;
    victim.connected().await;
    assert_eq!(victim.closed().await, CloseReason::RoomFailed);
    let failed = link.until_phase(MatchPhase::Failed).await;
    assert_eq!(failed.match_id, doomed.to_string());
    assert!(failed.reason.contains("told to panic"), "{}", failed.reason);
    assert_eq!(survivor.ended().await.reason, "finished");
    metagame.result(healthy).await;
    stage.end(running).await;
    assert!(metagame.received().iter().all(|(id, _)| *id == healthy), "a failed match has no result");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_lets_a_running_match_finish() {
    let metagame = FakeMetagame::start(&[200]).await;
    let mut stage = Stage::new(&metagame.url).await;
    let running = stage.start().await;
    let (mut link, server) = stage.allocator.registered().await;
    let id = match_id(1);
    link.assign(assign(&server, id, &[1], r#"{"ticks": 60}"#)).await;
    let mut player = Player::join(&running, token(&running, id, player_id(1)), GOES).await;
    player.connected().await;
    stage.shutdown.trigger();
    assert_eq!(player.ended().await.reason, "finished");
    link.until_phase(MatchPhase::Closed).await;
    support::ended(running).await;
    assert_eq!(metagame.received().len(), 1);
}
