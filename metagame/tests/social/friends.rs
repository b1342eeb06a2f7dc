//! Friends, blocks and the inbox.

use metagame::core::social::tie::{Act, BLOCKED_MAX, FRIENDS_MAX, Refusal, Tie};
use metagame::db::Domain;
use metagame::store::Store;
use metagame::store::social::{ACKED_LIFE_MS, FriendAct, INBOX_LIFE_MS};
use metagame::{args, store::StoreError};
use protocol::id::PlayerId;
use reqwest::Method;
use serde_json::json;
use tokio::task::JoinSet;

use super::harness::Harness;
use super::players::{NOW, accounts, player};
use super::stores::stores;

async fn act(store: &Store, player: PlayerId, other: PlayerId, act: Act) -> Result<Option<Tie>, Refusal> {
    let what = FriendAct { player, other, act, now_ms: NOW };
    store.act_on_friend(what).await.expect("a use case").expect("both have accounts")
}

async fn kinds(store: &Store, player: PlayerId) -> Vec<(u64, String)> {
    let messages = store.inbox(player, 0, 100).await.expect("an inbox");
    messages.into_iter().map(|message| (message.seq, message.kind)).collect()
}

#[tokio::test]
async fn a_request_and_its_acceptance_make_friends_and_tell_the_other() {
    for (store, _keep) in stores().await {
        let [one, two] = accounts(&store, 2).await[..] else { panic!("two") };
        assert_eq!(act(&store, one, two, Act::Befriend).await, Ok(Some(Tie::Sent)));
        assert_eq!(act(&store, one, two, Act::Befriend).await, Ok(Some(Tie::Sent)), "again changes nothing");
        assert_eq!(kinds(&store, two).await, [(1, "friend_request".to_owned())]);
        assert_eq!(store.friends_of(one).await.expect("friends"), []);
        assert_eq!(act(&store, two, one, Act::Befriend).await, Ok(Some(Tie::Friend)));
        assert_eq!(kinds(&store, one).await, [(1, "friend_accepted".to_owned())]);
        assert_eq!(kinds(&store, two).await, [], "the request is answered");
        assert_eq!(store.friends_of(one).await.expect("friends"), [two]);
        let list = store.friends(two, None, 10).await.expect("a list");
        assert_eq!((list.len(), list[0].player_id, list[0].name.as_str()), (1, one, "Player 1"));
        assert_eq!(act(&store, one, two, Act::Unfriend).await, Ok(None));
        assert_eq!(store.friends_of(two).await.expect("friends"), []);
        assert_eq!(act(&store, one, one, Act::Befriend).await, Err(Refusal::Oneself));
        let nobody = FriendAct { player: one, other: player(99), act: Act::Befriend, now_ms: NOW };
        assert_eq!(store.act_on_friend(nobody).await.expect("a use case"), None);
    }
}

#[tokio::test]
async fn a_block_hides_both_ways_and_takes_back_what_was_told() {
    for (store, _keep) in stores().await {
        let [one, two, three] = accounts(&store, 3).await[..] else { panic!("three") };
        act(&store, two, one, Act::Befriend).await.expect("asked");
        assert_eq!(kinds(&store, one).await.len(), 1);
        assert_eq!(act(&store, one, two, Act::Block).await, Ok(Some(Tie::Blocked)));
        assert_eq!(kinds(&store, one).await, [], "its request is gone");
        assert_eq!(store.friends(two, None, 10).await.expect("a list"), [], "on both sides");
        assert_eq!(act(&store, two, one, Act::Befriend).await, Err(Refusal::Unreachable));
        assert_eq!(act(&store, one, two, Act::Befriend).await, Err(Refusal::YouBlock));
        for (player, other) in [(one, two), (two, one)] {
            assert_eq!(store.hidden_among(player, &[other, three]).await.expect("a list"), [other]);
        }
        assert_eq!(store.blocks(one, None, 10).await.expect("a list").len(), 1);
        assert_eq!(store.blocks(two, None, 10).await.expect("a list"), [], "who is blocked is not told");
        act(&store, one, two, Act::Unblock).await.expect("its own block");
        assert_eq!(act(&store, two, one, Act::Befriend).await, Ok(Some(Tie::Sent)));
    }
}

#[tokio::test]
async fn lists_are_bounded() {
    for (store, _keep) in stores().await {
        accounts(&store, 3).await;
        fill(&store, player(1), "friend", FRIENDS_MAX).await.expect("rows");
        fill(&store, player(2), "blocked", BLOCKED_MAX).await.expect("rows");
        assert_eq!(act(&store, player(1), player(3), Act::Befriend).await, Err(Refusal::Full(FRIENDS_MAX)));
        assert_eq!(act(&store, player(2), player(3), Act::Block).await, Err(Refusal::Full(BLOCKED_MAX)));
        assert_eq!(store.friends_of(player(1)).await.expect("friends").len() as u64, FRIENDS_MAX);
        let first = store.friends(player(1), None, 200).await.expect("a page");
        let second = store.friends(player(1), Some(first[199].player_id), 200).await.expect("a page");
        assert!(second[0].player_id > first[199].player_id && second.len() == 200);
    }
}

/// Writes rows that the use cases would take long to make.
async fn fill(store: &Store, owner: PlayerId, tie: &str, count: u64) -> Result<(), StoreError> {
    let input = (owner, tie.to_owned(), count);
    let write = store.database().write(Domain::Social, input, |tx, (owner, tie, count)| {
        Box::pin(async move {
            for n in 0..*count {
                let other = player(1_000 + n as u16);
                let sql = "INSERT INTO accounts (player_id, name, version, created_at_ms, xp, matches, wins)
                           VALUES ($1, 'x', 1, 0, 0, 0, 0) ON CONFLICT (player_id) DO NOTHING";
                tx.execute(sql, args![other]).await?;
                let sql = "INSERT INTO edges (player_id, other_id, tie, at_ms) VALUES ($1, $2, $3, 0)";
                tx.execute(sql, args![*owner, other, tie]).await?;
            }
            Ok(())
        })
    });
    write.await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_ask_each_other_at_once_are_friends_on_both_sides() {
    for (store, _keep) in stores().await {
        let players = accounts(&store, 16).await;
        let mut tasks = JoinSet::new();
        for pair in players.chunks_exact(2) {
            for (player, other) in [(pair[0], pair[1]), (pair[1], pair[0])] {
                let store = store.clone();
                tasks.spawn(async move { act(&store, player, other, Act::Befriend).await.expect("allowed") });
            }
        }
        tasks.join_all().await;
        for pair in players.chunks_exact(2) {
            assert_eq!(store.friends_of(pair[0]).await.expect("friends"), [pair[1]]);
            assert_eq!(store.friends_of(pair[1]).await.expect("friends"), [pair[0]]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_written_at_once_have_numbers_of_their_own() {
    for (store, _keep) in stores().await {
        let players = accounts(&store, 12).await;
        let mut tasks = JoinSet::new();
        for other in players[1..].iter().copied() {
            let (store, one) = (store.clone(), players[0]);
            tasks.spawn(async move { act(&store, other, one, Act::Befriend).await.expect("allowed") });
        }
        tasks.join_all().await;
        let seqs: Vec<u64> = kinds(&store, players[0]).await.into_iter().map(|(seq, _)| seq).collect();
        assert_eq!(seqs, (1..=11).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn messages_stay_until_they_are_acknowledged_or_old() {
    for (store, _keep) in stores().await {
        let players = accounts(&store, 4).await;
        for other in &players[1..] {
            act(&store, *other, players[0], Act::Befriend).await.expect("asked");
        }
        let one = players[0];
        assert_eq!(kinds(&store, one).await.len(), 3);
        assert_eq!(store.inbox(one, 1, 1).await.expect("a page")[0].seq, 2);
        assert_eq!(store.ack_inbox(one, 2).await.expect("acked"), 2);
        assert_eq!(store.ack_inbox(one, 1).await.expect("acked"), 2, "it never goes back");
        assert_eq!(kinds(&store, one).await.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [3]);
        store.prune(NOW + ACKED_LIFE_MS + 1).await.expect("pruned");
        assert_eq!(kinds(&store, one).await.len(), 1, "what is not acknowledged stays");
        assert_eq!(store.ack_inbox(one, 99).await.expect("acked"), 3, "what was not written cannot be acknowledged");
        act(&store, one, players[1], Act::Unfriend).await.expect("declined");
        act(&store, players[1], one, Act::Befriend).await.expect("asked again");
        assert_eq!(kinds(&store, one).await, [(4, "friend_request".to_owned())]);
        store.prune(NOW + INBOX_LIFE_MS + 1).await.expect("pruned");
        assert_eq!(kinds(&store, one).await, []);
        assert_eq!(store.inbox_heads(&players).await.expect("heads"), [(one, 4)]);
    }
}

#[tokio::test]
async fn friends_blocks_and_the_inbox_work_over_rest_alone() {
    let harness = Harness::start().await;
    let (ada, bob) = (harness.login(1).await, harness.login(2).await);
    let put = |path: String, access: String| {
        let request = harness.request(Method::PUT, &path, Some(&access));
        harness.send(request)
    };
    let answer = put(format!("/v1/players/me/friends/{}", bob.id), ada.access.clone()).await;
    assert_eq!((answer.status.as_u16(), answer.text("tie")), (200, "sent"));
    let inbox = harness.get("/v1/players/me/inbox", &bob).await;
    let message = &inbox.body["messages"][0];
    assert_eq!((&message["kind"], &message["body"]["name"]), (&json!("friend_request"), &json!("Player 1")));
    let acked = harness.post("/v1/players/me/inbox/ack", Some(&bob.access), &json!({ "seq": message["seq"] })).await;
    assert_eq!(acked.body, json!({ "seq": 1 }));
    assert_eq!(harness.get("/v1/players/me/inbox", &bob).await.body["messages"], json!([]));
    let answer = put(format!("/v1/players/me/friends/{}", ada.id), bob.access.clone()).await;
    assert_eq!(answer.text("tie"), "friend");
    let list = harness.get("/v1/players/me/friends", &ada).await;
    assert_eq!(list.body["friends"][0]["player_id"], bob.id.to_string());
    assert_eq!(put(format!("/v1/players/me/blocks/{}", ada.id), bob.access.clone()).await.status, 204);
    assert_eq!(harness.get("/v1/players/me/friends", &ada).await.body["friends"], json!([]));
    let refused = put(format!("/v1/players/me/friends/{}", bob.id), ada.access.clone()).await;
    assert_eq!((refused.status.as_u16(), refused.problem()), (403, "player-unreachable"));
    let myself = put(format!("/v1/players/me/friends/{}", ada.id), ada.access.clone()).await;
    assert_eq!((myself.status.as_u16(), myself.problem()), (422, "oneself"));
    let nobody = put(format!("/v1/players/me/friends/{}", player(77)), ada.access.clone()).await;
    assert_eq!((nobody.status.as_u16(), nobody.problem()), (404, "unknown-player"));
    let blocks = harness.get("/v1/players/me/blocks", &bob).await;
    assert_eq!(blocks.body["blocks"][0]["player_id"], ada.id.to_string());
}
