//! Parties, private lobbies, and queueing together.

use metagame::core::social::code;
use metagame::core::social::party::{INVITE_LIFE_MS, PartyAct, PartyRefusal, Rtts};
use metagame::core::social::tie::Act;
use metagame::store::Store;
use metagame::store::social::{Entrance, FriendAct, NewParty, PartyDone, PartyFault, PartyStep};
use protocol::id::{MatchId, PartyId, PlayerId, TicketId};
use protocol::pb::TicketState;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::harness::{Answer, Harness, Player};
use super::players::{NOW, accounts};
use super::stores::stores;

fn party_id(n: u8) -> PartyId {
    PartyId::from_entropy([n; 16])
}

fn ticket_id(n: u8) -> TicketId {
    TicketId::from_entropy([n; 16])
}

async fn make(store: &Store, player: PlayerId, n: u8, code: Option<&str>) -> PartyDone {
    let code = code.map(str::to_owned);
    let new = NewParty { player, party_id: party_id(n), size_max: 4, code, now_ms: NOW };
    store.make_party(new).await.expect("a use case").expect("a party")
}

async fn step(store: &Store, player: PlayerId, act: PartyAct) -> Result<PartyDone, PartyFault> {
    let step = PartyStep { player, act, version: None, now_ms: NOW };
    store.step_party(step).await.expect("a use case")
}

async fn join(store: &Store, player: PlayerId, entrance: Entrance) -> Result<PartyDone, PartyFault> {
    store.join_party(player, entrance, NOW).await.expect("a use case")
}

async fn members(store: &Store, player: PlayerId) -> Vec<PlayerId> {
    store.party_of(player).await.expect("read").map(|view| view.party.players()).unwrap_or_default()
}

#[tokio::test]
async fn who_is_invited_joins_and_a_party_of_nobody_is_over() {
    for (store, _keep) in stores().await {
        let [one, two, three] = accounts(&store, 3).await[..] else { panic!("three") };
        let made = make(&store, one, 1, None).await;
        assert_eq!(make(&store, one, 1, None).await.view, made.view, "a repetition finds it");
        let other = NewParty { player: one, party_id: party_id(2), size_max: 4, code: None, now_ms: NOW };
        assert_eq!(store.make_party(other).await.expect("a use case"), Err(PartyFault::InParty(party_id(1))));
        let by_invitation = || Entrance::Invitation(party_id(1));
        assert_eq!(join(&store, two, by_invitation()).await, Err(PartyFault::NotInvited));
        store.invite_to_party(one, two, NOW).await.expect("a use case").expect("invited");
        store.invite_to_party(one, two, NOW + 1).await.expect("a use case").expect("again changes nothing");
        assert_eq!(store.party_invites(two, NOW).await.expect("a list")[0].from_id, one);
        assert_eq!(store.inbox(two, 0, 9).await.expect("an inbox").len(), 1);
        let late = store.join_party(two, by_invitation(), NOW + INVITE_LIFE_MS).await.expect("a use case");
        assert_eq!(late, Err(PartyFault::NotInvited), "it has expired");
        let joined = join(&store, two, by_invitation()).await.expect("invited");
        assert_eq!(
            (joined.touched.clone(), joined.view.names),
            (vec![one, two], vec!["Player 1".into(), "Player 2".into()])
        );
        assert_eq!(store.party_invites(two, NOW).await.expect("a list"), []);
        let again = join(&store, two, by_invitation()).await.expect("it is in");
        assert_eq!(again.touched, [], "nothing has changed");
        assert_eq!(store.invite_to_party(three, one, NOW).await.expect("a use case"), Err(PartyFault::NoParty));
        let left = step(&store, one, PartyAct::Leave).await.expect("a member");
        assert_eq!((left.view.party.leader, left.touched), (two, vec![two, one]));
        step(&store, two, PartyAct::Leave).await.expect("a member");
        assert_eq!(store.party_of(two).await.expect("read"), None);
        assert_eq!(step(&store, two, PartyAct::Leave).await, Err(PartyFault::NoParty));
        make(&store, three, 1, None).await;
        assert_eq!(members(&store, three).await, [three], "nothing of it is left");
    }
}

#[tokio::test]
async fn a_block_reaches_invitations_and_lobbies() {
    for (store, _keep) in stores().await {
        let [one, two] = accounts(&store, 2).await[..] else { panic!("two") };
        make(&store, one, 1, Some("CDFGHJKM")).await;
        store.invite_to_party(one, two, NOW).await.expect("a use case").expect("invited");
        let block = FriendAct { player: two, other: one, act: Act::Block, now_ms: NOW };
        store.act_on_friend(block).await.expect("a use case").expect("known").expect("blocked");
        assert_eq!(store.party_invites(two, NOW).await.expect("a list"), []);
        assert_eq!(store.inbox(two, 0, 9).await.expect("an inbox"), []);
        let refused = store.invite_to_party(one, two, NOW).await.expect("a use case");
        assert_eq!(refused, Err(PartyFault::Unreachable));
        let code = || Entrance::Code("CDFGHJKM".into());
        assert_eq!(join(&store, two, code()).await, Err(PartyFault::UnknownCode));
        store.act_on_friend(FriendAct { act: Act::Unblock, ..block }).await.expect("a use case");
        assert_eq!(join(&store, two, code()).await.expect("open").view.party.players(), [one, two]);
        step(&store, one, PartyAct::Close).await.expect("the leader");
        step(&store, one, PartyAct::Kick(two)).await.expect("the leader");
        assert_eq!(join(&store, two, code()).await, Err(PartyFault::UnknownCode));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lobby_that_many_join_at_once_holds_no_more_than_it_may() {
    for (store, _keep) in stores().await {
        let players = accounts(&store, 12).await;
        make(&store, players[0], 1, Some("CDFGHJKM")).await;
        let mut tasks = JoinSet::new();
        for player in players[1..].iter().copied() {
            let store = store.clone();
            tasks.spawn(async move { join(&store, player, Entrance::Code("CDFGHJKM".into())).await.map(drop) });
        }
        let joined = tasks.join_all().await;
        assert_eq!(joined.iter().filter(|one| one.is_ok()).count(), 3);
        let full = Err(PartyFault::Refused(PartyRefusal::Full));
        assert!(joined.iter().all(|one| one.is_ok() || *one == full), "{joined:?}");
        assert_eq!(members(&store, players[0]).await.len(), 4);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_queues_while_a_member_leaves_has_no_ticket_or_one_to_cancel() {
    for (store, _keep) in stores().await {
        let [one, two] = accounts(&store, 2).await[..] else { panic!("two") };
        for n in 1..=20_u8 {
            make(&store, one, n, Some("CDFGHJKM")).await;
            join(&store, two, Entrance::Code("CDFGHJKM".into())).await.expect("open");
            for player in [one, two] {
                step(&store, player, PartyAct::Ready(true, Rtts::new())).await.expect("a member");
            }
            let queue = tokio::spawn({
                let store = store.clone();
                async move { step(&store, one, PartyAct::Queue(ticket_id(n))).await }
            });
            let left = step(&store, two, PartyAct::Leave).await.expect("a member");
            let queued = queue.await.expect("a task").is_ok();
            let now = store.party_of(one).await.expect("read").expect("a party").party;
            let cancels = store.party_cancels().await.expect("read");
            let is_noted = cancels.iter().any(|(ticket, _)| *ticket == ticket_id(n));
            assert_eq!(left.cancels, is_noted);
            // Queued before the other left: cancelled. Afterwards: it stands for one.
            assert!(queued && (is_noted != (now.ticket == Some(ticket_id(n)))), "{now:?} {cancels:?}");
            step(&store, one, PartyAct::Leave).await.expect("a member");
        }
        for (ticket, _) in store.party_cancels().await.expect("read") {
            store.party_cancelled(ticket).await.expect("written");
        }
        assert_eq!(store.party_cancels().await.expect("read"), []);
    }
}

/// A party of two over REST: the leader and a member that came by the code.
async fn lobby(harness: &Harness) -> (Player, Player) {
    let (ada, bob) = (harness.login(1).await, harness.login(2).await);
    let body = json!({ "party_id": party_id(1), "open": true });
    let made = harness.post("/v1/parties", Some(&ada.access), &body).await;
    assert_eq!(made.status, 201, "{made:?}");
    let code = made.text("code");
    let typed = format!("{} {}", code[..4].to_lowercase(), &code[4..]);
    let joined = harness.post("/v1/lobbies/join", Some(&bob.access), &json!({ "code": typed })).await;
    assert_eq!(joined.status, 200, "{joined:?}");
    (ada, bob)
}

async fn put(harness: &Harness, path: &str, player: &Player, body: &Value) -> Answer {
    harness.send(harness.request(Method::PUT, path, Some(&player.access)).json(body)).await
}

async fn queue(harness: &Harness, leader: &Player, ticket: TicketId) -> Answer {
    let body = json!({ "ticket_id": ticket, "queue": "duel" });
    harness.post("/v1/parties/me/ticket", Some(&leader.access), &body).await
}

async fn all_ready(harness: &Harness, players: [&Player; 2]) {
    for player in players {
        let body = json!({ "ready": true, "region_rtts": { "local": 5 } });
        assert_eq!(put(harness, "/v1/parties/me/ready", player, &body).await.status, 200);
    }
}

async fn until_cancelled(harness: &Harness, ticket: TicketId) {
    let is_over = || harness.matchmaker.ticket(&ticket.to_string()).state() == TicketState::Cancelled;
    testkit::wait::until("the ticket is cancelled", async || is_over().then_some(())).await;
}

#[tokio::test]
async fn a_party_queues_together_and_a_changed_one_cancels_its_ticket() {
    let harness = Harness::start().await;
    let (ada, bob) = lobby(&harness).await;
    let refused = queue(&harness, &ada, ticket_id(1)).await;
    assert_eq!((refused.status.as_u16(), refused.problem()), (409, "not-ready"));
    all_ready(&harness, [&ada, &bob]).await;
    assert_eq!(queue(&harness, &bob, ticket_id(1)).await.problem(), "not-leader");
    let queued = queue(&harness, &ada, ticket_id(1)).await;
    assert_eq!((queued.status.as_u16(), queued.text("state")), (201, "queued"), "{queued:?}");
    assert_eq!(queue(&harness, &ada, ticket_id(1)).await.status, 200, "a repetition finds it");
    let ticket = harness.matchmaker.ticket(&ticket_id(1).to_string());
    assert_eq!((ticket.players.len(), ticket.party_id), (2, party_id(1).to_string()));
    assert!(ticket.party_version > 0);
    let seen = harness.get("/matchmaking/status", &bob).await;
    assert_eq!(seen.text("ticket_id"), ticket_id(1).to_string(), "a member sees it");
    let solo = json!({ "ticket_id": ticket_id(9), "queue": "duel" });
    assert_eq!(harness.post("/v1/tickets", Some(&bob.access), &solo).await.problem(), "in-party");

    put(&harness, "/v1/parties/me/ready", &bob, &json!({ "ready": false })).await;
    until_cancelled(&harness, ticket_id(1)).await;
    all_ready(&harness, [&ada, &bob]).await;
    assert_eq!(queue(&harness, &ada, ticket_id(2)).await.status, 201);
    let left = harness.send(harness.request(Method::DELETE, "/v1/parties/me", Some(&bob.access))).await;
    assert_eq!(left.status, 204);
    until_cancelled(&harness, ticket_id(2)).await;
    let party = harness.get("/v1/parties/me", &ada).await;
    assert_eq!(
        (party.body["ticket_id"].clone(), party.body["members"].as_array().map(Vec::len)),
        (Value::Null, Some(1))
    );
    let again = harness.send(harness.request(Method::DELETE, "/v1/parties/me", Some(&bob.access))).await;
    assert_eq!(again.status, 204, "leaving twice is no error");
}

#[tokio::test]
async fn a_party_that_is_refused_by_its_queue_has_no_ticket() {
    let harness = Harness::start().await;
    let (ada, bob) = lobby(&harness).await;
    all_ready(&harness, [&ada, &bob]).await;
    let body = json!({ "ticket_id": ticket_id(1), "queue": "unknown" });
    let refused = harness.post("/v1/parties/me/ticket", Some(&ada.access), &body).await;
    assert_eq!(refused.problem(), "invalid-ticket");
    assert_eq!(harness.get("/v1/parties/me", &ada).await.body["ticket_id"], Value::Null);
    assert_eq!(queue(&harness, &ada, ticket_id(2)).await.status, 201);
    // Once matched, a change is too late for the ticket, and the match holds both.
    let match_id = MatchId::from_entropy([8; 16]);
    harness.matchmaker.complete(&ticket_id(2).to_string(), match_id, &[ada.id, bob.id]);
    let seen = harness.get(&format!("/v1/tickets/{}", ticket_id(2)), &bob).await;
    assert_eq!(seen.text("state"), "completed");
    let inbox = harness.get("/v1/players/me/inbox", &bob).await;
    let found = &inbox.body["messages"][0];
    assert_eq!((&found["kind"], &found["body"]["match_id"]), (&json!("match_found"), &json!(match_id)));
    assert_eq!(queue(&harness, &ada, ticket_id(3)).await.problem(), "in-match");
}

#[tokio::test]
async fn guessing_lobby_codes_is_slowed_down() {
    let harness = Harness::start().await;
    let player = harness.login(1).await;
    let mut answers = Vec::new();
    for n in 0..12_u8 {
        let guess = json!({ "code": code::code([n; 16]) });
        answers.push(harness.post("/v1/lobbies/join", Some(&player.access), &guess).await);
    }
    assert!(answers[..10].iter().all(|answer| answer.problem() == "unknown-code"));
    let last = &answers[11];
    assert_eq!((last.status.as_u16(), last.problem()), (429, "too-many-requests"));
    assert!(last.headers.contains_key("retry-after"));
}
