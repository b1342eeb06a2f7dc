//! Who is there.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use protocol::id::PlayerId;
use protocol::pb::GatewayStatus;

/// Players at most: more than one process serves. Beyond, nobody new is shown.
const PLAYERS_MAX: usize = 200_000;
/// How long presence holds that nobody renews: what was set over REST, or told by another gateway.
pub(crate) const PRESENCE_LIFE_MS: u64 = 90_000;
/// Longest text in bytes.
pub(crate) const TEXT_BYTES_MAX: usize = 64;

/// How a player is seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) status: GatewayStatus,
    pub(crate) text: String,
    /// Unix milliseconds until which it holds.
    pub(crate) until_ms: u64,
}

/// The players that are there. Who is not in it is offline.
#[derive(Debug, Default)]
pub(crate) struct Presences(Mutex<HashMap<PlayerId, Seen>>);

impl Presences {
    fn lock(&self) -> MutexGuard<'_, HashMap<PlayerId, Seen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes how a player is seen.
    pub(crate) fn set(&self, player: PlayerId, seen: Seen) {
        let mut all = self.lock();
        if seen.status == GatewayStatus::Offline {
            all.remove(&player);
        } else if all.len() < PLAYERS_MAX || all.contains_key(&player) {
            all.insert(player, seen);
        }
    }

    /// How a player is seen, unless it is offline.
    pub(crate) fn get(&self, player: PlayerId, now_ms: u64) -> Option<Seen> {
        self.lock().get(&player).filter(|seen| seen.until_ms > now_ms).cloned()
    }

    /// Forgets those whose time is over, and says who that was; at most `most` at once.
    pub(crate) fn expire(&self, now_ms: u64, most: usize) -> Vec<PlayerId> {
        let mut all = self.lock();
        let over: Vec<_> =
            all.iter().filter(|(_, seen)| seen.until_ms <= now_ms).map(|(player, _)| *player).take(most).collect();
        over.iter().for_each(|player| drop(all.remove(player)));
        over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presence_holds_until_its_time_is_over() {
        let (presences, player) = (Presences::default(), PlayerId::from_entropy([1; 16]));
        let seen = Seen { status: GatewayStatus::Away, text: "tea".into(), until_ms: 100 };
        presences.set(player, seen.clone());
        assert_eq!((presences.get(player, 99), presences.get(player, 100)), (Some(seen.clone()), None));
        assert_eq!((presences.expire(99, 10), presences.expire(100, 10)), (vec![], vec![player]));
        presences.set(player, seen.clone());
        presences.set(player, Seen { status: GatewayStatus::Offline, ..seen });
        assert_eq!(presences.get(player, 0), None);
    }
}
