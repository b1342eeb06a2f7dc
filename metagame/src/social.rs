//! Players among each other, as far as it needs more than the database: limits, and what others have to hear.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use protocol::id::PlayerId;
use tokio::sync::Notify;

use crate::config::Rate;
use crate::limits::Buckets;
use crate::store::social::PartyDone;

/// Guesses of lobby codes by one player: a minute's worth at once.
const GUESSES: Rate = Rate { per_second: 10.0 / 60.0, burst: 10.0 };
/// Guesses from one address: a school's worth.
const GUESSES_BY_ADDRESS: Rate = Rate { per_second: 1.0, burst: 60.0 };

/// What the handlers of players' dealings with each other share.
pub(crate) struct Social {
    guesses: Mutex<Buckets<PlayerId>>,
    guesses_by_address: Mutex<Buckets<IpAddr>>,
    /// Wakes who tells the matchmaker of parties that have changed.
    pub(crate) party_changed: Arc<Notify>,
}

impl Social {
    pub(crate) fn new() -> Self {
        Self {
            guesses: Mutex::new(Buckets::new(GUESSES)),
            guesses_by_address: Mutex::new(Buckets::new(GUESSES_BY_ADDRESS)),
            party_changed: Arc::default(),
        }
    }

    /// Counts a lobby code that somebody tries.
    ///
    /// # Errors
    /// Seconds until the next may be tried.
    pub(crate) fn guess(&self, player: PlayerId, address: IpAddr, now_ms: u64) -> Result<(), u64> {
        self.guesses.lock().unwrap_or_else(PoisonError::into_inner).take(player, now_ms)?;
        self.guesses_by_address.lock().unwrap_or_else(PoisonError::into_inner).take(address, now_ms)
    }

    /// After a party has changed.
    pub(crate) fn party_done(&self, done: &PartyDone) {
        if done.cancels {
            self.party_changed.notify_one();
        }
    }
}
