//! The allocator's public keys: asked for, remembered, kept in the database, so that results survive a restart of
//! the allocator and of metagame.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use protocol::jwt::KeySet;
use protocol::pb;
use protocol::pb::allocator_client::AllocatorClient;
use tokio::sync::Mutex;

use crate::problem::Problem;
use crate::store::{ALLOCATOR_KEYS_MAX, Store, StoreError};
use crate::upstream::{ALLOCATOR, Upstream, away, call};

/// Least time between two questions: a stranger can invent key names.
const REFRESH_EVERY: Duration = Duration::from_secs(2);

/// The keys.
pub(crate) struct AllocatorKeys {
    client: AllocatorClient<Upstream>,
    store: Store,
    known: RwLock<Known>,
    asked: Mutex<Option<Asked>>,
}

/// The last question to the allocator.
struct Asked {
    at: Instant,
    answered: bool,
}

#[derive(Default)]
struct Known {
    set: Arc<KeySet>,
    /// Newest first.
    public: Vec<[u8; 32]>,
}

impl AllocatorKeys {
    /// The keys that the database holds.
    pub(crate) async fn load(channel: Upstream, store: Store) -> Result<Self, StoreError> {
        let public = store.allocator_keys().await?;
        let set = Arc::new(KeySet::new(public.iter().copied()));
        let known = RwLock::new(Known { set, public });
        Ok(Self { client: AllocatorClient::new(channel), store, known, asked: Mutex::new(None) })
    }

    /// All keys that are known now.
    pub(crate) fn current(&self) -> Arc<KeySet> {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner).set)
    }

    /// Asks the allocator, unless that has happened since `since`: then what is known is the answer.
    pub(crate) async fn refresh(&self, since: Instant) -> Result<(), Problem> {
        let mut asked = self.asked.lock().await;
        if let Some(last) = &*asked {
            if last.answered && last.at >= since {
                return Ok(());
            }
            if last.at.elapsed() < REFRESH_EVERY {
                let detail = "the certificate's key is not known and the allocator was asked a moment ago; try again";
                return Err(Problem::unavailable("keys-unavailable", detail, REFRESH_EVERY.as_secs()));
            }
        }
        let at = Instant::now();
        let answer = call(self.client.clone().get_keys(pb::GetKeysRequest {})).await;
        *asked = Some(Asked { at, answered: answer.is_ok() });
        self.learn(&answer.map_err(|status| away(ALLOCATOR, &status))?.jwks).await
    }

    async fn learn(&self, jwks: &str) -> Result<(), Problem> {
        let fresh = public_keys(jwks).map_err(|error| {
            tracing::error!(%error, "the allocator's key set cannot be read");
            Problem::unavailable("keys-unavailable", "the allocator's keys cannot be read", 5)
        })?;
        {
            let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
            let mut seen = HashSet::new();
            let merged = fresh.iter().chain(&known.public).copied().filter(|key| seen.insert(*key));
            known.public = merged.take(ALLOCATOR_KEYS_MAX).collect();
            known.set = Arc::new(KeySet::new(known.public.iter().copied()));
        }
        self.store.retain_allocator_keys(fresh, service::clock::unix_ms()).await?;
        Ok(())
    }
}

/// The Ed25519 keys of a JWKS document.
fn public_keys(jwks: &str) -> Result<Vec<[u8; 32]>, Box<dyn std::error::Error + Send + Sync>> {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    // The set's own reader decides what a usable key is; its document then holds only such.
    let document: serde_json::Value = serde_json::from_str(&KeySet::from_json(jwks)?.to_json())?;
    let keys = document["keys"].as_array().into_iter().flatten();
    let decode = |key: &serde_json::Value| URL_SAFE_NO_PAD.decode(key["x"].as_str()?).ok()?.try_into().ok();
    Ok(keys.filter_map(decode).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_of_a_document_are_read_and_nonsense_is_refused() {
        let set = KeySet::new([protocol::jwt::SigningKey::from_seed(&[1; 32]).public_key()]);
        let keys = public_keys(&set.to_json()).expect("a key set");
        assert_eq!(KeySet::new(keys).to_json(), set.to_json());
        assert!(public_keys("nonsense").is_err());
    }
}
