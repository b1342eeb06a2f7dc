//! Idempotency keys: what happens under one happens once, and is answered as it was.

use metagame::args;
use metagame::db::Domain;
use metagame::idempotency::{Answer, Keyed, Reply, claim, settle};
use metagame::store::{Store, StoreError};
use protocol::id::PlayerId;
use tokio::task::JoinSet;

use super::hands::{NOW, shops};

fn keyed(key: &str, body: &str) -> Keyed<u64> {
    let render = |outcome: &u64| Answer::json(201, outcome);
    Keyed::economic(PlayerId::from_entropy([1; 16]), key.into(), "POST /test", &body, NOW, render)
}

/// A use case that counts how often it happened.
async fn count(store: &Store, keyed: Keyed<u64>, fails: bool) -> Result<Reply, StoreError> {
    store
        .database()
        .write(Domain::Economy, (keyed, fails), |tx, (keyed, fails)| {
            Box::pin(async move {
                if let Some(reply) = claim(tx, keyed).await? {
                    return Ok(reply);
                }
                let sql = "INSERT INTO audit (at_ms, kind, subject, detail) VALUES (0, 'counted', '', '')";
                tx.execute(sql, args![]).await?;
                if *fails {
                    return Err(StoreError::Failed("on purpose".into()));
                }
                let counted: u64 = tx.one("SELECT count(*) FROM audit WHERE kind = 'counted'", args![]).await?;
                settle(tx, keyed, &counted).await
            })
        })
        .await
}

fn answer(body: &str) -> Answer {
    Answer { status: 201, body: body.into() }
}

#[tokio::test]
async fn the_same_request_is_answered_as_it_was_and_another_one_is_refused() {
    for (store, _keep) in shops().await {
        assert_eq!(count(&store, keyed("a", "x"), false).await.expect("done"), Reply::New(answer("1")));
        assert_eq!(count(&store, keyed("a", "x"), false).await.expect("again"), Reply::Again(answer("1")));
        assert_eq!(count(&store, keyed("a", "y"), false).await.expect("refused"), Reply::OtherRequest);
        assert_eq!(count(&store, keyed("b", "y"), false).await.expect("done"), Reply::New(answer("2")));
    }
}

#[tokio::test]
async fn a_fault_is_no_answer_and_leaves_the_key_free() {
    for (store, _keep) in shops().await {
        count(&store, keyed("a", "x"), true).await.expect_err("it fails");
        assert_eq!(count(&store, keyed("a", "x"), false).await.expect("done"), Reply::New(answer("1")));
    }
}

#[tokio::test]
async fn keys_of_money_are_kept_and_others_are_forgotten_in_time() {
    for (store, _keep) in shops().await {
        count(&store, keyed("money", "x"), false).await.expect("done");
        let forgettable = Keyed { expires_at_ms: Some(NOW + 10), ..keyed("other", "x") };
        count(&store, forgettable, false).await.expect("done");
        store.prune(NOW + 11).await.expect("pruned");
        assert!(matches!(count(&store, keyed("money", "x"), false).await.expect("again"), Reply::Again(_)));
        assert!(matches!(count(&store, keyed("other", "x"), false).await.expect("new"), Reply::New(_)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_copies_at_once_happen_once_and_all_hear_the_same() {
    for (store, _keep) in shops().await {
        for round in 0..5 {
            let mut copies = JoinSet::new();
            for _ in 0..12 {
                let (store, keyed) = (store.clone(), keyed(&format!("key-{round}"), "x"));
                copies.spawn(async move { count(&store, keyed, false).await.expect("an answer") });
            }
            let replies = copies.join_all().await;
            assert_eq!(replies.iter().filter(|reply| matches!(reply, Reply::New(_))).count(), 1, "{replies:?}");
            let said = answer(&(round + 1).to_string());
            let same = |reply: &Reply| *reply == Reply::New(said.clone()) || *reply == Reply::Again(said.clone());
            assert!(replies.iter().all(same), "{replies:?}");
        }
    }
}
