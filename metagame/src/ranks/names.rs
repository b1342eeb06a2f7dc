//! The names of players as leaderboards show them, kept for some minutes: a page of ranks would otherwise cost a look into
//! the database for each of its entries.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use protocol::id::PlayerId;

use crate::store::{Store, StoreError};

/// How long a name is believed.
const BELIEVED: Duration = Duration::from_secs(5 * 60);
/// Names at most: two generations of half as many.
const NAMES_MAX: usize = 262_144;

type Kept = (Arc<str>, Instant);

#[derive(Debug, Default)]
pub(super) struct Names(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<PlayerId, Kept>,
    old: HashMap<PlayerId, Kept>,
}

impl Generations {
    fn get(&self, player: PlayerId, now: Instant) -> Option<Arc<str>> {
        let (name, until) = self.young.get(&player).or_else(|| self.old.get(&player))?;
        (now < *until).then(|| Arc::clone(name))
    }

    fn put(&mut self, player: PlayerId, name: Arc<str>, now: Instant) {
        if self.young.len() >= NAMES_MAX / 2 && !self.young.contains_key(&player) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(player, (name, now + BELIEVED));
    }
}

impl Names {
    /// The names of these players, in their order; empty for an account that is gone.
    pub(super) async fn of(&self, store: &Store, players: &[PlayerId]) -> Result<Vec<Arc<str>>, StoreError> {
        let now = Instant::now();
        let mut names: Vec<Option<Arc<str>>> = {
            let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            players.iter().map(|player| kept.get(*player, now)).collect()
        };
        let missing: Vec<PlayerId> =
            players.iter().zip(&names).filter(|(_, name)| name.is_none()).map(|(player, _)| *player).collect();
        if !missing.is_empty() {
            let read: HashMap<PlayerId, String> = store.names_of(&missing).await?.into_iter().collect();
            let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            for (player, name) in players.iter().zip(&mut names).filter(|(_, name)| name.is_none()) {
                let read: Arc<str> = read.get(player).map_or("", String::as_str).into();
                kept.put(*player, Arc::clone(&read), now);
                *name = Some(read);
            }
        }
        Ok(names.into_iter().map(Option::unwrap_or_default).collect())
    }

    pub(super) fn forget(&self, player: PlayerId) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.young.remove(&player);
        kept.old.remove(&player);
    }
}
