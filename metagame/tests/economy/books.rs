//! The books: they add up, they say what is there, and they show what was changed behind their back.

use std::collections::BTreeMap;

use metagame::args;
use metagame::core::ledger::AMOUNT_MAX;
use metagame::core::seal::SEAL_LAG_MS;
use metagame::db::Domain;
use metagame::store::Store;
use metagame::store::economy::{GrantLine, Granted, Verified};
use proptest::prelude::*;
use proptest::test_runner::{Config as RunnerConfig, TestRunner};
use protocol::id::PlayerId;

use super::hands::{NOW, assert_whole, balance, catalog, give, gold, player, shops};

#[tokio::test]
async fn a_grant_happens_once_per_cause_and_is_seen_in_the_wallet() {
    for (store, _keep) in shops().await {
        let ada = player(&store, 1).await;
        let mut gift = gold(ada, "1", 50);
        gift.lines.push(GrantLine::Goods(catalog().goods("potion", 3, NOW).expect("a potion")));
        gift.lines.push(GrantLine::Goods(catalog().goods("sword", 2, NOW).expect("a sword")));
        assert_eq!(give(&store, gift.clone()).await.expect("given"), Granted::Now);
        for _ in 0..3 {
            assert_eq!(give(&store, gift.clone()).await.expect("known"), Granted::Before);
        }
        assert_eq!(give(&store, gold(ada, "2", 7)).await.expect("given"), Granted::Now);
        let wallet = store.wallet(ada).await.expect("a wallet");
        assert_eq!(
            (wallet.len(), wallet[0].currency.as_str(), wallet[0].balance, wallet[0].number),
            (1, "gold", 57, 2)
        );
        let sql = "SELECT definition, CAST(sum(quantity) AS BIGINT), count(*) FROM items WHERE player_id = $1
                   GROUP BY definition ORDER BY definition";
        let items: Vec<(String, u64, u64)> =
            store.database().all(Domain::Economy, sql, args![ada]).await.expect("items");
        assert_eq!(items, [("potion".into(), 3, 1), ("sword".into(), 2, 2)]);
        let entries = store.wallet_entries(ada, "gold".into(), None, 10).await.expect("entries");
        let seen: Vec<_> =
            entries.iter().map(|one| (one.number, one.amount, one.balance, one.cause.as_str())).collect();
        assert_eq!(seen, [(2, 7, 57, "match:2"), (1, 50, 50, "match:1")]);
        let older = store.wallet_entries(ada, "gold".into(), Some(2), 10).await.expect("entries");
        assert_eq!(older, entries[1..]);
        assert_whole(&store).await;
    }
}

#[tokio::test]
async fn a_wallet_that_would_overflow_is_left_as_it_is() {
    for (store, _keep) in shops().await {
        let ada = player(&store, 1).await;
        give(&store, gold(ada, "1", AMOUNT_MAX as u64)).await.expect("given");
        let refused = give(&store, gold(ada, "2", 1)).await.expect("an answer");
        assert!(matches!(refused, Granted::Refused(_)), "{refused:?}");
        assert_eq!(balance(&store, ada, "gold").await, AMOUNT_MAX);
        assert_whole(&store).await;
    }
}

#[test]
fn whatever_is_granted_and_however_often_the_books_add_up() {
    let mut runner = TestRunner::new(RunnerConfig { cases: 6, ..RunnerConfig::default() });
    let grants = prop::collection::vec((0..4_u8, 0..20_u8, 1..1_000_u64), 1..40);
    let outcome = runner.run(&grants, |grants| {
        tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
            for (store, _keep) in shops().await {
                let mut players = Vec::new();
                for n in 0..4 {
                    players.push(player(&store, n).await);
                }
                let mut causes = BTreeMap::new();
                for (n, cause, amount) in &grants {
                    let gift = gold(players[usize::from(*n)], &cause.to_string(), *amount);
                    let given = give(&store, gift).await.expect("an answer");
                    assert_eq!(given == Granted::Now, !causes.contains_key(cause));
                    causes.entry(*cause).or_insert((*n, *amount));
                }
                for (n, player) in players.iter().enumerate() {
                    let due: u64 = causes.values().filter(|one| usize::from(one.0) == n).map(|one| one.1).sum();
                    assert_eq!(balance(&store, *player, "gold").await, due as i64);
                }
                assert_whole(&store).await;
            }
        });
        Ok(())
    });
    outcome.expect("the books add up");
}

/// Books with two players, five entries and two seals.
async fn sealed(store: &Store) -> (PlayerId, PlayerId) {
    let (ada, bob) = (player(store, 1).await, player(store, 2).await);
    for n in 0..5_u64 {
        let mut gift = gold(if n % 2 == 0 { ada } else { bob }, &n.to_string(), 10 + n);
        gift.at_ms = NOW + n;
        give(store, gift).await.expect("given");
        if n == 2 || n == 4 {
            let seal = store.seal_ledger(NOW + n + 1 + SEAL_LAG_MS).await.expect("sealed").expect("a seal");
            assert_eq!(seal.entries, if n == 2 { 3 } else { 2 });
        }
    }
    let verified = store.verify_ledger().await.expect("verified");
    assert_eq!((verified.faults.as_slice(), verified.entries, verified.wallets, verified.seals), (&[][..], 5, 2, 2));
    (ada, bob)
}

async fn tamper(store: &Store, sql: &'static str) -> Verified {
    assert_eq!(store.database().statement(Domain::Operations, sql, args![]).await.expect("tampered"), 1, "{sql}");
    store.verify_ledger().await.expect("verified")
}

#[tokio::test]
async fn what_was_changed_behind_the_books_back_is_named_from_the_first_entry_on() {
    for (amount, first, told) in [
        ("UPDATE postings SET amount = 1000 WHERE number = 1 AND balance = 11", "match:1", "add up"),
        ("UPDATE postings SET balance = 1000 WHERE number = 2 AND balance = 22", "match:2", "instead of 22"),
        ("UPDATE journal SET actor = 'nobody' WHERE cause = 'match:3'", "match:3", "hash is not that"),
        ("UPDATE journal SET cause = 'match:9' WHERE cause = 'match:3'", "match:9", "its id is not"),
        (
            "UPDATE postings SET hash = (SELECT entry_hash FROM journal WHERE cause = 'match:1') WHERE number = 2 AND balance = 22",
            "match:2",
            "breaks at posting 2",
        ),
    ] {
        for (store, _keep) in shops().await {
            sealed(&store).await;
            let verified = tamper(&store, amount).await;
            let named = &verified.faults.iter().find(|fault| fault.at_ms > 0).expect("a fault");
            assert_eq!(named.subject, first, "{amount}: {:?}", verified.faults);
            assert!(verified.faults.iter().any(|fault| fault.fault.contains(told)), "{told}: {:?}", verified.faults);
        }
    }
}

#[tokio::test]
async fn a_wallet_that_was_changed_by_hand_is_named() {
    for (store, _keep) in shops().await {
        let (ada, _) = sealed(&store).await;
        let verified = tamper(&store, "UPDATE wallets SET balance = 1000 WHERE balance = 36").await;
        assert_eq!(verified.faults.len(), 1);
        assert_eq!(verified.faults[0].subject, format!("wallet {ada} gold"));
        assert_eq!(verified.faults[0].fault, "it holds 1000 and its postings say 36");
    }
}

/// Even who takes care that sums, chain and wallet fit again cannot do it behind a seal.
#[tokio::test]
async fn the_newest_entry_cannot_be_taken_back_behind_a_seal() {
    for (store, _keep) in shops().await {
        sealed(&store).await;
        for sql in [
            "DELETE FROM postings WHERE journal_id = (SELECT journal_id FROM journal WHERE cause = 'match:4')",
            "DELETE FROM journal WHERE cause = 'match:4'",
            "UPDATE wallets SET balance = 22, number = 2, last_hash = (SELECT hash FROM postings WHERE number = 2 AND balance = 22)
             WHERE balance = 36",
        ] {
            store.database().statement(Domain::Operations, sql, args![]).await.expect("tampered");
        }
        let verified = store.verify_ledger().await.expect("verified");
        assert_eq!(verified.faults.len(), 1, "{:?}", verified.faults);
        assert_eq!(verified.faults[0].subject, "seal 2");
        assert!(verified.faults[0].fault.contains("there are 1 entries and 2 were sealed"), "{:?}", verified.faults);
        // Without the seal nothing would show; then the seal's hash in the log does.
        tamper(&store, "DELETE FROM ledger_seals WHERE number = 1").await;
        let verified = store.verify_ledger().await.expect("verified");
        assert!(verified.faults.iter().any(|fault| fault.fault.contains("followed the seal before")));
    }
}

#[tokio::test]
async fn only_what_is_old_enough_is_sealed_and_nothing_twice() {
    for (store, _keep) in shops().await {
        let ada = player(&store, 1).await;
        give(&store, gold(ada, "1", 1)).await.expect("given");
        assert_eq!(store.seal_ledger(NOW + SEAL_LAG_MS).await.expect("an answer"), None);
        let first = store.seal_ledger(NOW + SEAL_LAG_MS + 1).await.expect("an answer").expect("a seal");
        assert_eq!((first.number, first.entries), (1, 1));
        assert_eq!(store.seal_ledger(NOW + 2 * SEAL_LAG_MS).await.expect("an answer"), None);
        assert_whole(&store).await;
    }
}
