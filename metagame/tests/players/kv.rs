//! Values per player.

use metagame::core::kv::{Change, Expects, Outcome, Place, Quota, Refusal, Request, Usage};
use metagame::store::Store;
use protocol::id::PlayerId;
use testkit::proxy::CutAt;
use tokio::task::JoinSet;

use super::hands::{NOW, STATES, behind, inject, player};
use super::stores::stores;

fn place(player: PlayerId, key: &str) -> Place {
    Place { player, collection: "saves".into(), key: key.into() }
}

fn put(player: PlayerId, key: &str, value: &str, expects: Expects) -> Change {
    Change { place: place(player, key), value: Some(value.into()), expects, counted: true }
}

fn request(changes: Vec<Change>) -> Request {
    Request { changes, quota: Some(Quota { bytes: 100, count: 5 }) }
}

async fn write(store: &Store, changes: Vec<Change>) -> Outcome {
    store.kv_write(vec![request(changes)], NOW).await.expect("an answer").remove(0)
}

#[tokio::test]
async fn a_value_is_kept_read_listed_and_deleted() {
    for (store, _keep) in stores().await {
        let ada = player(&store, 1).await;
        let text = "{\"a\": [1,  2.50, \"ä\\u0000\"]}";
        assert_eq!(write(&store, vec![put(ada, "b", text, Expects::Absent)]).await, Ok(vec![Some(NOW)]));
        let kept = store.kv_value(&place(ada, "b")).await.expect("read").expect("a value");
        assert_eq!((kept.value.as_str(), kept.version, kept.updated_at_ms), (text, NOW, NOW), "as it was sent");
        write(&store, vec![put(ada, "a", "1", Expects::Anything), put(ada, "C", "2", Expects::Anything)])
            .await
            .expect("written");
        let keys =
            |listed: Vec<metagame::store::ListedValue>| listed.into_iter().map(|one| one.key).collect::<Vec<_>>();
        assert_eq!(
            keys(store.kv_list(ada, "saves", "", 2).await.expect("listed")),
            ["C", "a"],
            "in the order of bytes"
        );
        assert_eq!(keys(store.kv_list(ada, "saves", "a", 2).await.expect("listed")), ["b"]);
        let places = [place(ada, "a"), place(ada, "none"), place(ada, "C"), place(ada, "a")];
        let values = store.kv_values(&places).await.expect("read");
        let values: Vec<_> = values.iter().map(|one| one.as_ref().map(|kept| kept.value.as_str())).collect();
        assert_eq!(values, [Some("1"), None, Some("2"), Some("1")]);
        let delete = Change { value: None, ..put(ada, "b", "", Expects::Versions(vec![NOW])) };
        assert_eq!(write(&store, vec![delete]).await, Ok(vec![None]));
        assert_eq!(store.kv_value(&place(ada, "b")).await.expect("read"), None);
        assert_eq!(store.kv_usage(ada).await.expect("usage"), Usage { bytes: 2, count: 2 });
    }
}

#[tokio::test]
async fn a_batch_is_whole_or_refused_and_others_in_its_group_are_not_concerned() {
    for (store, _keep) in stores().await {
        let (ada, bob) = (player(&store, 1).await, player(&store, 2).await);
        let stranger = PlayerId::from_entropy([99; 16]);
        let requests = vec![
            request(vec![put(ada, "a", "1", Expects::Anything), put(ada, "b", "1", Expects::Present)]),
            request(vec![put(bob, "a", "1", Expects::Anything)]),
            request(vec![put(bob, "b", &"1".repeat(100), Expects::Anything)]),
            request(vec![put(stranger, "a", "1", Expects::Anything)]),
        ];
        let outcomes = store.kv_write(requests, NOW).await.expect("an answer");
        let expected = [
            Err((1, Refusal::Stale { version: None })),
            Ok(vec![Some(NOW)]),
            Err((0, Refusal::Full { usage: Usage { bytes: 101, count: 2 } })),
            Err((0, Refusal::NoPlayer)),
        ];
        assert_eq!(outcomes, expected);
        assert_eq!(store.kv_value(&place(ada, "a")).await.expect("read"), None);
        assert_eq!(store.kv_usage(bob).await.expect("usage"), Usage { bytes: 1, count: 1 });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_writers_of_one_version_one_succeeds_each_time() {
    for (store, _keep) in stores().await {
        let ada = player(&store, 1).await;
        write(&store, vec![put(ada, "n", "0", Expects::Absent)]).await.expect("written");
        for round in 1..=4_u64 {
            let version = store.kv_value(&place(ada, "n")).await.expect("read").expect("a value").version;
            let mut writers = JoinSet::new();
            for n in 0..12_u64 {
                let (store, value) = (store.clone(), format!("{}", round * 100 + n));
                let change = put(ada, "n", &value, Expects::Versions(vec![version]));
                writers.spawn(async move { write(&store, vec![change]).await.is_ok() });
            }
            let won = writers.join_all().await.into_iter().filter(|won| *won).count();
            assert_eq!(won, 1, "round {round}");
        }
        assert_eq!(store.kv_usage(ada).await.expect("usage"), Usage { bytes: 3, count: 1 });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_holds_however_many_write_at_once() {
    for (store, _keep) in stores().await {
        let ada = player(&store, 1).await;
        let mut writers = JoinSet::new();
        for n in 0..16 {
            let (store, change) = (store.clone(), put(ada, &format!("k{n}"), "1", Expects::Anything));
            writers.spawn(async move { write(&store, vec![change]).await.is_ok() });
        }
        assert_eq!(writers.join_all().await.into_iter().filter(|kept| *kept).count(), 5);
        assert_eq!(store.kv_usage(ada).await.expect("usage"), Usage { bytes: 5, count: 5 });
        assert_eq!(store.kv_list(ada, "saves", "", 50).await.expect("listed").len(), 5);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_meets_others_is_repeated_and_counts_once() {
    for state in STATES {
        for (store, keep) in stores().await {
            let ada = player(&store, 1).await;
            inject(&keep, "kv_usage", state, 4);
            assert_eq!(write(&store, vec![put(ada, "a", "12", Expects::Absent)]).await, Ok(vec![Some(NOW)]));
            assert_eq!(store.kv_usage(ada).await.expect("usage"), Usage { bytes: 2, count: 1 });
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_commit_was_cut_off_is_no_fault_of_its_own_condition() {
    for at in [CutAt::BeforeCommit, CutAt::AfterCommit] {
        let (store, proxy, _database) = behind().await;
        let ada = player(&store, 1).await;
        proxy.cut_commits(at, 1);
        assert_eq!(write(&store, vec![put(ada, "a", "1", Expects::Absent)]).await, Ok(vec![Some(NOW)]), "{at:?}");
        proxy.cut_commits(at, 1);
        let next = put(ada, "a", "2", Expects::Versions(vec![NOW]));
        assert_eq!(write(&store, vec![next]).await, Ok(vec![Some(NOW + 1)]), "{at:?}");
        assert_eq!((store.kv_usage(ada).await.expect("usage").count, proxy.cuts_left()), (1, 0));
    }
}
