//! What the answers said: a second set of books, kept by the clients.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::stage::Stage;

/// How long what was killed may take until it answers again, on a machine that does other things too.
const BACK_WITHIN: Duration = Duration::from_secs(120);

/// A request that was answered for good.
#[derive(Debug, Clone)]
pub(crate) struct Answered {
    /// Whose: an index of the players.
    pub(crate) player: usize,
    /// Whether it is an operator's, on the admin port.
    pub(crate) is_admin: bool,
    pub(crate) path: String,
    pub(crate) key: String,
    pub(crate) body: Value,
    pub(crate) status: u16,
    pub(crate) answer: Value,
    /// How often it was sent.
    pub(crate) sent: u32,
}

impl Answered {
    /// Whether it is an entry of the journal.
    pub(crate) fn has_happened(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// A trade that waits for a player's word.
#[derive(Debug, Clone)]
pub(crate) struct Word {
    pub(crate) trade: String,
    /// The other player.
    pub(crate) from: String,
    /// Whether both sides are in escrow.
    pub(crate) is_accepted: bool,
}

/// What every player must have: by player, then by currency or sort of item.
pub(crate) type Possessions = BTreeMap<String, BTreeMap<String, i64>>;

#[derive(Default)]
pub(crate) struct Books {
    answered: Mutex<Vec<Answered>>,
    holdings: Mutex<Possessions>,
    words: Mutex<BTreeMap<String, Vec<Word>>>,
    under_way: AtomicU64,
    under_way_at_kills: AtomicU64,
    /// Players stop after the act they are at.
    pub(crate) end: AtomicBool,
}

fn open<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nobody has panicked with it")
}

impl Books {
    /// Something comes to a player, or goes.
    pub(crate) fn moves(&self, player: &str, thing: &str, amount: i64) {
        *open(&self.holdings).entry(player.to_owned()).or_default().entry(thing.to_owned()).or_default() += amount;
    }

    /// The items of an answer come (1) or go (−1).
    pub(crate) fn items(&self, player: &str, items: &Value, sign: i64) {
        for item in items.as_array().expect("a list of items") {
            let (name, quantity) = (item["item"].as_str(), item["quantity"].as_i64());
            self.moves(player, name.expect("a name"), sign * quantity.expect("a quantity"));
        }
    }

    /// The currencies of an answer come (1) or go (−1).
    pub(crate) fn currencies(&self, player: &str, currencies: &Value, sign: i64) {
        for one in currencies.as_array().expect("a list of currencies") {
            let (name, amount) = (one["currency"].as_str(), one["amount"].as_i64());
            self.moves(player, name.expect("a name"), sign * amount.expect("an amount"));
        }
    }

    /// It is this player's turn in a trade.
    pub(crate) fn hand(&self, player: &str, word: Word) {
        open(&self.words).entry(player.to_owned()).or_default().push(word);
    }

    /// A trade that waits for this player.
    pub(crate) fn next_word(&self, player: &str) -> Option<Word> {
        open(&self.words).get_mut(player)?.pop()
    }

    pub(crate) fn note(&self, answered: Answered) {
        open(&self.answered).push(answered);
    }

    pub(crate) fn holdings(&self) -> Possessions {
        let mut holdings = open(&self.holdings).clone();
        for things in holdings.values_mut() {
            things.retain(|_, amount| *amount != 0);
        }
        holdings
    }

    pub(crate) fn all(&self) -> Vec<Answered> {
        open(&self.answered).clone()
    }

    pub(crate) fn answers(&self) -> u64 {
        open(&self.answered).len() as u64
    }

    pub(crate) fn repeated(&self) -> usize {
        open(&self.answered).iter().filter(|one| one.sent > 1).count()
    }

    /// Requests that wait for their answer.
    pub(crate) fn under_way(&self) -> &AtomicU64 {
        &self.under_way
    }

    /// Something is killed now.
    pub(crate) fn kill(&self) {
        self.under_way_at_kills.fetch_add(self.under_way.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    pub(crate) fn under_way_at_kills(&self) -> u64 {
        self.under_way_at_kills.load(Ordering::Relaxed)
    }

    /// Waits for so many more answers: what was killed works again.
    pub(crate) async fn answered_more(&self, more: u64, stage: &mut Stage) {
        let (due, deadline) = (self.answers() + more, Instant::now() + BACK_WITHIN);
        while self.answers() < due {
            stage.look_after();
            assert!(Instant::now() < deadline, "it does not answer any more\n{}", stage.log());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
