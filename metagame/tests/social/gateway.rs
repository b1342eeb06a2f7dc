//! The realtime gateway over real sockets.

use metagame::core::gateway::pulse::Pulse;
use protocol::id::PartyId;
use protocol::pb;
use protocol::pb::gateway_envelope::Body;
use reqwest::Method;
use serde_json::json;

use super::gateway_client::Client;
use super::harness::{Harness, Player};

/// Two friends.
pub(crate) async fn friends(harness: &Harness) -> (Player, Player) {
    let (ada, bob) = (harness.login(1).await, harness.login(2).await);
    for (player, other) in [(&ada, &bob), (&bob, &ada)] {
        let path = format!("/v1/players/me/friends/{}", other.id);
        assert_eq!(harness.send(harness.request(Method::PUT, &path, Some(&player.access))).await.status, 200);
    }
    (ada, bob)
}

pub(crate) fn chat_to(other: &Player, n: u32) -> Body {
    Body::SendChat(pb::GatewaySendChat {
        channel: pb::GatewayChannelKind::Direct.into(),
        id: other.id.to_string(),
        message_id: uuid::Uuid::from_u128(u128::from(n) + 1).to_string(),
        text: format!("message {n}"),
    })
}

pub(crate) fn chat(body: &Body) -> Option<String> {
    if let Body::Chat(chat) = body { Some(chat.text.clone()) } else { None }
}

pub(crate) fn inbox(body: &Body) -> Option<String> {
    if let Body::Inbox(message) = body { Some(message.kind.clone()) } else { None }
}

fn party(body: &Body) -> Option<pb::GatewayParty> {
    if let Body::Party(party) = body { Some(party.clone()) } else { None }
}

pub(crate) fn presence(body: &Body) -> Option<pb::GatewayStatus> {
    if let Body::Presence(presence) = body { Some(presence.status()) } else { None }
}

fn closing(body: &Body) -> Option<(String, bool)> {
    if let Body::Closing(closing) = body { Some((closing.reason.clone(), closing.resume)) } else { None }
}

#[tokio::test(flavor = "multi_thread")]
async fn connected_players_hear_of_friends_invitations_parties_and_each_other() {
    let harness = Harness::start().await;
    let (ada, bob) = friends(&harness).await;
    let mut one = Client::hello(harness.address(), &ada.access).await;
    assert_eq!(one.until(inbox).await, "friend_accepted", "what waited in the inbox comes first");
    let mut two = Client::hello(harness.address(), &bob.access).await;
    assert_eq!(one.until(presence).await, pb::GatewayStatus::Online);
    assert_eq!(two.until(presence).await, pb::GatewayStatus::Online);
    let new = json!({ "party_id": PartyId::from_entropy([1; 16]) });
    assert_eq!(harness.post("/v1/parties", Some(&ada.access), &new).await.status, 201);
    assert_eq!(one.until(party).await.members.len(), 1);
    let invite = json!({ "player_id": bob.id });
    assert_eq!(harness.post("/v1/parties/me/invites", Some(&ada.access), &invite).await.status, 204);
    assert_eq!(two.until(inbox).await, "party_invite");
    let accept = format!("/v1/parties/{}/accept", PartyId::from_entropy([1; 16]));
    assert_eq!(harness.post(&accept, Some(&bob.access), &json!({})).await.status, 200);
    assert_eq!(one.until(party).await.members.len(), 2);
    assert_eq!(two.until(party).await.members.len(), 2);
    assert!(matches!(one.ask(chat_to(&bob, 1)).await, Body::Done(_)));
    assert_eq!((one.until(chat).await, two.until(chat).await), ("message 1".into(), "message 1".into()));
    let ack = Body::Ack(pb::GatewayAck { seq: two.last_seq, inbox_seq: two.last_inbox });
    two.send(ack).await;
    assert!(matches!(two.ask(Body::Ping(pb::GatewayPing {})).await, Body::Pong(_)));
    assert_eq!(harness.get("/v1/players/me/inbox", &bob).await.body["messages"], json!([]), "it is acknowledged");
    assert_eq!(harness.get("/v1/presence", &ada).await.body["players"][0]["status"], "online");
    two.send(Body::Leave(pb::GatewayLeave {})).await;
    assert_eq!(one.until(presence).await, pb::GatewayStatus::Offline);
}

/// Cuts at random moments while messages of each class come: nothing ordered is lost or twice, and each durable message comes
/// once.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_cut_again_and_again_misses_nothing() {
    let harness = Harness::start().await;
    let (ada, bob) = friends(&harness).await;
    let mut one = Client::hello(harness.address(), &ada.access).await;
    let mut two = Client::hello(harness.address(), &bob.access).await;
    let seed = service::random::u64();
    eprintln!("seed {seed}");
    let mut random = seed | 1;
    let mut chance = move |of: u64| {
        // xorshift64
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % of
    };
    let (mut heard, mut resumed, mut cuts) = (Vec::new(), 0, 0);
    let sayings = 14_u32;
    for n in 0..sayings {
        // Within the pace of the chat.
        loop {
            match one.ask(chat_to(&bob, n)).await {
                Body::Done(_) => break,
                Body::Problem(problem) => {
                    assert_eq!(problem.r#type, "urn:muster:problem:too-many-requests");
                    tokio::time::sleep(std::time::Duration::from_millis(u64::from(problem.retry_after_ms) / 8)).await;
                }
                other => panic!("{other:?}"),
            }
        }
        if chance(3) == 0 {
            heard.push(two.until(chat).await);
        }
        if chance(2) == 0 {
            cuts += 1;
            let (again, is_resumed) = two.resume(harness.address()).await.expect("within the grace");
            resumed += u32::from(is_resumed);
            two = again;
        }
    }
    while heard.len() < sayings as usize {
        heard.push(two.until(chat).await);
    }
    assert_eq!(heard, (0..sayings).map(|n| format!("message {n}")).collect::<Vec<_>>());
    assert_eq!(resumed, cuts);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resume_token_works_once_and_only_within_the_grace() {
    let pulse = Pulse { grace_ms: 1_000, ..Pulse::default() };
    let harness = Harness::start_changed(|config, _| config.parts.gateway.pulse = pulse).await;
    let ada = harness.login(1).await;
    let client = Client::hello(harness.address(), &ada.access).await;
    let stolen = client.token.clone();
    let (mut client, _) = client.resume(harness.address()).await.expect("good");
    assert!(matches!(client.ask(Body::Ping(pb::GatewayPing {})).await, Body::Pong(_)));
    let mut thief = Client::connect(harness.address(), "").await.expect("a WebSocket");
    thief.token = stolen;
    assert_eq!(thief.resume(harness.address()).await.err().as_deref(), Some("urn:muster:problem:session-gone"));
    let (client, _) = client.resume(harness.address()).await.expect("the owner goes on");
    let token = client.token.clone();
    drop(client);
    testkit::wait::until("the grace is over", async || {
        let mut late = Client::connect(harness.address(), "").await.expect("a WebSocket");
        late.token.clone_from(&token);
        tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
        late.resume(harness.address()).await.err()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_belong_here_is_refused_by_name() {
    let harness = Harness::start_changed(|config, _| {
        config.parts.gateway.origins = vec!["https://play.example.com".into()];
        config.parts.gateway.first_message = std::time::Duration::from_secs(2);
    })
    .await;
    let ada = harness.login(1).await;
    let evil = Client::connect(harness.address(), "Origin: https://evil.example.com\r\n").await.err();
    assert!(evil.expect("refused").starts_with("HTTP/1.1 403"));
    Client::connect(harness.address(), "Origin: https://play.example.com\r\n").await.map(drop).expect("allowed");
    let mut silent = Client::connect(harness.address(), "").await.expect("a WebSocket");
    assert_eq!(silent.until(closing).await, ("refused".to_owned(), false));
    let rows = [
        (Body::Ping(pb::GatewayPing {}), "hello-first"),
        (Body::Hello(pb::GatewayHello { version: 2, proof: None }), "unknown-version"),
        (Body::Hello(pb::GatewayHello { version: 1, proof: None }), "unauthenticated"),
        (hello_with("nonsense"), "token-invalid"),
        (Body::Resume(pb::GatewayResume { version: 1, token: vec![7; 48], ..Default::default() }), "session-gone"),
    ];
    for (body, slug) in rows {
        let mut client = Client::connect(harness.address(), "").await.expect("a WebSocket");
        client.send(body).await;
        let Some(Body::Problem(problem)) = client.receive().await else { panic!("no problem: {slug}") };
        assert_eq!(problem.r#type, format!("urn:muster:problem:{slug}"));
    }
    let mut large = Client::hello(harness.address(), &ada.access).await;
    large.send_frame(0x82, &[0; 5_000]).await;
    while large.receive().await.is_some() {}
    let mut fast = Client::hello(harness.address(), &ada.access).await;
    for _ in 0..200 {
        fast.send(Body::Pong(pb::GatewayPong {})).await;
    }
    assert_eq!(fast.until(closing).await, ("too_fast".to_owned(), true));
}

fn hello_with(access: &str) -> Body {
    let proof = pb::gateway_hello::Proof::AccessToken(access.into());
    Body::Hello(pb::GatewayHello { version: 1, proof: Some(proof) })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_opens_one_connection_and_a_shutdown_sends_all_away() {
    let mut harness = Harness::start().await;
    let ada = harness.login(1).await;
    let ticket = harness.post("/v1/auth/ws-ticket", Some(&ada.access), &json!({})).await;
    let proof = || Some(pb::gateway_hello::Proof::Ticket(ticket.text("ticket").into()));
    let mut client = Client::connect(harness.address(), "").await.expect("a WebSocket");
    client.send(Body::Hello(pb::GatewayHello { version: 1, proof: proof() })).await;
    assert!(matches!(client.receive().await, Some(Body::Welcome(_))));
    let mut second = Client::connect(harness.address(), "").await.expect("a WebSocket");
    second.send(Body::Hello(pb::GatewayHello { version: 1, proof: proof() })).await;
    let Some(Body::Problem(problem)) = second.receive().await else { panic!("it was used") };
    assert_eq!(problem.r#type, "urn:muster:problem:ticket-invalid");
    let another = harness.login(2).await;
    let fresh = |access: &str| Body::Reauthenticate(pb::GatewayReauthenticate { access_token: access.into() });
    assert!(matches!(client.ask(fresh(&ada.access)).await, Body::Done(_)));
    assert!(matches!(client.ask(fresh(&another.access)).await, Body::Problem(_)));
    let stopping = tokio::spawn(async move {
        harness.stop().await;
    });
    assert_eq!(client.until(closing).await, ("drain".to_owned(), true));
    stopping.await.expect("a clean end");
}

/// Resident memory of this process in bytes.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).expect("pages") * 4_096
}

/// Memory is a whole process': the other tests must not share it.
#[test]
fn an_idle_connection_holds_little_memory() {
    let program = std::env::current_exe().expect("this program");
    let alone = std::process::Command::new(program)
        .args(["--exact", "gateway::idle_connections", "--ignored", "--nocapture"])
        .status();
    assert!(alone.expect("it runs").success());
}

/// Both ends are in this process, and the build is not optimised; the bound is there to notice a buffer per connection.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by an_idle_connection_holds_little_memory, in a process of its own"]
async fn idle_connections() {
    let harness = Harness::start().await;
    let mut players = Vec::new();
    for n in 0..100 {
        players.push(harness.login(n).await);
    }
    let open = async |count: usize| {
        let mut clients = Vec::new();
        for player in players.iter().cycle().take(count) {
            clients.push(Client::hello(harness.address(), &player.access).await);
        }
        clients
    };
    // What grows once with the first connections is not counted.
    let first = open(100).await;
    let before = resident();
    let more = open(300).await;
    let each = resident().saturating_sub(before) / more.len() as u64;
    eprintln!("{each} bytes for an idle connection, both ends together");
    assert!(each < 64 * 1_024, "{each} bytes for each of {} idle connections", first.len() + more.len());
}
