//! Access tokens that are refused before they expire. What one instance revokes is in the database; each looks there every
//! second, and keeps in memory what concerns tokens that still live.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use protocol::id::PlayerId;
use service::Shutdown;
use tokio::sync::Mutex;

use crate::auth::ACCESS_LIFE_S;
use crate::core::session::SessionId;
use crate::store::{Revocation, Store, StoreError};

/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How far it looks back each time, in milliseconds: clocks differ, and a transaction's time is before its commit.
const OVERLAP_MS: u64 = 30_000;
/// How long a revocation concerns somebody.
const LIFE_MS: u64 = ACCESS_LIFE_S * 1_000 + OVERLAP_MS;
/// Sessions that began this long before a player's revocation are meant by it; those after were revoked by name. Between
/// instances whose clocks differ, a login right after a revocation must not be taken for one before.
const MARGIN_MS: u64 = 5_000;

/// What is refused.
#[derive(Debug, Default)]
pub(crate) struct Revoked {
    known: RwLock<Known>,
    /// Unix milliseconds of the last look that succeeded.
    looked: Mutex<u64>,
}

#[derive(Debug, Default)]
struct Known {
    /// When each was revoked.
    sessions: HashMap<SessionId, u64>,
    /// When the player's earlier sessions were, and which was not.
    players: HashMap<PlayerId, (u64, Option<SessionId>)>,
}

impl Revoked {
    /// Whether the tokens of this session are refused.
    pub(crate) fn holds(&self, player: PlayerId, session: SessionId) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if known.sessions.contains_key(&session) {
            return true;
        }
        known.players.get(&player).is_some_and(|(at_ms, kept)| {
            let before = session.began_at_ms().is_some_and(|began| began.saturating_add(MARGIN_MS) <= *at_ms);
            before && *kept != Some(session)
        })
    }

    /// Learns what was revoked since the last look.
    pub(crate) async fn look(&self, store: &Store) -> Result<(), StoreError> {
        let mut looked = self.looked.lock().await;
        let now_ms = service::clock::unix_ms();
        let since = now_ms.saturating_sub(LIFE_MS).max(looked.saturating_sub(OVERLAP_MS));
        let revocations = store.revocations(since).await?;
        self.learn(&revocations, now_ms);
        *looked = now_ms;
        Ok(())
    }

    /// Looks until shutdown.
    pub(crate) async fn run(self: Arc<Self>, store: Store, shutdown: Shutdown) {
        loop {
            tokio::select! {
                () = shutdown.wait() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            if let Err(error) = self.look(&store).await {
                tracing::warn!(%error, "cannot look for revoked sessions; trying again");
            }
        }
    }

    fn learn(&self, revocations: &[Revocation], now_ms: u64) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let known = &mut *known;
        for one in revocations {
            if let Some(session) = one.session {
                known.sessions.insert(session, one.at_ms);
            } else {
                let cut = known.players.entry(one.player).or_insert((one.at_ms, one.kept));
                if cut.0 < one.at_ms {
                    *cut = (one.at_ms, one.kept);
                }
            }
        }
        let lives = |at_ms: &u64| at_ms.saturating_add(LIFE_MS) > now_ms;
        known.sessions.retain(|_, at_ms| lives(at_ms));
        known.players.retain(|_, (at_ms, _)| lives(at_ms));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000_000;

    fn session(at_ms: u64, n: u8) -> SessionId {
        SessionId::from_time(at_ms, [n; 10])
    }

    #[test]
    fn sessions_are_refused_by_name_and_by_age_and_for_as_long_as_tokens_live() {
        let (ada, bob) = (PlayerId::from_entropy([1; 16]), PlayerId::from_entropy([2; 16]));
        let revoked = Revoked::default();
        let (named, old, kept, fresh) =
            (session(NOW - 1, 1), session(NOW - 60_000, 2), session(NOW - 90_000, 3), session(NOW - 100, 4));
        let by_name = Revocation { player: ada, session: Some(named), kept: None, at_ms: NOW };
        let by_age = Revocation { player: ada, session: None, kept: Some(kept), at_ms: NOW };
        revoked.learn(&[by_name, by_age], NOW);
        assert!(revoked.holds(ada, named) && revoked.holds(ada, old));
        assert!(!revoked.holds(ada, kept), "the one that goes on");
        assert!(!revoked.holds(ada, fresh), "another login at the same time");
        assert!(!revoked.holds(bob, old), "somebody else's");
        revoked.learn(&[], NOW + LIFE_MS);
        assert!(!revoked.holds(ada, named) && !revoked.holds(ada, old), "their tokens have expired");
    }
}
