//! The waiting tickets of one queue: by build, then by rating; and by age over all builds.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use protocol::id::TicketId;

/// Marks a region that a ticket does not accept at all.
pub const NO_RTT: u32 = u32::MAX;

/// What the search needs to know of a waiting ticket.
#[derive(Debug, Clone, PartialEq)]
pub struct Waiting {
    /// The ticket.
    pub ticket: TicketId,
    /// Mean rating of its players; 0 for everyone in a queue without a rating rule.
    pub rating: f64,
    /// Players.
    pub size: u32,
    /// Unix milliseconds.
    pub created_ms: u64,
    /// Unix milliseconds until which it is left out of the search.
    pub held_until_ms: u64,
    /// Round-trip time in milliseconds per region of the queue, [`NO_RTT`] where it does not play.
    pub rtts: Arc<[u32]>,
}

/// Order within a build: rating, then age, then id.
#[derive(Debug, Clone, Copy)]
struct Key {
    rating: f64,
    created_ms: u64,
    ticket: TicketId,
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_rating = self.rating.total_cmp(&other.rating);
        by_rating.then(self.created_ms.cmp(&other.created_ms)).then(self.ticket.cmp(&other.ticket))
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Key {}

impl Waiting {
    fn key(&self) -> Key {
        Key { rating: self.rating, created_ms: self.created_ms, ticket: self.ticket }
    }
}

/// The waiting tickets of one queue.
#[derive(Debug, Default)]
pub struct Pool {
    builds: BTreeMap<String, BTreeMap<Key, Waiting>>,
    /// (created, ticket) → (build, key): oldest first.
    ages: BTreeMap<(u64, TicketId), (String, Key)>,
    players: u32,
}

impl Pool {
    /// Adds a ticket of a build.
    pub fn insert(&mut self, build: &str, waiting: Waiting) {
        let key = waiting.key();
        self.players += waiting.size;
        self.ages.insert((waiting.created_ms, waiting.ticket), (build.to_owned(), key));
        self.builds.entry(build.to_owned()).or_default().insert(key, waiting);
    }

    /// Takes a ticket out.
    pub fn remove(&mut self, created_ms: u64, ticket: TicketId) -> Option<Waiting> {
        let (build, key) = self.ages.remove(&(created_ms, ticket))?;
        let of_build = self.builds.get_mut(&build)?;
        let waiting = of_build.remove(&key)?;
        if of_build.is_empty() {
            self.builds.remove(&build);
        }
        self.players -= waiting.size;
        Some(waiting)
    }

    /// Empties the pool; who was in it, oldest first.
    pub fn take(&mut self) -> Vec<Waiting> {
        let mut emptied = std::mem::take(self);
        let ages: Vec<(u64, TicketId)> = emptied.ages.keys().copied().collect();
        ages.into_iter().filter_map(|(created_ms, ticket)| emptied.remove(created_ms, ticket)).collect()
    }

    /// Waiting tickets.
    pub fn tickets(&self) -> usize {
        self.ages.len()
    }

    /// Waiting players.
    pub fn players(&self) -> u32 {
        self.players
    }

    /// Tickets created at `created_ms` or before, oldest first.
    pub fn created_until(&self, created_ms: u64) -> Vec<TicketId> {
        let old = self.ages.keys().take_while(|(created, _)| *created <= created_ms);
        old.map(|(_, ticket)| *ticket).collect()
    }

    /// All tickets, oldest first.
    pub fn by_age(&self) -> Vec<TicketId> {
        self.ages.keys().map(|(_, ticket)| *ticket).collect()
    }

    /// The builds that wait, in order of their names.
    pub fn builds(&self) -> BTreeSet<String> {
        self.builds.keys().cloned().collect()
    }

    /// The tickets of a build that are not held back, by rating.
    pub fn of_build(&self, build: &str, now_ms: u64) -> Vec<&Waiting> {
        let all = self.builds.get(build).into_iter().flat_map(BTreeMap::values);
        all.filter(|waiting| waiting.held_until_ms <= now_ms).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(n: u8, rating: f64, created_ms: u64) -> Waiting {
        let ticket = TicketId::from_entropy([n; 16]);
        Waiting { ticket, rating, size: u32::from(n), created_ms, held_until_ms: 0, rtts: Arc::from([]) }
    }

    #[test]
    fn tickets_stand_by_rating_within_their_build_and_by_age_over_all() {
        let mut pool = Pool::default();
        let [a, b, c] = [waiting(1, 30.0, 10), waiting(2, -5.0, 20), waiting(3, 30.0, 5)];
        pool.insert("x", a.clone());
        pool.insert("x", b.clone());
        pool.insert("x", c.clone());
        pool.insert("y", waiting(4, 1.0, 1));
        assert_eq!(pool.of_build("x", 0), [&b, &c, &a]);
        assert_eq!((pool.tickets(), pool.players()), (4, 10));
        assert_eq!(pool.by_age()[1], c.ticket);
        assert_eq!(pool.created_until(5).len(), 2);
        assert_eq!(pool.remove(10, a.ticket), Some(a.clone()));
        assert_eq!(pool.remove(10, a.ticket), None);
        assert_eq!(pool.of_build("x", 0), [&b, &c]);
        assert_eq!((pool.tickets(), pool.players()), (3, 9));
        pool.remove(1, TicketId::from_entropy([4; 16]));
        assert_eq!(pool.builds().len(), 1, "an empty build is forgotten");
    }

    #[test]
    fn a_held_ticket_is_not_offered_before_its_time() {
        let mut pool = Pool::default();
        pool.insert("", Waiting { held_until_ms: 100, ..waiting(1, 0.0, 0) });
        assert!(pool.of_build("", 99).is_empty());
        assert_eq!(pool.of_build("", 100).len(), 1);
    }
}
