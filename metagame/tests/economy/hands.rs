//! What the tests do with the books.

use std::sync::Arc;

use metagame::core::catalog::{Catalog, file};
use metagame::core::device::device_hash;
use metagame::core::session::{RefreshSecret, SessionId};
use metagame::db::Domain;
use metagame::store::economy::{Grant, GrantLine, Granted, grant};
use metagame::store::{DeviceLogin, Store, StoreError};
use protocol::id::PlayerId;
use uuid::Uuid;

use super::stores::{Keep, stores};

pub(crate) const NOW: u64 = 1_795_305_600_000;

pub(crate) fn catalog() -> Arc<Catalog> {
    Arc::new(file::parse(include_str!("catalog.toml")).expect("a catalog"))
}

/// A store on each engine, with the tests' catalog.
pub(crate) async fn shops() -> Vec<(Store, Keep)> {
    let with = |(store, keep): (Store, Keep)| (store.with_catalog(catalog()), keep);
    stores().await.into_iter().map(with).collect()
}

/// A player with an account.
pub(crate) async fn player(store: &Store, n: u8) -> PlayerId {
    let token = RefreshSecret::new(&[7; 32]).first(SessionId(Uuid::from_bytes([n; 16])), [n; 32]);
    let login = DeviceLogin {
        device: device_hash(&format!("{:032x}", u128::from(n) << 64 | 0xABCD)).expect("a device id"),
        new_player: PlayerId::from_entropy([n; 16]),
        name: None,
        session: token.session,
        token: token.hash(),
        sessions_max: 8,
        now_ms: NOW,
    };
    store.login_device(login).await.expect("a login").player
}

pub(crate) fn gold(player: PlayerId, cause: &str, amount: u64) -> Grant {
    let line = GrantLine::Currency { currency: "gold".into(), amount };
    Grant::reward(player, format!("match:{cause}"), vec![line], NOW)
}

/// Gives something, in a transaction of its own.
pub(crate) async fn give(store: &Store, gift: Grant) -> Result<Granted, StoreError> {
    store.database().write(Domain::Economy, gift, |tx, gift| Box::pin(grant(tx, gift))).await
}

pub(crate) async fn balance(store: &Store, player: PlayerId, currency: &str) -> i64 {
    let wallet = store.wallet(player).await.expect("a wallet");
    wallet.iter().find(|one| one.currency == currency).map_or(0, |one| one.balance)
}

/// The books must be whole.
pub(crate) async fn assert_whole(store: &Store) {
    let verified = store.verify_ledger().await.expect("verified");
    assert_eq!(verified.faults, [], "the books");
    let mut sums = std::collections::BTreeMap::<&str, i64>::new();
    for ((currency, _), sum) in &verified.sums {
        *sums.entry(currency).or_default() += sum;
    }
    assert!(sums.values().all(|sum| *sum == 0), "{sums:?}");
}
