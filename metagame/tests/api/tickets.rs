//! Tickets, event streams, join tokens.

use metagame::Limits;
use protocol::id::MatchId;
use protocol::pb::{MatchEventKind, TicketState};
use reqwest::Method;
use reqwest::header::RETRY_AFTER;
use serde_json::{Value, json};
use service::Shutdown;
use testkit::wait::until;

use super::fakes::FakeMatchmaker;
use super::harness::{Harness, Player};

/// One server-sent event.
#[derive(Debug)]
struct SseEvent {
    id: String,
    ticket: Value,
}

/// Reads events from a stream.
struct Sse {
    response: reqwest::Response,
    text: String,
}

impl Sse {
    async fn open(harness: &Harness, player: &Player, ticket: &str, last: Option<&str>) -> Self {
        let request = harness.request(Method::GET, &format!("/v1/tickets/{ticket}/events"), Some(&player.access));
        let request = if let Some(id) = last { request.header("last-event-id", id) } else { request };
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, text: String::new() }
    }

    /// The next event; `None` at the end of the stream.
    async fn next(&mut self) -> Option<SseEvent> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
                let event = field("data:").map(|data| {
                    assert_eq!(field("event:"), Some("ticket"));
                    let id = field("id:").expect("an id").to_owned();
                    SseEvent { id, ticket: serde_json::from_str(data).expect("JSON") }
                });
                self.text = rest.to_owned();
                if event.is_some() {
                    return event;
                }
                continue;
            }
            let chunk = tokio::time::timeout(testkit::wait::PATIENCE, self.response.chunk()).await;
            let chunk = chunk.expect("the stream goes on").expect("no error")?;
            self.text.push_str(std::str::from_utf8(&chunk).expect("UTF-8"));
        }
    }

    async fn state(&mut self) -> String {
        self.next().await.expect("an event").ticket["state"].as_str().expect("a state").to_owned()
    }
}

fn match_id(n: u8) -> MatchId {
    MatchId::from_entropy([n; 16])
}

#[tokio::test]
async fn identity_name_and_rating_come_from_metagame() {
    let harness = Harness::start().await;
    let player = harness.login(1).await;
    let ticket_id = uuid::Uuid::from_bytes([5; 16]).to_string();
    let body = json!({ "ticket_id": ticket_id, "queue": "duel", "name": "Forged", "rating": 9_000,
        "players": [{ "player_id": uuid::Uuid::nil() }], "region_rtts": [{ "region": "eu", "rtt_ms": 20 }] });
    let made = harness.post("/v1/tickets", Some(&player.access), &body).await;
    assert_eq!((made.status.as_u16(), made.text("state")), (201, "queued"));
    assert_eq!(made.text("trace_id").len(), 32);
    let seen = harness.matchmaker.ticket(&ticket_id);
    assert_eq!((seen.players.len(), seen.players[0].player_id.as_str()), (1, player.id.to_string().as_str()));
    assert_eq!((seen.players[0].name.as_str(), seen.players[0].rating), ("Player 1", 25.0));
    let again = harness.post("/v1/tickets", Some(&player.access), &body).await;
    assert_eq!((again.status.as_u16(), again.text("trace_id")), (200, made.text("trace_id")));
}

#[tokio::test]
async fn one_ticket_per_player_and_cancelling_it_makes_room() {
    let harness = Harness::start().await;
    let player = harness.login(1).await;
    let first = harness.queue(&player).await;
    let second = json!({ "ticket_id": uuid::Uuid::from_bytes([6; 16]), "queue": "duel" });
    let refused = harness.post("/v1/tickets", Some(&player.access), &second).await;
    assert_eq!((refused.status.as_u16(), refused.problem()), (409, "has-ticket"));
    assert_eq!(refused.text("ticket_id"), first);
    let cancel = harness.request(Method::DELETE, &format!("/v1/tickets/{first}"), Some(&player.access));
    assert_eq!(harness.send(cancel).await.text("state"), "cancelled");
    assert_eq!(harness.post("/v1/tickets", Some(&player.access), &second).await.status, 201);
    let unknown = json!({ "ticket_id": uuid::Uuid::from_bytes([8; 16]), "queue": "unknown" });
    let other = harness.login(2).await;
    let refused = harness.post("/v1/tickets", Some(&other.access), &unknown).await;
    assert_eq!((refused.status.as_u16(), refused.problem()), (422, "invalid-ticket"));
}

#[tokio::test]
async fn the_event_stream_tells_all_states_and_ends_with_the_match() {
    let harness = Harness::start().await;
    let player = harness.login(1).await;
    let ticket = harness.queue(&player).await;
    let mut events = Sse::open(&harness, &player, &ticket, None).await;
    assert_eq!(events.state().await, "queued");
    harness.matchmaker.change(&ticket, |ticket| ticket.state = TicketState::Placing.into());
    assert_eq!(events.state().await, "placing");
    harness.matchmaker.complete(&ticket, match_id(1), &[player.id]);
    let event = events.next().await.expect("an event");
    assert_eq!(event.id, event.ticket["cursor"].to_string());
    let place = &event.ticket["match"];
    assert_eq!((&place["schema_hash"], &place["routing_token"]), (&json!("00000000000000ab"), &json!("AgM")));
    assert_eq!((&place["match_id"], &place["tick_rate_hz"]), (&json!(match_id(1).to_string()), &json!(60)));
    assert_eq!(place["roster"][0]["player_id"], player.id.to_string());
    assert!(events.next().await.is_none(), "nothing comes after a final state");
    // Whoever heard of the match can enter it at once.
    let path = format!("/v1/matches/{}/join-token", match_id(1));
    let token = harness.post(&path, Some(&player.access), &json!({})).await;
    assert_eq!(token.text("join_token"), format!("token of {}", player.id));
    assert_eq!(token.body["match"]["roster"], place["roster"]);
    let stranger = harness.login(2).await;
    let refused = harness.post(&path, Some(&stranger.access), &json!({})).await;
    assert_eq!((refused.status.as_u16(), refused.problem()), (403, "not-on-roster"));
}

#[tokio::test]
async fn a_broken_stream_resumes_by_its_last_event_id() {
    let harness = Harness::start().await;
    let player = harness.login(1).await;
    let ticket = harness.queue(&player).await;
    let mut events = Sse::open(&harness, &player, &ticket, None).await;
    let seen = events.next().await.expect("an event").id;
    drop(events);
    // Nothing happened: the first event of the resumed stream is the next change.
    let mut events = Sse::open(&harness, &player, &ticket, Some(&seen)).await;
    harness.matchmaker.change(&ticket, |ticket| ticket.state = TicketState::Placing.into());
    assert_eq!(events.state().await, "placing");
    drop(events);
    // Something happened meanwhile: it comes at once.
    harness.matchmaker.complete(&ticket, match_id(2), &[player.id]);
    let mut events = Sse::open(&harness, &player, &ticket, Some(&seen)).await;
    let last = events.next().await.expect("an event");
    assert_eq!(last.ticket["state"], "completed");
    assert!(events.next().await.is_none());
    // All is known: the stream ends at once.
    let mut events = Sse::open(&harness, &player, &ticket, Some(&last.id)).await;
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn a_ticket_asked_for_again_after_its_match_was_made_is_still_that_ticket() {
    let harness = Harness::start().await;
    let player = harness.login(1).await;
    let ticket = harness.queue(&player).await;
    harness.matchmaker.complete(&ticket, match_id(3), &[player.id]);
    let body = json!({ "ticket_id": ticket, "queue": "duel" });
    let again = harness.post("/v1/tickets", Some(&player.access), &body).await;
    assert_eq!((again.status.as_u16(), again.text("state")), (200, "completed"));
    let other = json!({ "ticket_id": uuid::Uuid::from_bytes([6; 16]), "queue": "duel" });
    assert_eq!(harness.post("/v1/tickets", Some(&player.access), &other).await.problem(), "in-match");
    harness.allocator.report(match_id(3), MatchEventKind::Closed);
    let free = async || (harness.post("/v1/tickets", Some(&player.access), &other).await.status == 201).then_some(());
    until("the closed match frees its player", free).await;
}

#[tokio::test]
async fn without_peers_clients_are_told_when_to_come_back() {
    let harness = Harness::start_with(Limits::default(), false).await;
    let player = harness.login(1).await;
    let body = json!({ "ticket_id": uuid::Uuid::from_bytes([6; 16]), "queue": "duel" });
    let id = uuid::Uuid::from_bytes([6; 16]);
    let requests = [
        harness.request(Method::POST, "/v1/tickets", Some(&player.access)).json(&body),
        harness.request(Method::GET, &format!("/v1/tickets/{id}"), Some(&player.access)),
        harness.request(Method::GET, &format!("/v1/tickets/{id}/events"), Some(&player.access)),
        harness.request(Method::GET, "/v1/queues", Some(&player.access)),
    ];
    for request in requests {
        let answer = harness.send(request).await;
        assert_eq!((answer.status.as_u16(), answer.problem()), (503, "matchmaker-unavailable"));
        assert!(answer.headers.contains_key(RETRY_AFTER));
    }
    assert_eq!(harness.get("/v1/players/me", &player).await.status, 200, "the rest works");
    let ready = reqwest::get(harness.admin_url("/readyz")).await.expect("an answer");
    assert_eq!(ready.status(), 200, "metagame itself is ready");
}

#[tokio::test]
async fn when_the_allocator_is_away_join_tokens_are_not_given_up() {
    let harness = Harness::start().await;
    let player = harness.login(1).await;
    let ticket = harness.queue(&player).await;
    harness.matchmaker.complete(&ticket, match_id(4), &[player.id]);
    assert_eq!(harness.get(&format!("/v1/tickets/{ticket}"), &player).await.text("state"), "completed");
    harness.peers.trigger();
    let path = format!("/v1/matches/{}/join-token", match_id(4));
    let answer = until("the allocator is gone", async || {
        Some(harness.post(&path, Some(&player.access), &json!({})).await).filter(|answer| answer.status != 200)
    });
    let answer = answer.await;
    assert_eq!((answer.status.as_u16(), answer.problem()), (503, "allocator-unavailable"));
    assert!(answer.headers.contains_key(RETRY_AFTER));
}

#[tokio::test]
async fn a_matchmaker_that_forgot_everything_fails_the_tickets_that_clients_wait_for() {
    let harness = Harness::start().await;
    let player = harness.login(1).await;
    let ticket = harness.queue(&player).await;
    let mut events = Sse::open(&harness, &player, &ticket, None).await;
    assert_eq!(events.state().await, "queued");
    // The stream has been read for sure once an event came through it.
    harness.matchmaker.change(&ticket, |ticket| ticket.state = TicketState::Placing.into());
    assert_eq!(events.state().await, "placing");
    harness.peers.trigger();
    let fresh = FakeMatchmaker::new("second");
    let address = harness.config.matchmaker_url.trim_start_matches("http://").parse().expect("an address");
    let key = harness.service_key();
    let free = async || tokio::net::TcpListener::bind(address).await.ok().map(drop);
    until("the old one is gone", free).await;
    let end = Shutdown::new();
    fresh.serve(address, &key, end.clone()).await;
    let last = events.next().await.expect("an event").ticket;
    assert_eq!((&last["state"], &last["reason"]), (&json!("failed"), &json!("matchmaker_restarted")));
    assert!(events.next().await.is_none());
    end.trigger();
}

#[tokio::test]
async fn shutdown_ends_event_streams() {
    let mut harness = Harness::start().await;
    let player = harness.login(1).await;
    let ticket = harness.queue(&player).await;
    let mut events = Sse::open(&harness, &player, &ticket, None).await;
    assert_eq!(events.state().await, "queued");
    harness.stop().await;
    assert!(events.next().await.is_none());
}
