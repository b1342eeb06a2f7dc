//! The agent against a scripted allocator over real gRPC, a scripted metagame, and a game that is this test, over HTTP.

mod support;

use std::time::Duration;

use gameserver::agent::config::GameCommand;
use gameserver::agent::{AgentConfig, Running, start};
use protocol::certificate::Participation;
use protocol::id::{MatchId, PlayerId};
use protocol::pb;
use protocol::pb::allocator_message::Message as FromAllocator;
use protocol::pb::server_message::Message as ToAllocator;
use protocol::pb::{MatchPhase, RefusalReason};
use serde_json::{Value, json};
use support::allocator::{is_joinable, refusal};
use support::metagame::FakeMetagame;
use support::{Stage, assign, match_id, player_id};

/// An agent, and the game's end of its HTTP.
struct Game {
    running: Running,
    http: reqwest::Client,
}

impl Game {
    async fn start(stage: &Stage, adjust: impl FnOnce(&mut AgentConfig)) -> Self {
        let mut config = AgentConfig {
            server: stage.config.clone(),
            listen: "127.0.0.1:0".parse().expect("address"),
            heard_within: Some(Duration::from_secs(600)),
            start_within: Duration::from_secs(600),
            joinable_within: Duration::from_secs(5),
            game: None,
        };
        config.server.bind = "127.0.0.1:7777".parse().expect("address");
        adjust(&mut config);
        let running = start(config, stage.shutdown.clone(), stage.hurry.clone()).await.expect("started");
        Self { running, http: reqwest::Client::builder().no_proxy().build().expect("a client") }
    }

    async fn get(&self, path: &str) -> Value {
        let url = format!("http://{}{path}", self.running.http);
        self.http.get(url).send().await.expect("an answer").json().await.expect("JSON")
    }

    /// Status and body of the answer.
    async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let url = format!("http://{}{path}", self.running.http);
        let answer = self.http.post(url).json(body).send().await.expect("an answer");
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or(Value::Null))
    }

    /// The roster, once it is as wanted; waits for changes, does not poll.
    async fn roster(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut roster = self.get("/roster").await;
        let search = async {
            while !wanted(&roster) {
                roster = self.get(&format!("/roster?after={}&wait_s=20", roster["cursor"])).await;
            }
            roster
        };
        tokio::time::timeout(testkit::wait::PATIENCE, search).await.expect("the roster becomes so")
    }

    async fn phase(&self, phase: &str) -> Value {
        self.roster(|roster| roster["matches"][0]["phase"] == phase).await
    }

    async fn heard(&self, instance: &str) {
        assert_eq!(self.post("/health", &json!({ "instance": instance })).await.0, 204);
    }

    fn token(&self, id: MatchId, player: PlayerId) -> String {
        let jti = hex::encode(service::random::bytes::<16>());
        let now = service::clock::unix_s();
        let claims = testkit::tokens::join_claims(self.running.server_id, id, player, now, &jti);
        testkit::tokens::join_token(&claims)
    }

    async fn verify(&self, token: &str) -> (u16, Value) {
        self.post("/verify", &json!({ "token": token })).await
    }

    async fn ended(self) {
        let ended = tokio::time::timeout(testkit::wait::PATIENCE, self.running.wait()).await;
        ended.expect("the agent ends").expect("without a fault");
    }
}

fn result(id: MatchId, score: i64) -> Value {
    json!({ "match_id": id.to_string(), "players": [
        { "player_id": player_id(1).to_string(), "place": 1, "score": score, "stats": { "clicks": 9 } },
        { "player_id": player_id(2).to_string(), "place": 2 },
    ] })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_match_is_assigned_prepared_joined_played_and_booked_once() {
    let metagame = FakeMetagame::start(&[503, 200]).await;
    let mut stage = Stage::new(&metagame.url).await;
    let game = Game::start(&stage, |_| {}).await;
    game.heard("one").await;
    let (mut link, server) = stage.allocator.registered().await;
    assert_eq!(server.transport(), pb::Transport::Foreign);
    assert!(server.server_key.is_empty() && server.quic_fingerprints.is_empty() && server.result_key.len() == 32);
    assert_eq!((server.address.as_str(), server.joinable_within_ms), ("127.0.0.1:7777", 5_000));

    let (id, body) = (match_id(1), json!({ "match_id": match_id(1).to_string() }));
    link.send(FromAllocator::Assign(assign(&server, id, &[1, 2], r#"{"seconds": 3}"#))).await;
    let roster = game.phase("assigned").await;
    let described = &roster["matches"][0];
    assert_eq!(
        (described["match_id"].as_str(), &described["settings"]["seconds"]),
        (body["match_id"].as_str(), &json!(3))
    );
    assert_eq!(described["players"][1]["name"], "player 1");
    assert_eq!(game.verify(&game.token(id, player_id(1))).await.0, 403, "not joinable yet");
    for _ in 0..2 {
        assert_eq!(game.post("/joinable", &body).await.0, 204);
    }
    assert!(is_joinable(&link.reply().await));

    let token = game.token(id, player_id(1));
    let (status, admitted) = game.verify(&token).await;
    assert_eq!((status, &admitted["player_id"], &admitted["team"]), (200, &json!(player_id(1).to_string()), &json!(0)));
    link.until_phase(MatchPhase::Playing).await;
    let (status, refused) = game.verify(&token).await;
    assert_eq!((status, &refused["refusal"]), (403, &json!(7)), "a token works once");
    assert_eq!(game.verify("nonsense").await.1["refusal"], 3);
    assert_eq!(game.verify(&game.token(id, player_id(9))).await.1["refusal"], 9);

    let joined = json!({ "match_id": body["match_id"], "player_id": player_id(1).to_string(), "event": "joined" });
    assert_eq!(game.post("/players", &joined).await.0, 204);
    let said = |message| if let ToAllocator::PlayerUpdate(update) = message { Some(update) } else { None };
    assert_eq!(link.until_some("news of the player", said).await.player_id, player_id(1).to_string());

    let (status, delivery) = game.post("/result", &result(id, 12)).await;
    assert!(status == 200 && delivery["state"] != "rejected", "{status} {delivery}");
    let stats = link.until_phase(MatchPhase::Ended).await.stats.expect("statistics");
    assert_eq!((stats.joins, stats.join_failures), (1, 2));
    link.until_phase(MatchPhase::Closed).await;
    assert_eq!(game.post("/result", &result(id, 12)).await, (200, json!({ "state": "acknowledged" })));
    assert_eq!(game.post("/result", &result(id, 13)).await.0, 409, "the first result counts");

    let keys = testkit::tokens::allocator_keys();
    let received = metagame.received();
    assert_eq!(received.len(), 2, "posted until it was acknowledged, and not again");
    let (_, booked) = received[1].1.verify(&keys, service::clock::unix_s()).expect("a good result");
    assert_eq!(
        (booked.reason.as_str(), booked.players[0].score, booked.players[0].stats["clicks"]),
        ("finished", 12, 9)
    );
    let seen: Vec<_> = booked.players.iter().map(|player| player.participation).collect();
    assert_eq!(seen, [Participation::Played, Participation::Absent]);
    assert!(!stage.spool_file(id).exists());
    stage.shutdown.trigger();
    game.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_match_comes_before_the_game_is_heard() {
    let mut stage = Stage::new("http://127.0.0.1:9").await;
    let game = Game::start(&stage, |config| config.server.join_deadline = Duration::from_secs(1)).await;
    assert_eq!(game.get("/drain").await["draining"], false);
    let ready = reqwest::get(format!("http://{}/readyz", game.running.admin)).await.expect("an answer");
    assert_eq!(ready.status(), 503);
    game.heard("one").await;
    stage.allocator.registered().await;
    stage.shutdown.trigger();
    game.ended().await;

    let stage = Stage::new("http://127.0.0.1:9").await;
    let game = Game::start(&stage, |config| config.start_within = Duration::ZERO).await;
    let error = game.running.wait().await.expect_err("never heard").to_string();
    assert!(error.contains("/health"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_game_that_the_agent_starts_knows_its_port_and_ends_with_the_agent() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let command = |script: &str| {
        let words = ["/bin/sh", "-c", script, "game", "{port}", "{agent}"].map(str::to_owned).to_vec();
        Some(GameCommand { words, folder: Some(folder.path().into()) })
    };
    let mut stage = Stage::new("http://127.0.0.1:9").await;
    let game = Game::start(&stage, |config| {
        config.server.bind = "127.0.0.1:0".parse().expect("address");
        config.game = command("echo $$ $1 $2 $MUSTER_BIND $MUSTER_AGENT > new; mv new told; exec sleep 1000");
    });
    let game = game.await;
    let told = folder.path().join("told");
    let told = testkit::wait::until("the game", || async { std::fs::read_to_string(&told).ok() }).await;
    let told: Vec<_> = told.split_whitespace().collect();
    let (bind, http) = (game.running.address.clone(), format!("http://{}", game.running.http));
    assert_eq!(told[1..], [bind.rsplit(':').next().expect("a port"), http.as_str(), bind.as_str(), http.as_str()]);
    game.heard("one").await;
    stage.allocator.registered().await;
    stage.shutdown.trigger();
    game.ended().await;
    assert!(!std::path::Path::new(&format!("/proc/{}", told[0])).exists(), "the game outlived its agent");

    let stage = Stage::new("http://127.0.0.1:9").await;
    let game = Game::start(&stage, |config| config.game = command("exit 7")).await;
    let error = game.running.wait().await.expect_err("it ended").to_string();
    assert!(error.contains("exit status: 7"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_game_that_is_started_anew_or_falls_silent_has_lost_its_matches() {
    let mut stage = Stage::new("http://127.0.0.1:9").await;
    let game = Game::start(&stage, |config| config.heard_within = Some(Duration::from_secs(2))).await;
    game.heard("one").await;
    let (mut link, server) = stage.allocator.registered().await;
    for (n, instance) in [(1, Some("two")), (2, None)] {
        let (id, body) = (match_id(n), json!({ "match_id": match_id(n).to_string() }));
        link.send(FromAllocator::Assign(assign(&server, id, &[1, 2], "{}"))).await;
        game.phase("assigned").await;
        game.post("/joinable", &body).await;
        assert!(is_joinable(&link.reply().await));
        if let Some(instance) = instance {
            game.heard(instance).await;
        }
        let failed = link.until_phase(MatchPhase::Failed).await;
        assert_eq!(failed.match_id, id.to_string());
        let (status, problem) = game.post("/result", &result(id, 1)).await;
        assert_eq!((status, problem["type"].as_str()), (409, Some("urn:muster:problem:match-over")), "lost is lost");
    }
    let left = |message| if let ToAllocator::Leaving(leaving) = message { Some(leaving.reason) } else { None };
    let reason = link.until_some("its leave", left).await;
    assert!(reason.contains("not heard"), "{reason}");
    game.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_match_that_is_released_or_refused_is_gone_from_the_roster() {
    let metagame = FakeMetagame::start(&[200]).await;
    let mut stage = Stage::new(&metagame.url).await;
    let game = Game::start(&stage, |_| {}).await;
    game.heard("one").await;
    let (mut link, server) = stage.allocator.registered().await;
    let id = match_id(1);
    link.send(FromAllocator::Assign(assign(&server, id, &[1, 2], "{}"))).await;
    game.phase("assigned").await;
    let released = pb::Release { match_id: id.to_string(), epoch: 1, reason: "too slow".into() };
    link.send(FromAllocator::Release(released)).await;
    assert_eq!(refusal(&link.reply().await), Some(RefusalReason::Ended));
    link.until_phase(MatchPhase::Closed).await;
    game.roster(|roster| roster["matches"] == json!([])).await;
    assert_eq!(game.post("/joinable", &json!({ "match_id": id.to_string() })).await.0, 409);

    let id = match_id(2);
    link.send(FromAllocator::Assign(assign(&server, id, &[1, 2], "{}"))).await;
    game.phase("assigned").await;
    let refused = json!({ "match_id": id.to_string(), "reason": "no such map" });
    assert_eq!(game.post("/refuse", &refused).await.0, 204);
    assert_eq!(refusal(&link.reply().await), Some(RefusalReason::Game));
    assert!(metagame.received().is_empty());
    stage.shutdown.trigger();
    game.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_drain_deadline_the_game_has_the_last_word_and_then_the_server_ends() {
    let metagame = FakeMetagame::start(&[200]).await;
    let mut stage = Stage::new(&metagame.url).await;
    let game = Game::start(&stage, |_| {}).await;
    game.heard("one").await;
    let (mut link, server) = stage.allocator.registered().await;
    let id = match_id(1);
    link.send(FromAllocator::Assign(assign(&server, id, &[1, 2], "{}"))).await;
    game.phase("assigned").await;
    game.post("/joinable", &json!({ "match_id": id.to_string() })).await;
    assert_eq!(game.post("/players", &json!({ "match_id": id.to_string(), "count": 2 })).await.0, 204);
    link.send(FromAllocator::Drain(pb::Drain { epoch: 1, deadline_ms: 60_000, reason: "node".into() })).await;
    let roster = game.roster(|roster| roster["drain"]["draining"] == true).await;
    assert!(roster["drain"]["deadline_ms"].as_u64().is_some_and(|ms| ms > 0), "{roster}");
    link.send(FromAllocator::Drain(pb::Drain { epoch: 1, deadline_ms: 1, reason: "node".into() })).await;
    let roster = game.phase("ending").await;
    assert_eq!(roster["matches"][0]["reason"], "drained");
    let mut drained = result(id, 3);
    drained["reason"] = json!("drained");
    assert_eq!(game.post("/result", &drained).await.0, 200);
    link.until_phase(MatchPhase::Closed).await;
    game.ended().await;
    let (_, signed) = metagame.received().remove(0);
    let (_, booked) =
        signed.verify(&testkit::tokens::allocator_keys(), service::clock::unix_s()).expect("a good result");
    assert_eq!((booked.reason.as_str(), booked.players[0].score), ("drained", 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_request_is_answered_with_a_problem() {
    let stage = Stage::new("http://127.0.0.1:9").await;
    let game = Game::start(&stage, |_| {}).await;
    let id = match_id(1).to_string();
    for (path, body, status, kind) in [
        ("/joinable", json!({ "match_id": "bob" }), 422, "wrong-shape"),
        ("/joinable", json!({ "match_id": id, "more": 1 }), 422, "wrong-shape"),
        ("/joinable", json!({ "match_id": id }), 404, "unknown-match"),
        ("/refuse", json!({ "match_id": id, "reason": "" }), 422, "invalid-value"),
        ("/verify", json!({ "token": 7 }), 422, "wrong-shape"),
        ("/verify", json!({ "token": "x".repeat(300_000) }), 413, "body-too-large"),
        ("/players", json!({ "match_id": id }), 422, "invalid-value"),
        ("/players", json!({ "match_id": id, "count": -1 }), 422, "wrong-shape"),
        ("/health", json!({ "instance": "x".repeat(65) }), 422, "invalid-value"),
        ("/result", result(match_id(1), 1), 404, "unknown-match"),
        ("/nothing", json!({}), 404, "unknown-route"),
        ("/roster", json!({}), 405, "method-not-allowed"),
    ] {
        let (got, problem) = game.post(path, &body).await;
        assert_eq!(
            (got, problem["type"].as_str()),
            (status, Some(format!("urn:muster:problem:{kind}").as_str())),
            "{path}"
        );
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{path}: {problem}");
    }
    let url = format!("http://{}/health", game.running.http);
    let plain = game.http.post(&url).body("{}").send().await.expect("an answer");
    assert_eq!(plain.status(), 415, "a page in a browser cannot declare JSON without asking");
    let elsewhere = game.http.get(format!("http://{}/roster", game.running.http)).header("host", "evil.example");
    assert_eq!(elsewhere.send().await.expect("an answer").status(), 403);
    let query = game.http.get(format!("http://{}/roster?after=x", game.running.http)).send().await.expect("an answer");
    assert_eq!(query.status(), 400);
    stage.shutdown.trigger();
    game.ended().await;
}

/// With UPDATE_GOLDEN=1 the file is written anew.
#[test]
fn the_checked_in_document_is_what_the_code_says() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/agent-openapi.json");
    let text = format!("{}\n", gameserver::agent::openapi().to_pretty_json().expect("plain data"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &text).expect("docs/agent-openapi.json is written");
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        golden == text,
        "docs/agent-openapi.json is not what the code says: run with UPDATE_GOLDEN=1 and look at the diff"
    );
}
