//! Keys of accounts on both databases: one per account, gone for ever once shredded.

mod stores;

use metagame::core::device::device_hash;
use metagame::core::session::{RefreshSecret, SessionId};
use metagame::store::{DeviceLogin, Store, StoreError};
use metagame::vault::Vault;
use protocol::id::PlayerId;
use stores::stores;
use tokio::task::JoinSet;
use uuid::Uuid;

const NOW: u64 = 1_700_000_000_000;

fn vault() -> Vault {
    Vault::new(&[1; 32])
}

async fn account(store: &Store, n: u8) -> PlayerId {
    let session = SessionId(Uuid::from_bytes([n; 16]));
    let login = DeviceLogin {
        device: device_hash(&format!("{:032x}", u128::from(n) << 64 | 0xABCD)).expect("a device id"),
        new_player: PlayerId::from_entropy([n; 16]),
        name: None,
        session,
        token: RefreshSecret::new(&[7; 32]).first(session, [n; 32]).hash(),
        sessions_max: 8,
        now_ms: NOW,
    };
    store.login_device(login).await.expect("a login").player
}

#[tokio::test]
async fn an_account_has_one_key_however_often_it_is_asked_for() {
    for (store, _keep) in stores().await {
        let player = account(&store, 1).await;
        let key = store.account_key(&vault(), player, NOW).await.expect("read").expect("a key");
        let sealed = key.seal("e-mail", b"ada@example.org");
        let again = store.account_key(&vault(), player, NOW).await.expect("read").expect("a key");
        assert_eq!(again.open("e-mail", &sealed).expect("the same key").as_slice(), b"ada@example.org");
        let nobody = store.account_key(&vault(), PlayerId::from_entropy([9; 16]), NOW).await.expect("read");
        assert!(nobody.is_none());
        let other = store.account_key(&Vault::new(&[2; 32]), player, NOW).await;
        assert!(matches!(other, Err(StoreError::Unreadable(_))), "{other:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_ask_for_the_first_time_at_once_get_the_same_key() {
    for (store, _keep) in stores().await {
        let player = account(&store, 1).await;
        let mut tasks = JoinSet::new();
        for _ in 0..16 {
            let store = store.clone();
            tasks.spawn(async move { store.account_key(&vault(), player, NOW).await.expect("read").expect("a key") });
        }
        let keys = tasks.join_all().await;
        let sealed = keys[0].seal("x", b"y");
        assert!(keys.iter().all(|key| key.open("x", &sealed).is_ok()));
    }
}

#[tokio::test]
async fn a_shredded_key_never_comes_back() {
    for (store, _keep) in stores().await {
        let (with_key, without) = (account(&store, 1).await, account(&store, 2).await);
        store.account_key(&vault(), with_key, NOW).await.expect("read").expect("a key");
        for player in [with_key, without] {
            store.shred_account_key(player, NOW + 1).await.expect("shredded");
            store.shred_account_key(player, NOW + 2).await.expect("once more changes nothing");
            assert!(store.account_key(&vault(), player, NOW + 3).await.expect("read").is_none());
        }
    }
}

#[tokio::test]
async fn a_database_is_bound_to_the_key_file_that_came_first() {
    for (store, _keep) in stores().await {
        let other = Vault::new(&[2; 32]);
        assert_eq!(store.bind_vault(&vault()).await.expect("bound"), vault().name());
        assert_eq!(store.bind_vault(&other).await.expect("read"), vault().name());
    }
}
