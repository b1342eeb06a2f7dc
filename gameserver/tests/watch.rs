//! What the admin port shows of matches: counters of all, and the live view of one.

mod support;

use protocol::pb::MatchPhase;
use serde_json::{Value, json};
use support::metagame::FakeMetagame;
use support::player::{Player, Style};
use support::{Stage, assign, match_id, player_id, token};
use testkit::wait::PATIENCE;

/// An event stream, read one event after another.
struct Events {
    answer: reqwest::Response,
    text: String,
}

impl Events {
    async fn open(url: &str) -> Self {
        let answer = get(url).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self { answer, text: String::new() }
    }

    /// The next event: its name and its data; `None` at the end.
    async fn next(&mut self) -> Option<(String, Value)> {
        let end = loop {
            if let Some(end) = self.text.find("\n\n") {
                break end;
            }
            let chunk =
                tokio::time::timeout(PATIENCE, self.answer.chunk()).await.expect("in time").expect("no fault")?;
            self.text.push_str(std::str::from_utf8(&chunk).expect("UTF-8 in whole characters"));
        };
        let event: String = self.text.drain(..end + 2).collect();
        let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).expect("a field").trim();
        Some((field("event:").to_owned(), serde_json::from_str(field("data:")).expect("JSON")))
    }

    /// The data of the next event of this name for which `wanted` holds.
    async fn until(&mut self, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let (event, data) = self.next().await.unwrap_or_else(|| panic!("the stream ended before {name}"));
            if event == name && wanted(&data) {
                return data;
            }
        }
    }
}

async fn get(url: &str) -> reqwest::Response {
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    tokio::time::timeout(PATIENCE, http.get(url).send()).await.expect("in time").expect("an answer")
}

async fn matches(admin: &str) -> Value {
    let answer = get(&format!("{admin}/matches")).await;
    assert_eq!(answer.status(), 200);
    answer.json::<Value>().await.expect("JSON")["matches"].take()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_match_is_watched_from_its_first_tick_to_its_end_and_is_unknown_before_and_after() {
    let metagame = FakeMetagame::start(&[200]).await;
    let mut stage = Stage::new(&metagame.url).await;
    let running = stage.start().await;
    let admin = format!("http://{}", running.admin);
    let (mut link, server) = stage.allocator.registered().await;
    assert_eq!(server.admin_address, running.admin.to_string(), "the allocator is told where to look");
    let id = match_id(1);
    let live = format!("{admin}/matches/{id}/live");
    assert_eq!(matches(&admin).await, json!([]));
    for unknown in [live.clone(), format!("{admin}/matches/nonsense/live"), format!("{admin}/matches/..%2F/live")] {
        assert_eq!(get(&unknown).await.status(), 404, "{unknown}");
    }

    link.assign(assign(&server, id, &[1, 2], r#"{"ticks": 240}"#)).await;
    let mut player = Player::join(&running, token(&running, id, player_id(1)), Style { goes: true }).await;
    player.connected().await;
    let mut events = Events::open(&live).await;
    let (first, about) = events.next().await.expect("an event");
    assert_eq!((first.as_str(), &about["match_id"], &about["game"]), ("match", &json!(id.to_string()), &json!("race")));
    assert_eq!((&about["players"][0]["name"], &about["tick_rate_hz"]), (&json!("player 0"), &json!(60)));
    let has_moved = |frame: &Value| frame["entities"][0]["fields"]["distance"].as_u64() > Some(0);
    let frame = events.until("frame", has_moved).await;
    assert_eq!((&frame["entities"][0]["kind"], &frame["entities"][0]["owner"]), (&json!("car"), &json!(0)));
    let paths = events.until("players", |paths| paths[0]["connected"] == true).await;
    assert_eq!((paths.as_array().map(Vec::len), &paths[1]["connected"]), (Some(2), &json!(false)));

    let listed = matches(&admin).await;
    assert_eq!((&listed[0]["match_id"], &listed[0]["players"][1]["seat"]), (&json!(id.to_string()), &json!(1)));
    assert!(listed[0]["figures"]["ticks"].as_u64() > Some(0), "{listed}");

    player.ended().await;
    link.until_phase(MatchPhase::Closed).await;
    events.until("end", |_| true).await;
    assert!(events.next().await.is_none(), "nothing comes after the end");
    assert_eq!(get(&live).await.status(), 404);
    assert_eq!(matches(&admin).await, json!([]));
    stage.end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_watchers_are_told_so_and_one_that_leaves_makes_room() {
    let metagame = FakeMetagame::start(&[200]).await;
    let mut stage = Stage::new(&metagame.url).await;
    let running = stage.start().await;
    let (mut link, server) = stage.allocator.registered().await;
    let id = match_id(1);
    link.assign(assign(&server, id, &[1], r#"{"ticks": 100000}"#)).await;
    let live = format!("http://{}/matches/{id}/live", running.admin);
    let mut watchers = Vec::new();
    for _ in 0..gameserver::watch::live::WATCHERS_MAX {
        watchers.push(Events::open(&live).await);
    }
    assert_eq!(get(&live).await.status(), 503);
    watchers.pop();
    testkit::wait::until("room for one more", async || (get(&live).await.status() == 200).then_some(())).await;
    stage.hurry.trigger();
    stage.end(running).await;
}
