//! The keys that sign access tokens: in the database, sealed, so that all instances have the same; changed by a schedule.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use protocol::jwt::{KeySet, SigningKey};
use service::Shutdown;

use crate::core::rotation::{KeyTimes, Schedule};
use crate::store::{NewSigningKey, Order, Store, StoreError, StoredSigningKey};
use crate::vault::Vault;

/// Purpose of what is sealed.
const PURPOSE: &str = "signing key";

/// The keys as they are now.
#[derive(Debug)]
pub(crate) struct Keys {
    pub(crate) signing: Arc<SigningKey>,
    pub(crate) published: KeySet,
}

/// Keeps the keys fresh; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Keyring(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    now: RwLock<Arc<Keys>>,
    vault: Arc<Vault>,
    store: Store,
    schedule: Schedule,
    look_every: Duration,
}

impl Keyring {
    /// The keys in the database; where there are none, `first` is the first.
    pub(crate) async fn open(
        store: Store,
        vault: Arc<Vault>,
        schedule: Schedule,
        look_every: Duration,
        first: &[u8; 32],
    ) -> Result<Self, StoreError> {
        let now_ms = service::clock::unix_ms();
        if store.signing_keys().await?.is_empty() {
            store.add_signing_key(new_key(&vault, first, now_ms, now_ms), None, None).await?;
        }
        let stored = store.signing_keys().await?;
        let keys = read(&vault, schedule, &stored, &BTreeMap::new(), now_ms)?;
        Ok(Self(Arc::new(Inner { now: RwLock::new(Arc::new(keys)), vault, store, schedule, look_every })))
    }

    /// The keys as they are now.
    pub(crate) fn keys(&self) -> Arc<Keys> {
        Arc::clone(&self.0.now.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Follows the schedule until shutdown.
    pub(crate) async fn run(self, shutdown: Shutdown) {
        let mut known = BTreeMap::new();
        loop {
            tokio::select! {
                () = shutdown.wait() => return,
                () = tokio::time::sleep(self.0.look_every) => {}
            }
            if let Err(error) = self.turn(&mut known, service::clock::unix_ms()).await {
                tracing::warn!(%error, "cannot look after the keys of access tokens; trying again");
            }
        }
    }

    /// Makes a key that signs as soon as every instance has it: for operators who fear that one is known.
    pub(crate) async fn rotate(&self, order: Order) -> Result<u64, StoreError> {
        let stored = self.0.store.signing_keys().await?;
        let now_ms = order.at_ms;
        let signs_from_ms = now_ms + (2 * self.0.look_every).as_millis() as u64;
        self.add(&stored, signs_from_ms, now_ms, Some(order)).await?;
        Ok(signs_from_ms)
    }

    async fn turn(&self, known: &mut BTreeMap<String, Arc<SigningKey>>, now_ms: u64) -> Result<(), StoreError> {
        let mut stored = self.0.store.signing_keys().await?;
        let schedule = self.0.schedule;
        if let Some(signs_from_ms) = schedule.due(&times(&stored), now_ms) {
            self.add(&stored, signs_from_ms, now_ms, None).await?;
            stored = self.0.store.signing_keys().await?;
        }
        for index in schedule.spent(&times(&stored), now_ms) {
            self.0.store.forget_signing_key(stored[index].kid.clone()).await?;
            tracing::info!(kid = stored[index].kid, "a key of access tokens is not published any more");
        }
        let keys = read(&self.0.vault, schedule, &stored, known, now_ms)?;
        known.retain(|kid, _| stored.iter().any(|key| key.kid == *kid));
        known.insert(keys.signing.kid().to_owned(), Arc::clone(&keys.signing));
        *self.0.now.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
        Ok(())
    }

    async fn add(
        &self,
        stored: &[StoredSigningKey],
        signs_from_ms: u64,
        now_ms: u64,
        order: Option<Order>,
    ) -> Result<(), StoreError> {
        let key = new_key(&self.0.vault, &service::random::bytes(), signs_from_ms, now_ms);
        let newest = stored.iter().max_by_key(|key| key.signs_from_ms).map(|key| key.kid.clone());
        let kid = key.kid.clone();
        if self.0.store.add_signing_key(key, newest, order).await? {
            tracing::info!(kid, signs_from_ms, "a new key of access tokens is published");
        }
        Ok(())
    }
}

fn times(stored: &[StoredSigningKey]) -> Vec<KeyTimes> {
    stored.iter().map(|key| KeyTimes { signs_from_ms: key.signs_from_ms }).collect()
}

fn new_key(vault: &Vault, seed: &[u8; 32], signs_from_ms: u64, now_ms: u64) -> NewSigningKey {
    let key = SigningKey::from_seed(seed);
    NewSigningKey {
        kid: key.kid().to_owned(),
        public_key: key.public_key(),
        sealed: vault.seal(PURPOSE, seed),
        signs_from_ms,
        now_ms,
    }
}

/// What is in the database, as keys. Only the one that signs is opened.
fn read(
    vault: &Vault,
    schedule: Schedule,
    stored: &[StoredSigningKey],
    known: &BTreeMap<String, Arc<SigningKey>>,
    now_ms: u64,
) -> Result<Keys, StoreError> {
    let fault = |what: &str| StoreError::Unreadable(format!("the keys of access tokens: {what}"));
    let signing = schedule.signing(&times(stored), now_ms).ok_or_else(|| fault("there are none"))?;
    let signing = &stored[signing];
    let key = match known.get(&signing.kid) {
        Some(key) => Arc::clone(key),
        None => {
            let seed = vault.open(PURPOSE, &signing.sealed).map_err(|error| fault(&error.to_string()))?;
            let seed: [u8; 32] = seed.as_slice().try_into().map_err(|_| fault("one has another length"))?;
            Arc::new(SigningKey::from_seed(&seed))
        }
    };
    Ok(Keys { signing: key, published: KeySet::new(stored.iter().map(|key| key.public_key)) })
}
