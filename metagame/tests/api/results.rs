//! Results as game servers post them.

use std::collections::BTreeMap;

use protocol::certificate::{MatchResult, Participation, PlayerResult, SignedResult};
use protocol::id::{MatchId, PlayerId};
use protocol::jwt::{KeySet, SigningKey};
use protocol::pb::MatchEventKind;
use reqwest::Method;
use serde_json::{Value, json};
use service::Shutdown;
use testkit::wait::until;

use super::fakes::FakeAllocator;
use super::harness::{Answer, Harness, Player};

pub(crate) fn match_id() -> MatchId {
    MatchId::from_entropy(service::random::bytes())
}

fn server_key() -> SigningKey {
    SigningKey::from_seed(&[0x5E; 32])
}

pub(crate) fn result_of(match_id: MatchId, players: &[PlayerId]) -> MatchResult {
    let now_ms = service::clock::unix_ms();
    let part = |(n, player): (usize, &PlayerId)| PlayerResult {
        player_id: *player,
        team: n as u32,
        place: n as u32 + 1,
        score: 3,
        participation: Participation::Played,
        stats: BTreeMap::from([("kills".into(), 2)]),
    };
    MatchResult {
        match_id,
        game: "arena".into(),
        started_at_ms: now_ms - 20_000,
        ended_at_ms: now_ms,
        ticks: 1_200,
        tick_rate_hz: 60,
        state_hash: "0".repeat(16),
        reason: "finished".into(),
        trace_id: String::new(),
        players: players.iter().enumerate().map(part).collect(),
    }
}

pub(crate) fn sign(result: &MatchResult, now_s: u64) -> Value {
    let roster: Vec<_> = result.players.iter().map(|player| (player.player_id, player.team)).collect();
    let key = server_key();
    let certificate = testkit::tokens::certificate(result.match_id, &roster, "duel", &key, now_s);
    serde_json::to_value(SignedResult::sign(&key, certificate, result)).expect("plain data")
}

pub(crate) async fn post(harness: &Harness, match_id: MatchId, body: &Value) -> Answer {
    harness.post(&format!("/v1/matches/{match_id}/result"), None, body).await
}

/// A match of two players that the matchmaker made.
pub(crate) async fn placed(harness: &Harness) -> (Player, Player, MatchId) {
    let (alice, bob) = (harness.login(1).await, harness.login(2).await);
    let match_id = match_id();
    let ticket = harness.queue(&alice).await;
    harness.matchmaker.complete(&ticket, match_id, &[alice.id, bob.id]);
    let found = async || {
        let answer = harness.get(&format!("/v1/matches/{match_id}"), &alice).await;
        (answer.status == 200).then_some(())
    };
    until("the match is stored", found).await;
    (alice, bob, match_id)
}

/// What metagame says of a match; "" where it asks to be asked less often.
async fn state(harness: &Harness, match_id: MatchId, player: &Player) -> String {
    let answer = harness.get(&format!("/v1/matches/{match_id}"), player).await;
    if answer.status == 429 { String::new() } else { answer.text("state").to_owned() }
}

#[tokio::test]
async fn a_result_is_recorded_once_and_seen_everywhere() {
    let harness = Harness::start().await;
    let (alice, bob, match_id) = placed(&harness).await;
    let body = sign(&result_of(match_id, &[alice.id, bob.id]), service::clock::unix_s());
    let posts = (0..8).map(|_| post(&harness, match_id, &body));
    let answers = futures_util::future::join_all(posts).await;
    assert!(answers.iter().all(|answer| answer.status == 200 && answer.body["recorded"] == true), "{answers:?}");
    assert_eq!(answers.iter().filter(|answer| answer.body["first"] == true).count(), 1);

    let mut other = result_of(match_id, &[alice.id, bob.id]);
    other.players[0].score = 1_000;
    let conflict = post(&harness, match_id, &sign(&other, service::clock::unix_s())).await;
    assert_eq!((conflict.status.as_u16(), conflict.problem()), (409, "result-conflict"));

    let profile = harness.get("/v1/players/me", &alice).await;
    assert_eq!((&profile.body["xp"], &profile.body["wins"]), (&json!(120), &json!(1)));
    let history = harness.get("/v1/players/me/matches", &bob).await;
    assert_eq!(history.body["matches"][0]["match_id"], match_id.to_string());
    assert_eq!(
        (&history.body["matches"][0]["participation"], &history.body["next_cursor"]),
        (&json!("played"), &Value::Null)
    );
    let board = harness.get("/v1/leaderboards/duel?limit=1", &bob).await;
    assert_eq!(board.body["entries"][0]["player_id"], alice.id.to_string());
    let next = format!("/v1/leaderboards/duel?cursor={}", board.text("next_cursor"));
    assert_eq!(harness.get(&next, &bob).await.body["entries"][0]["rank"], 2);
    assert_eq!(harness.get("/v1/leaderboards/duel/me", &bob).await.body["rank"], 2);
    let record = harness.get(&format!("/v1/matches/{match_id}"), &bob).await;
    assert_eq!((record.text("state"), &record.body["result"]["ticks"]), ("ended", &json!(1_200)));
    let answer = harness.post(&format!("/v1/matches/{match_id}/join-token"), Some(&alice.access), &json!({})).await;
    assert_eq!((answer.status.as_u16(), answer.problem()), (410, "match-over"));
    harness.queue(&alice).await;
}

#[tokio::test]
async fn only_what_the_certificate_covers_is_believed() {
    let harness = Harness::start().await;
    let (alice, bob) = (harness.login(1).await, harness.login(2).await);
    let (match_id, now_s) = (match_id(), service::clock::unix_s());
    let result = result_of(match_id, &[alice.id, bob.id]);
    let good = sign(&result, now_s);
    let with = |name: &str, value: Value| {
        let mut body = good.clone();
        body[name] = value;
        body
    };
    let text = good["result"].as_str().expect("text");
    let rows = [
        (with("result", json!(text.replace("\"score\":3", "\"score\":9"))), "result-signature"),
        (with("signature", json!("AAAA")), "result-signature"),
        (with("key", json!("AAAA")), "result-key"),
        (with("certificate", json!("a.b.c")), "certificate-malformed"),
        (sign(&result, now_s - 4_000), "certificate-expired"),
    ];
    for (body, slug) in rows {
        let answer = post(&harness, match_id, &body).await;
        assert_eq!((answer.status.as_u16(), answer.problem()), (403, slug));
    }
    let elsewhere = post(&harness, MatchId::from_entropy([1; 16]), &good).await;
    assert_eq!((elsewhere.status.as_u16(), elsewhere.problem()), (403, "result-match"));
    let future = MatchResult { ended_at_ms: u64::MAX, ..result.clone() };
    assert_eq!(post(&harness, match_id, &sign(&future, now_s)).await.problem(), "impossible-result");
    let released = MatchResult { reason: "released".into(), ..result };
    let answer = post(&harness, match_id, &sign(&released, now_s)).await;
    assert_eq!((answer.status.as_u16(), &answer.body["recorded"]), (200, &json!(false)));
    let answer = post(&harness, match_id, &good).await;
    assert_eq!((answer.status.as_u16(), &answer.body["first"]), (200, &json!(true)), "the real one counts: {answer:?}");
}

#[tokio::test]
async fn a_result_document_of_the_full_size_is_taken() {
    let harness = Harness::start().await;
    let players: Vec<_> = (0..16).map(|n| PlayerId::from_entropy([n; 16])).collect();
    let mut result = result_of(match_id(), &players);
    for player in &mut result.players {
        player.stats = (0..64).map(|n| (format!("{n:0>54}"), n)).collect();
    }
    let body = sign(&result, service::clock::unix_s());
    assert!(body.to_string().len() > 64 * 1024, "larger than other bodies may be");
    let answer = post(&harness, result.match_id, &body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn a_lost_match_frees_its_players_and_its_late_result_wins() {
    let harness = Harness::start().await;
    let (alice, bob, match_id) = placed(&harness).await;
    let body = json!({ "ticket_id": uuid::Uuid::from_bytes([7; 16]), "queue": "duel" });
    let held = harness.post("/v1/tickets", Some(&alice.access), &body).await;
    assert_eq!((held.status.as_u16(), held.problem()), (409, "in-match"));
    assert_eq!(held.text("match_id"), match_id.to_string());

    harness.allocator.report(match_id, MatchEventKind::Playing);
    harness.allocator.report(match_id, MatchEventKind::Lost);
    until("lost", async || (state(&harness, match_id, &alice).await == "lost").then_some(())).await;
    assert_eq!(harness.get("/v1/players/me", &alice).await.body["xp"], 0, "a lost match grants nothing");
    assert_eq!(harness.post("/v1/tickets", Some(&alice.access), &body).await.status, 201, "and frees its players");

    let result = sign(&result_of(match_id, &[alice.id, bob.id]), service::clock::unix_s());
    assert_eq!(post(&harness, match_id, &result).await.body["first"], true);
    assert_eq!(state(&harness, match_id, &alice).await, "ended");
    assert_eq!(harness.get("/v1/players/me", &alice).await.body["xp"], 120);

    // What comes after the result is old news. The later match shows that the event was read.
    harness.allocator.report(match_id, MatchEventKind::Lost);
    let later = MatchId::from_entropy([0x77; 16]);
    let ticket = harness.queue(&bob).await;
    harness.matchmaker.complete(&ticket, later, &[bob.id]);
    harness.allocator.report(later, MatchEventKind::Lost);
    let lost = async || {
        let answer = harness.get(&format!("/v1/matches/{later}"), &bob).await;
        (answer.body["state"] == "lost").then_some(())
    };
    until("the later match is lost", lost).await;
    assert_eq!(state(&harness, match_id, &alice).await, "ended");
}

#[tokio::test]
async fn a_match_that_died_while_no_allocator_listened_is_lost_by_the_word_of_the_next_one() {
    let harness = Harness::start().await;
    let (alice, _bob, lost) = placed(&harness).await;
    harness.allocator.report(lost, MatchEventKind::Playing);
    until("it is played", async || (state(&harness, lost, &alice).await == "playing").then_some(())).await;
    harness.peers.trigger();
    let address = harness.config.allocator_url.trim_start_matches("http://").parse().expect("an address");
    let free = async || tokio::net::TcpListener::bind(address).await.ok().map(drop);
    until("the old one is gone", free).await;
    // The new one does not know at once what there is.
    let (fresh, end) = (FakeAllocator::new(), Shutdown::new());
    fresh.unsettle(2);
    fresh.serve(address, &harness.service_key(), end.clone()).await;
    until("it is lost", async || (state(&harness, lost, &alice).await == "lost").then_some(())).await;
    end.trigger();
}

#[tokio::test]
async fn a_key_that_is_not_known_yet_is_asked_for_and_survives_restarts() {
    let mut harness = Harness::start().await;
    let (alice, bob) = (harness.login(1).await, harness.login(2).await);
    harness.allocator.set_keys(KeySet::new([SigningKey::from_seed(&[1; 32]).public_key()]));
    let metagame_knows = async |harness: &Harness| {
        let result = result_of(match_id(), &[alice.id, bob.id]);
        let body = sign(&result, service::clock::unix_s());
        post(harness, result.match_id, &body).await
    };
    // Learned when the watch began, or asked for with the first result: known in either case.
    let answer = until("the key is known", async || {
        let answer = metagame_knows(&harness).await;
        (answer.status != 503).then_some(answer)
    });
    assert!(matches!(answer.await.status.as_u16(), 200 | 403));
    harness.allocator.set_keys(testkit::tokens::allocator_keys());
    let answer = until("the key is learned", async || Some(metagame_knows(&harness).await).filter(|a| a.status == 200));
    assert_eq!(answer.await.body["first"], true);
    // Now the allocator is away and metagame starts again: the key is in the database.
    harness.peers.trigger();
    harness.restart().await;
    let answer = metagame_knows(&harness).await;
    assert_eq!((answer.status.as_u16(), &answer.body["first"]), (200, &json!(true)), "{answer:?}");
}

#[tokio::test]
async fn without_the_allocator_an_unknown_key_is_no_verdict() {
    let harness = Harness::start_with(metagame::Limits::default(), false).await;
    let result = result_of(match_id(), &[PlayerId::from_entropy([1; 16]), PlayerId::from_entropy([2; 16])]);
    let answer = post(&harness, result.match_id, &sign(&result, service::clock::unix_s())).await;
    assert_eq!(answer.status, 503, "the server keeps its result and comes back: {answer:?}");
    assert!(answer.headers.contains_key("retry-after"));
}

#[tokio::test]
async fn a_restart_keeps_accounts_sessions_and_history() {
    let mut harness = Harness::start().await;
    let (alice, bob, match_id) = placed(&harness).await;
    let body = sign(&result_of(match_id, &[alice.id, bob.id]), service::clock::unix_s());
    assert_eq!(post(&harness, match_id, &body).await.status, 200);
    harness.restart().await;
    assert_eq!(harness.login(1).await.id, alice.id);
    assert_eq!(harness.get("/v1/players/me", &alice).await.body["xp"], 120, "the access token is still good");
    let refreshed = harness.post("/v1/auth/refresh", None, &json!({ "refresh_token": alice.refresh })).await;
    assert_eq!(refreshed.status, 200);
    let history = harness.get("/v1/players/me/matches", &alice).await;
    assert_eq!(history.body["matches"].as_array().map(Vec::len), Some(1));
    assert_eq!(post(&harness, match_id, &body).await.body["first"], false, "it counted before the restart");
    let stats = reqwest::get(harness.admin_url("/stats")).await.expect("stats").json::<Value>().await.expect("JSON");
    assert_eq!((&stats["accounts"], &stats["results_recorded"]), (&json!(2), &json!(1)));
    let metrics = reqwest::get(harness.admin_url("/metrics")).await.expect("metrics").text().await.expect("text");
    assert!(metrics.contains("muster_metagame_results_total{outcome=\"first\"}"), "{metrics}");
    assert!(metrics.contains("route=\"/v1/matches/{id}/result\""), "labels are routes, not paths");
    assert_eq!(harness.send(harness.request(Method::GET, "/v1/players/me", Some(&bob.access))).await.status, 200);
}
